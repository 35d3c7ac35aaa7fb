import { z } from "zod";
import { ChatSpec } from "./chat.ts";
import { SESSION_TYPES } from "./labels.ts";
import { defineOperation } from "./operation.ts";

const SessionType = z.enum(SESSION_TYPES);

const Which = z.string().describe("a session: its name, number, plan id, or a unique beginning of one");

export const sessionOpen = defineOperation({
  name: "session.open",
  summary: "Open a session beside the floor plan: a program in a pane of its own",
  effect: "write",
  role: "operator",
  input: z.strictObject({
    name: z.string().optional().describe("default: two words that nobody uses yet"),
    run: z.string().optional().describe("command line, run as its process; default a shell"),
    chat: ChatSpec.optional().describe("a conversation with a model instead of a command"),
    cwd: z.string().optional().describe("absolute folder it starts in"),
    type: SessionType.optional().describe("what it is for"),
    env: z.record(z.string(), z.string()).optional(),
    agent: z.string().optional().describe("what lives in it: claude, codex, script …; default by the command"),
    worktree: z.boolean().optional().describe("a git worktree and branch of its own"),
    idleMs: z.number().int().positive().optional().describe("closed after resting for so long"),
    instanceOf: z.string().max(128).optional().describe("a declared session: another one of it, which writes no rooms"),
    forked: z.boolean().optional().describe("with instanceOf: it goes its own way, and is never merged"),
  }),
  output: z.looseObject({
    session: z.string(),
    name: z.string(),
    number: z.number(),
    /** Of tmux. */
    tmux: z.string(),
    pid: z.number().nullable(),
    cwd: z.string(),
    branch: z.string().nullable(),
  }),
  errors: ["USAGE", "NAME_TAKEN", "OVER_QUOTA"],
});

export const sessionClose = defineOperation({
  name: "session.close",
  summary: "End an opened session and archive it; its recording and history stay",
  effect: "destroy",
  role: "operator",
  input: z.strictObject({
    session: Which.optional().describe("default: your active one"),
    yes: z.boolean().optional().describe("also one that somebody is attached to"),
    dropBranch: z.boolean().optional().describe("also a worktree whose branch is not merged"),
  }),
  output: z.looseObject({
    session: z.string(),
    name: z.string(),
    /** Your active session from now on. */
    active: z.string().nullable(),
    /** What became of its worktree. */
    worktree: z.string().nullable(),
  }),
  errors: ["UNKNOWN_SESSION", "REFUSED"],
});

export const sessionRename = defineOperation({
  name: "session.rename",
  summary: "Give an opened session another name; its program goes on",
  effect: "write",
  role: "operator",
  input: z.strictObject({ session: Which.optional().describe("default: your active one"), to: z.string() }),
  output: z.looseObject({ session: z.string(), from: z.string(), name: z.string() }),
  errors: ["UNKNOWN_SESSION", "NAME_TAKEN", "USAGE", "REFUSED"],
});

export const sessionSwitch = defineOperation({
  name: "session.switch",
  summary: "Make a session your active one; nothing is written to any, all run on",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    session: Which.describe("as everywhere; also `-` (the one before), `next`, `previous`"),
    pause: z.boolean().optional().describe("stop the processes of the one you leave, until somebody switches to it"),
  }),
  output: z.looseObject({
    session: z.string(),
    name: z.string(),
    number: z.number().nullable(),
    previous: z.string().nullable(),
    /** Whether what runs in the one that was left could be stopped; null when that was not asked for. */
    paused: z.boolean().nullable(),
  }),
  errors: ["UNKNOWN_SESSION", "REFUSED"],
});

export const sessionType = defineOperation({
  name: "session.type",
  summary: "Type into a session: a line and Enter, or keys as they are",
  effect: "write",
  role: "operator",
  input: z.strictObject({
    session: Which.optional().describe("default: your active one"),
    pane: z.string().optional().describe("by id, title or place; default the first"),
    line: z.string().max(1_048_576).optional().describe("text, byte for byte, then Enter"),
    keys: z.string().max(65_536).optional().describe("base64 of bytes as a terminal sends them"),
    force: z.boolean().optional().describe("also into a headless or protected session"),
  }),
  output: z.looseObject({ session: z.string(), pane: z.string(), bytes: z.number() }),
  errors: ["UNKNOWN_SESSION", "REFUSED", "USAGE"],
});

/**
 * What became of text for a program. `submitted`: it was seen in the composer, Enter was pressed, and it was seen to leave.
 * `held`: it waits, for the reason given, and is typed when that is over. `not-ready`: nothing runs there. `unproven`: it was
 * typed and what followed could not be told; Enter was not pressed unless the composer held exactly it.
 */
export const NUDGE_OUTCOMES = ["submitted", "held", "not-ready", "unproven"] as const;

export const sessionNudge = defineOperation({
  name: "session.nudge",
  summary: "Type text into a program as soon as that harms nobody, and say what became of it",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    session: Which.describe("as everywhere; also the id of an agent that lives in one"),
    pane: z.string().optional(),
    text: z.string().min(1).max(1_048_576).optional().describe("default: one line that says where mail is read"),
    now: z.boolean().optional().describe("do not wait: what would be held is refused"),
  }),
  output: z.looseObject({
    id: z.string(),
    session: z.string(),
    outcome: z.enum(NUDGE_OUTCOMES),
    why: z.string(),
    /** Others that wait before it. */
    before: z.number(),
  }),
  errors: ["UNKNOWN_SESSION", "REFUSED", "USAGE"],
});

export const sessionQueue = defineOperation({
  name: "session.queue",
  summary: "Text that waits to be typed, oldest first; or take one of it back",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    session: Which.optional(),
    drop: z.string().optional().describe("id of one that shall not be typed any more"),
  }),
  output: z.looseObject({
    waiting: z.array(
      z.looseObject({ id: z.string(), session: z.string(), text: z.string(), by: z.string(), at: z.string() }),
    ),
  }),
  errors: ["UNKNOWN_SESSION", "NOT_FOUND"],
});

export const sessionExport = defineOperation({
  name: "session.export",
  summary: "What was opened beside the floor plan, so that it can be opened again elsewhere",
  effect: "read",
  role: "operator",
  input: z.strictObject({
    sessions: z.array(Which).optional().describe("these only; default all that are open; @group for a group's"),
  }),
  output: z.looseObject({
    version: z.literal(1),
    sessions: z.array(
      z.looseObject({
        name: z.string(),
        type: SessionType.nullable(),
        /** As an entry of a floor plan. */
        entry: z.record(z.string(), z.unknown()),
      }),
    ),
  }),
  errors: ["UNKNOWN_SESSION", "REFUSED"],
});
