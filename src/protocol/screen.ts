import { z } from "zod";
import { defineOperation } from "./operation.ts";

const Which = z.string().describe("a session: its name, number, plan id, or a unique beginning of one");
const Pane = z.string().describe("pane title, slot or tmux id; default the first");

/**
 * What an agent, or any program in a pane, is doing.
 *
 * `working`      its screen says so, or it writes
 * `idle`         it waits for the next wish, and its last work has been looked at
 * `done-unseen`  the same, and nobody has looked since it ended its work
 * `waiting`      it waits for a person: `reason` says for what
 * `stalled`      its screen says that it works, and nothing has moved for long
 * `dead`         its process has ended
 * `unknown`      nothing seen so far speaks for any of them
 */
export const ACTIVITIES = ["working", "idle", "done-unseen", "waiting", "stalled", "dead", "unknown"] as const;
export const Activity = z.enum(ACTIVITIES);
export type Activity = z.infer<typeof Activity>;

export const WAITING_FOR = ["permission", "question", "login", "trust", "first-run", "error"] as const;
export const WaitingFor = z.enum(WAITING_FOR);
export type WaitingFor = z.infer<typeof WaitingFor>;

export const ActivityState = z.looseObject({
  state: Activity,
  /** RFC 3339. */
  since: z.string(),
  /** What was seen, one line. */
  evidence: z.string(),
  /** `state-file`, `hook:EVENT`, `transcript`, `screen`, `osc`, `output`, `silence`, `process`, `log`. */
  source: z.string(),
  age_ms: z.number(),
  /** Why it waits, and the text that says so. */
  reason: WaitingFor.nullable(),
  text: z.string().nullable(),
  /** Which rule of which profile fired. */
  rule: z.string().nullable(),
});
export type ActivityState = z.infer<typeof ActivityState>;

export const RosterEntry = z.looseObject({
  session: z.string(),
  name: z.string(),
  number: z.number().nullable(),
  kind: z.string(),
  purpose: z.string().nullable(),
  room: z.string().nullable(),
  agents: z.array(z.string()),
  /** Of tmux and the log: running, exited, stopped … */
  state: z.string(),
  activity: ActivityState,
  /** Bytes it wrote since you last looked. */
  unseen: z.number(),
  unread: z.number(),
  bells: z.number(),
  title: z.string(),
  active: z.boolean(),
  pid: z.number().nullable(),
  buffer: z.looseObject({ bytes: z.number(), dropped: z.number(), limit: z.number() }),
});
export type RosterEntry = z.infer<typeof RosterEntry>;

export const sessionRoster = defineOperation({
  name: "session.roster",
  summary: "Who is doing what, and which session needs you",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    follow: z.boolean().optional(),
    waiting: z.boolean().optional().describe("only those that wait for a person"),
    all: z.boolean().optional().describe("also what was closed"),
  }),
  streams: z.looseObject({ sessions: z.array(RosterEntry) }),
  output: z.looseObject({
    sessions: z.array(RosterEntry),
    closed: z.array(z.looseObject({ session: z.string(), name: z.string(), closed: z.string(), because: z.string() })),
    /** Records that could not be read. */
    damaged: z.array(z.looseObject({ session: z.string(), why: z.string() })),
  }),
});

export const sessionFind = defineOperation({
  name: "session.find",
  summary: "Which session a name, number or beginning means",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ session: Which }),
  output: z.looseObject({ session: z.string(), name: z.string(), tmux: z.string() }),
  errors: ["UNKNOWN_SESSION"],
});

const Painted = {
  columns: z.number(),
  rows: z.number(),
  cursor: z.strictObject({ x: z.number(), y: z.number() }),
  title: z.string(),
};

export const screenShow = defineOperation({
  name: "screen.show",
  summary: "The picture on a session's screen now",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    session: Which.optional().describe("default: your active one"),
    pane: Pane.optional(),
    colour: z.boolean().optional().describe("with SGR sequences"),
  }),
  output: z.looseObject({ session: z.string(), pane: z.string(), lines: z.array(z.string()), ...Painted }),
  errors: ["UNKNOWN_SESSION"],
});

export const screenWatch = defineOperation({
  name: "screen.watch",
  summary: "Follow a session's screen: the whole picture, then the rows that change",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ session: Which, pane: Pane.optional() }),
  output: z.looseObject({
    session: z.string(),
    pane: z.string(),
    lines: z.array(z.string()),
    ...Painted,
    /** What you have not seen yet, how much of that is no longer held, and whether you look for the first time. */
    missed: z.looseObject({ bytes: z.number(), dropped: z.number(), first: z.boolean() }),
  }),
  /** `lines` by row, from 0. */
  streams: z.looseObject({ lines: z.record(z.string(), z.string()), ...Painted }),
  errors: ["UNKNOWN_SESSION"],
});

export const screenHistory = defineOperation({
  name: "screen.history",
  summary: "What a session wrote, as text: everything held, or what you have not seen",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    session: Which.optional().describe("default: your active one"),
    pane: Pane.optional(),
    missed: z.boolean().optional().describe("only since you last looked; it counts as seen from now on"),
    lines: z.number().int().min(1).max(100_000).optional().describe("the newest N lines"),
  }),
  output: z.looseObject({
    session: z.string(),
    lines: z.array(z.string()),
    bytes: z.number(),
    dropped: z.number(),
    /** Everything it ever wrote, on disk. */
    recording: z.string().nullable(),
  }),
  errors: ["UNKNOWN_SESSION"],
});

export const sessionExplain = defineOperation({
  name: "session.explain",
  summary: "Which rule says what a session is doing, and which others would have fitted",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    session: Which,
    pane: Pane.optional(),
    capture: z.string().max(1_048_576).optional().describe("the text of a screen to judge instead of its own"),
    profile: z.string().optional().describe("judge by this profile"),
  }),
  output: z.looseObject({
    session: z.string(),
    pane: z.string(),
    profiles: z.array(z.string()),
    activity: ActivityState,
    fitting: z.array(z.strictObject({ name: z.string(), row: z.string() })),
  }),
  errors: ["UNKNOWN_SESSION", "NOT_FOUND"],
});

export const agentHook = defineOperation({
  name: "agent.hook",
  summary: "What an agent's program says of itself, by its hooks",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    program: z.string().min(1).max(64).describe("claude, codex, gemini, opencode, kiro: whose hooks they are"),
    payload: z.record(z.string(), z.unknown()).describe("what the hook was given, as it is"),
    pane: z.string().max(32).optional().describe("tmux id of the pane it runs in (TMUX_PANE)"),
  }),
  output: z.looseObject({
    session: z.string(),
    /** What it says; null for an event that no rule of its profile knows. */
    state: Activity.nullable(),
    /** A line for the program: it has mail it was not told of. */
    tell: z.string().nullable(),
    /** Why its turn should not end yet: its chapter is closing, and has no handoff. */
    block: z.string().nullable(),
  }),
  errors: ["UNKNOWN_SESSION", "NOT_FOUND", "REFUSED"],
});
