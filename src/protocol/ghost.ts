import { z } from "zod";
import { defineOperation } from "./operation.ts";

/**
 * What a session is that the plan does not declare; the first rule that fits decides, and what cannot be told never raises it.
 *
 * `G1`  it has the name of a declared session, and no mark of ours: started by hand, or from before bosun
 * `G2`  it is marked as ours, or named by our scheme, and the plan does not declare it (any more)
 * `G3`  nothing is known of it; it is the same user's. A person's own session is one
 * `G4`  it runs for another user of the machine, or carries the mark of a session that runs beside it
 * `unknown`  it could not be looked at
 */
export const GHOST_CLASSES = ["G1", "G2", "G3", "G4", "unknown"] as const;
export const GhostClass = z.enum(GHOST_CLASSES);
export type GhostClass = z.infer<typeof GhostClass>;

export const GHOST_DECISIONS = ["adopted", "ignored", "quarantined", "retired"] as const;
export type GhostDecision = (typeof GHOST_DECISIONS)[number];

/** The five questions, answered from the kernel, tmux and the log. Null where nobody could tell. */
export const GhostAnswers = z.looseObject({
  /** What is it? */
  what: z.looseObject({
    pid: z.number().nullable(),
    command: z.string().nullable(),
    user: z.string().nullable(),
    /** RFC 3339: when tmux made the session, and when its first process began. */
    created: z.string(),
    started: z.string().nullable(),
    windows: z.number(),
    panes: z.number(),
  }),
  /** What does it do? */
  does: z.looseObject({ cwd: z.string().nullable(), last_lines: z.array(z.string()) }),
  /** What does it touch? */
  touches: z.looseObject({
    children: z.array(z.string()),
    files: z.array(z.string()),
    sockets: z.number(),
    listens: z.array(z.string()),
  }),
  /** Who made it? */
  made_by: z.looseObject({
    parent: z.string().nullable(),
    mark: z.string().nullable(),
    /** What the log says of its name. */
    log: z.string().nullable(),
  }),
  /** What breaks if it stops? */
  breaks: z.looseObject({ attached: z.number(), stands_on: z.array(z.string()) }),
});
export type GhostAnswers = z.infer<typeof GhostAnswers>;

export const Ghost = z.looseObject({
  name: z.string(),
  tmux_id: z.string(),
  class: GhostClass,
  why: z.string(),
  /** RFC 3339. */
  first_seen: z.string(),
  age_ms: z.number(),
  attached: z.number(),
  decision: z.enum(GHOST_DECISIONS).nullable(),
  because: z.string().nullable(),
  by: z.string().nullable(),
  /** What to type next. */
  proposal: z.string(),
});
export type Ghost = z.infer<typeof Ghost>;

const Which = z.string().min(1).max(128).describe("its tmux name or id");
const Because = z.string().min(1).max(500).describe("why; it stands in the record");

export const ghostList = defineOperation({
  name: "ghost.list",
  summary: "Sessions that nobody declared, with their class and what to do",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ all: z.boolean().optional().describe("also those that are ignored") }),
  output: z.looseObject({
    ghosts: z.array(Ghost),
    /** Declared sessions that are not there, and sessions of other towns on this server. */
    missing: z.array(z.string()),
    foreign: z.array(z.looseObject({ name: z.string(), town: z.string() })),
  }),
  errors: ["UNREACHABLE"],
});

export const ghostShow = defineOperation({
  name: "ghost.show",
  summary: "The five questions about one of them, answered",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ name: Which }),
  output: z.looseObject({ ghost: Ghost, answers: GhostAnswers }),
  errors: ["UNKNOWN_SESSION", "UNREACHABLE"],
});

export const ghostAdopt = defineOperation({
  name: "ghost.adopt",
  summary: "Take it under watch as it runs, and write its entry; its process is not restarted",
  effect: "write",
  role: "operator",
  input: z.strictObject({
    name: Which,
    purpose: z.string().min(1).max(500).describe("what it is for"),
    lifecycle: z.enum(["persistent", "manual"]).describe("persistent: it is restarted when it ends"),
    as: z.string().max(64).optional().describe("its id in the plan; default its name. Another one renames it"),
  }),
  output: z.looseObject({
    session: z.string(),
    name: z.string(),
    pid: z.number().nullable(),
    /** The floor plan that has the entry now; null: it stands beside the plan. */
    plan: z.string().nullable(),
    entry: z.record(z.string(), z.unknown()),
  }),
  errors: ["UNKNOWN_SESSION", "REFUSED", "NAME_TAKEN", "USAGE"],
});

export const ghostIgnore = defineOperation({
  name: "ghost.ignore",
  summary: "Leave it alone, and do not name it again while it runs",
  effect: "write",
  role: "operator",
  input: z.strictObject({ name: Which, because: Because }),
  output: z.looseObject({ name: z.string(), decision: z.string() }),
  errors: ["UNKNOWN_SESSION"],
});

export const ghostQuarantine = defineOperation({
  name: "ghost.quarantine",
  summary: "Keep what can be seen of it as evidence, take its credentials, and leave it running",
  effect: "write",
  role: "operator",
  input: z.strictObject({ name: Which, because: Because }),
  output: z.looseObject({ name: z.string(), decision: z.string(), archive: z.string() }),
  errors: ["UNKNOWN_SESSION", "REFUSED"],
});

export const ghostRetire = defineOperation({
  name: "ghost.retire",
  summary: "Keep screen, scrollback, processes and the reason, then end it",
  effect: "destroy",
  role: "operator",
  input: z.strictObject({
    name: Which,
    because: Because,
    yes: z.boolean().optional().describe("also one that a person may be using"),
  }),
  output: z.looseObject({ name: z.string(), decision: z.string(), archive: z.string() }),
  errors: ["UNKNOWN_SESSION", "REFUSED", "NEEDS_CONSENT"],
});
