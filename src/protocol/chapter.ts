import { z } from "zod";
import { defineOperation } from "./operation.ts";

/**
 * A chapter is one run of a session, a series all of them.
 *
 * `opening`  the handoff of the chapter before is read and acknowledged, a heading set
 * `work`     from then on; at the latest from 10 % of the nearest ceiling, then marked blind
 * `closing`  from 90 %: the handoff is written
 * `closed`   it has ended; without a handoff of its own it is burned
 */
export const PHASES = ["opening", "work", "closing", "closed"] as const;
export const Phase = z.enum(PHASES);
export type Phase = z.infer<typeof Phase>;

/** Of the nearest ceiling: until here it opens, from here it closes (seed 002: first and last 10 %). */
export const OPENING_SHARE = 0.1;
export const CLOSING_SHARE = 0.9;

/** How a chapter ended. */
export const END_REASONS = ["closed", "ceiling", "exit", "crash", "killed", "stopped", "replaced"] as const;
export type EndReason = (typeof END_REASONS)[number];

export interface Ceilings {
  minutes: number | null;
  turns: number | null;
  bytes: number | null;
  tokens: number | null;
}
export const CEILINGS = ["minutes", "turns", "bytes", "tokens"] as const satisfies readonly (keyof Ceilings)[];

/** `chapter:` of a session in the plan, with everything filled in. */
export interface ChapterSpec {
  series: string;
  /** Absolute paths. Null: the handshake and SESSIONS.md stand in the town's state; pending items in the handshake only. */
  handshake: string | null;
  sessions: string | null;
  todo: string | null;
  /** Stands in SESSIONS.md before the number: `C.L.O.D.`. */
  label: string;
  /** The mission of every chapter, where nobody sets another. */
  heading: string | null;
  ceilings: Ceilings;
  /** After the ceiling, and after a closing, until it is ended. */
  graceMs: number;
  /** What follows: a fresh start with the next chapter, an end, or the next chapter in the same process. */
  next: "roll" | "end" | "stay";
}

const line = z.string().trim().min(1).max(2_000);
const lines = z.array(line).max(200);

export const PENDING_STATES = ["open", "doing", "blocked", "done"] as const;
export const Pending = z.strictObject({
  id: z
    .string()
    .regex(/^[\w.-]{1,40}$/)
    .optional(),
  text: line,
  state: z.enum(PENDING_STATES).optional(),
  owner: z.string().trim().min(1).max(128).optional(),
});
export type Pending = z.infer<typeof Pending>;

/** What one chapter hands to the next. */
export const HandoffParts = z.strictObject({
  summary: z.string().max(8_000).optional().describe("what this chapter was, in a few lines"),
  built: lines.optional().describe("what was built"),
  broken: lines.optional().describe("what was broken"),
  open: lines.optional().describe("what was left open"),
  decisions: lines.optional().describe("decisions and why"),
  questions: lines.optional().describe("open questions"),
  pending: z
    .array(Pending)
    .max(500)
    .optional()
    .describe("items with state and owner; others of the series stay as they are"),
  read: lines.optional().describe("what to read first next time"),
  pickup: lines.optional().describe("what to pick up next time"),
  discoveries: lines.optional().describe("what is new and permanent; goes into shared memory as facts"),
  contradictions: lines.optional().describe("who said what, and what speaks against it"),
  gaps: lines.optional().describe("what is missing, and where it may be found"),
});
export type HandoffParts = z.infer<typeof HandoffParts>;

export const Chapter = z.looseObject({
  series: z.string(),
  number: z.number(),
  session: z.string(),
  epoch: z.number(),
  phase: Phase,
  heading: z.string().nullable(),
  /** RFC 3339. */
  opened: z.string(),
  closed: z.string().nullable(),
  end_reason: z.string().nullable(),
  written_by: z.string().nullable(),
  /** It ended without a handoff of its own. */
  burned: z.boolean(),
  /** It went to work without having read what it was handed, or without a heading. */
  blind: z.boolean(),
  acknowledged: z.looseObject({ at: z.string(), by: z.string(), forced: z.boolean() }).nullable(),
  /** The handoff it began with: SHA-256, hex; null for the first. */
  previous: z.string().nullable(),
  /** Its own. */
  digest: z.string().nullable(),
  recovery: z.boolean(),
  /** Of the nearest ceiling, 0 to 1 and beyond. */
  share: z.number(),
  nearest: z.string().nullable(),
  counted: z.looseObject({ minutes: z.number(), turns: z.number(), bytes: z.number(), tokens: z.number() }),
  ceilings: z.record(z.string(), z.number().nullable()),
  progress: z.array(z.looseObject({ at: z.string(), text: z.string() })),
});
export type Chapter = z.infer<typeof Chapter>;

export const Handoff = z.looseObject({
  series: z.string(),
  version: z.number(),
  number: z.number(),
  digest: z.string(),
  previous: z.string().nullable(),
  at: z.string(),
  written_by: z.string(),
  text: z.string(),
});
export type Handoff = z.infer<typeof Handoff>;

const Series = z.string().min(1).max(128).describe("a series, or the session that writes it");
const Session = z.string().max(128).optional().describe("default: the session you run in");
const Because = z.string().trim().min(1).max(500).optional().describe("why; it stands in the log");

export const chapterList = defineOperation({
  name: "chapter.list",
  summary: "Series and their chapters, newest first",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    series: Series.optional(),
    limit: z.number().int().min(1).max(1_000).optional().describe("chapters of each series: 5"),
  }),
  output: z.looseObject({
    series: z.array(
      z.looseObject({
        series: z.string(),
        closed: z.string().nullable(),
        handshake: z.string().nullable(),
        /** Age of the newest handoff, ms; stale after 24 h, or when a chapter has ended since. */
        handoff_age_ms: z.number().nullable(),
        stale: z.boolean(),
        chapters: z.array(Chapter),
      }),
    ),
  }),
});

export const chapterShow = defineOperation({
  name: "chapter.show",
  summary: "One chapter: heading, phase, ceilings, progress, how it ended",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    series: Series.optional(),
    number: z.number().int().min(1).optional().describe("default the newest"),
  }),
  output: z.looseObject({ chapter: Chapter, handoff: Handoff.nullable() }),
  errors: ["NOT_FOUND"],
});

export const chapterBrief = defineOperation({
  name: "chapter.brief",
  summary: "The opening of this chapter: the handoff, previously on, crew, services, alerts, heading",
  effect: "write",
  role: "agent",
  input: z.strictObject({ session: Session }),
  output: z.looseObject({
    series: z.string(),
    number: z.number(),
    text: z.string(),
    file: z.string(),
    /** Reading it in the session itself acknowledges it. */
    acknowledged: z.boolean(),
  }),
  errors: ["NOT_FOUND", "REFUSED"],
});

export const chapterAcknowledge = defineOperation({
  name: "chapter.acknowledge",
  summary: "Say that the handoff has been read",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    session: Session,
    digest: z.string().optional().describe("of the handoff that was read; refused when it is another"),
    force: z.boolean().optional().describe("without having read it; it is recorded"),
    because: Because,
  }),
  output: z.looseObject({ chapter: Chapter }),
  errors: ["NOT_FOUND", "REFUSED", "CONFLICT"],
});

export const chapterHead = defineOperation({
  name: "chapter.head",
  summary: "Set the heading: the one thing this chapter is for",
  effect: "write",
  role: "agent",
  input: z.strictObject({ session: Session, heading: z.string().trim().min(1).max(500), because: Because }),
  output: z.looseObject({ chapter: Chapter }),
  errors: ["NOT_FOUND", "REFUSED"],
});

export const chapterWork = defineOperation({
  name: "chapter.work",
  summary: "Leave the opening: it needs an acknowledged handoff and a heading",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    session: Session,
    force: z.boolean().optional().describe("without them; it is recorded"),
    because: Because,
  }),
  output: z.looseObject({ chapter: Chapter }),
  errors: ["NOT_FOUND", "REFUSED"],
});

export const chapterNote = defineOperation({
  name: "chapter.note",
  summary: "A line of progress, and what the program has counted itself",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    session: Session,
    text: line.optional().describe("what was done"),
    turns: z.number().int().min(0).optional().describe("turns so far, counted by the agent"),
    tokens: z.number().int().min(0).optional().describe("tokens in its context"),
  }),
  output: z.looseObject({ chapter: Chapter }),
  errors: ["NOT_FOUND", "REFUSED"],
});

export const chapterExtend = defineOperation({
  name: "chapter.extend",
  summary: "Move the ceilings of this chapter once, with a reason",
  effect: "write",
  role: "operator",
  input: z.strictObject({
    session: Session,
    minutes: z.number().positive().max(1_440).optional(),
    turns: z.number().int().positive().max(10_000).optional(),
    because: z.string().trim().min(1).max(500).describe("why; it stands in the log"),
  }),
  output: z.looseObject({ chapter: Chapter }),
  errors: ["NOT_FOUND", "REFUSED", "USAGE"],
});

export const handoffWrite = defineOperation({
  name: "handoff.write",
  summary: "Write the handoff of this chapter; with close, that is its end",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    session: Session,
    ...HandoffParts.shape,
    close: z.boolean().optional().describe("the chapter is over; the next one opens with this"),
  }),
  output: z.looseObject({
    series: z.string(),
    number: z.number(),
    digest: z.string(),
    /** The same was there already. */
    duplicate: z.boolean(),
    closed: z.boolean(),
    file: z.string(),
    /** What a reader will miss. */
    warnings: z.array(z.string()),
    discoveries: z.array(z.string()),
  }),
  errors: ["NOT_FOUND", "REFUSED", "TOO_LARGE"],
});

export const handoffShow = defineOperation({
  name: "handoff.show",
  summary: "A version of the handshake, as it was written",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    series: Series.optional(),
    version: z.number().int().min(1).optional().describe("default the newest"),
  }),
  output: z.looseObject({ handoff: Handoff, versions: z.number() }),
  errors: ["NOT_FOUND"],
});

export const handoffLint = defineOperation({
  name: "handoff.lint",
  summary: "What is wrong with a handshake: sections, order, items without state or owner",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    series: Series.optional(),
    text: z.string().max(262_144).optional().describe("another text than the newest"),
  }),
  output: z.looseObject({ mistakes: z.array(z.looseObject({ line: z.number(), what: z.string(), fix: z.string() })) }),
  errors: ["NOT_FOUND"],
});

export const handoffDiff = defineOperation({
  name: "handoff.diff",
  summary: "What changed between two versions of the handshake",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    series: Series.optional(),
    from: z.number().int().min(1).optional().describe("default the one before"),
    to: z.number().int().min(1).optional().describe("default the newest"),
  }),
  output: z.looseObject({ from: z.number(), to: z.number(), lines: z.array(z.string()) }),
  errors: ["NOT_FOUND"],
});

export const seriesVerify = defineOperation({
  name: "series.verify",
  summary: "Whether each handoff follows the one before, and what is missing or contradicts itself",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ series: Series }),
  output: z.looseObject({
    ok: z.boolean(),
    versions: z.number(),
    chapters: z.number(),
    broken: z.array(z.string()),
    burned: z.array(z.number()),
    blind: z.array(z.number()),
    gaps: z.array(z.string()),
    contradictions: z.array(z.string()),
  }),
  errors: ["NOT_FOUND"],
});

export const seriesClose = defineOperation({
  name: "series.close",
  summary: "End a series: no chapter follows until it is opened again",
  effect: "destroy",
  role: "operator",
  input: z.strictObject({ series: Series, because: z.string().trim().min(1).max(500), reopen: z.boolean().optional() }),
  output: z.looseObject({ series: z.string(), closed: z.boolean() }),
  errors: ["NOT_FOUND"],
});
