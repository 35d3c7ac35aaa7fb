import { z } from "zod";
import { defineOperation } from "./operation.ts";

/** One thing that was looked at. `ok` has no finding; `unknown` could not be looked at. */
export const Finding = z.looseObject({
  /** Stable, `noun.what`: scripts and people name it. */
  id: z.string(),
  level: z.enum(["ok", "note", "warning", "problem", "unknown"]),
  finding: z.string(),
  /** What comes of it when nothing is done. */
  consequence: z.string(),
  /** What to type. */
  remedy: z.string(),
  /** `doctor --fix` mends it without touching anything that runs. */
  fixable: z.boolean(),
  fixed: z.boolean(),
});
export type Finding = z.infer<typeof Finding>;

export const townDoctor = defineOperation({
  name: "town.doctor",
  summary: "Look at everything that can go wrong: what was found, what comes of it, what to do",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ only: z.string().max(64).optional().describe("checks whose id begins so") }),
  output: z.looseObject({ findings: z.array(Finding), checks: z.number(), ms: z.number() }),
});

export const townFix = defineOperation({
  name: "town.fix",
  summary: "Mend what is safe to mend, and look again",
  effect: "write",
  role: "operator",
  input: z.strictObject({
    only: z.string().max(64).optional().describe("checks whose id begins so"),
    names: z
      .array(z.string().max(128))
      .max(100)
      .optional()
      .describe(
        "sessions that are meant, although somebody is attached, they are protected, or nothing proves whose they are",
      ),
    undo: z
      .boolean()
      .optional()
      .describe("give sessions their old names back instead: those named, or all that were renamed"),
  }),
  output: z.looseObject({ findings: z.array(Finding), checks: z.number(), ms: z.number() }),
});
