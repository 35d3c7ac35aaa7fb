import { z } from "zod";
import { Chapter } from "./chapter.ts";
import { defineOperation } from "./operation.ts";
import { ServiceState } from "./service.ts";

/**
 * `declared`  in the plan, not started (yet)
 * `starting`  tmux has been told, the first look is outstanding
 * `running`   the session and all declared panes' processes live
 * `degraded`  some declared pane has ended, the session goes on
 * `exited`    every declared pane has ended, or the session is gone without us having stopped it
 * `stopped`   ended by `down`; stays so until `up`
 * `unknown`   tmux cannot be asked; what was last known is in the evidence
 */
export const SESSION_STATES = ["declared", "starting", "running", "degraded", "exited", "stopped", "unknown"] as const;
export const SessionState = z.enum(SESSION_STATES);
export type SessionState = z.infer<typeof SessionState>;

export const SessionStatus = z.looseObject({
  /** Plan id. */
  id: z.string(),
  /** tmux session name. */
  name: z.string(),
  state: SessionState,
  /** RFC 3339, when this state began. */
  since: z.string(),
  /** What was seen that makes us say so, one line. */
  evidence: z.string(),
  /** Who saw it: `tmux`, `process`, `log`. */
  source: z.string(),
  /** Age of the look the evidence comes from. */
  age_ms: z.number(),
  town: z.string(),
  role: z.string().nullable(),
  rig: z.string().nullable(),
  room: z.string().nullable(),
  kind: z.string(),
  about: z.string(),
  agents: z.array(z.string()),
  /** Process id of the first pane. */
  pid: z.number().nullable(),
  panes: z.array(
    z.strictObject({
      id: z.string(),
      window: z.string(),
      title: z.string(),
      pid: z.number().nullable(),
      agent: z.string().nullable(),
      dead: z.boolean(),
      exit: z.string().nullable(),
      command: z.string(),
    }),
  ),
  restarts: z.number(),
  /** Declared checks; null before the first answer. */
  health: z.array(
    z.looseObject({
      check: z.string(),
      healthy: z.boolean().nullable(),
      since: z.string(),
      evidence: z.string(),
      misses: z.number(),
    }),
  ),
  /** `exit 1`, `signal 9`, or null while running. */
  exit: z.string().nullable(),
  /** People attached (control clients are not people). */
  attached: z.number(),
  headless: z.boolean(),
  protect: z.boolean(),
  /** Of a second one of a session that is meant to be one; null for the primary. */
  instance: z.looseObject({ of: z.string(), kind: z.string() }).nullable(),
  /** The chapter it is in, or was in last. */
  chapter: Chapter.nullable(),
  unread: z.number(),
  /** Differences from the plan that `up` would not mend without `--restart`. */
  drift: z.array(z.string()),
});
export type SessionStatus = z.infer<typeof SessionStatus>;

export const townStatus = defineOperation({
  name: "town.status",
  summary: "What runs, in which state, since when, and how we know",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    session: z.string().optional().describe("one session: plan id, tmux name, or a unique beginning of either"),
    why: z.boolean().optional().describe("with evidence, source and age of every state"),
  }),
  output: z.looseObject({
    town: z.string(),
    /** Where the town's name came from: flag, environment, plan, GT_ROOT, folder. */
    from: z.string(),
    coordinator: z.strictObject({ pid: z.number(), since: z.string() }),
    plan: z.strictObject({ file: z.string(), digest: z.string(), revision: z.number() }).nullable(),
    tmux: z.strictObject({
      socket: z.string(),
      pid: z.number().nullable(),
      version: z.string().nullable(),
      mode: z.string(),
    }),
    sessions: z.array(SessionStatus),
    rooms: z.array(z.looseObject({ room: z.string(), agents: z.array(z.string()) })),
    ghosts: z.array(z.unknown()),
    services: z.array(ServiceState),
    /** Alerts that nobody has yet. */
    alerts: z.number(),
  }),
  errors: ["UNKNOWN_SESSION"],
});

/** One step from the world to the plan. `destructive` ends a process that runs. */
export const Step = z.strictObject({
  do: z.enum(["create", "adopt", "rename", "restart", "respawn", "stop", "none"]),
  session: z.string(),
  name: z.string(),
  why: z.string(),
  destructive: z.boolean(),
  /** Needs `--restart` (drift) or `--yes` (attached, protected): `up` leaves it alone otherwise. */
  needs: z.string().nullable(),
});
export type Step = z.infer<typeof Step>;

const PlanFile = z.string().describe("absolute path of the floor plan");
const TmuxSocket = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,64}$/)
  .describe("what BOSUN_TMUX_SOCKET says where the call comes from; over the plan");
const Names = z.array(z.string()).describe("sessions by plan id or tmux name; none = all");

export const planDiff = defineOperation({
  name: "plan.diff",
  summary: "What `up` would do, without doing it",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ file: PlanFile.optional(), sessions: Names.optional(), tmuxSocket: TmuxSocket.optional() }),
  output: z.looseObject({ town: z.string(), steps: z.array(Step) }),
  errors: ["PLAN_INVALID", "CONFLICT"],
});

export const townUp = defineOperation({
  name: "town.up",
  summary: "Make tmux match the floor plan; a second time it changes nothing",
  effect: "write",
  role: "operator",
  input: z.strictObject({
    file: PlanFile.optional(),
    sessions: Names.optional(),
    restart: z.boolean().optional().describe("also restart sessions that differ from the plan"),
    yes: z.boolean().optional().describe("also stop what left the plan, and touch attached or protected sessions"),
    dryRun: z.boolean().optional(),
    restore: z
      .boolean()
      .optional()
      .describe("only what ran before, after a crash or a reboot; what was stopped stays so"),
    move: z
      .boolean()
      .optional()
      .describe("end what runs on another tmux server than is wanted now, and start it on that one"),
    tmuxSocket: TmuxSocket.optional(),
  }),
  streams: z.looseObject({ done: z.number(), total: z.number(), session: z.string(), did: z.string() }),
  output: z.looseObject({
    town: z.string(),
    created: z.array(z.string()),
    adopted: z.array(z.string()),
    restarted: z.array(z.string()),
    stopped: z.array(z.string()),
    unchanged: z.number(),
    failed: z.array(z.looseObject({ session: z.string(), error: z.string() })),
    /** Steps that wait for consent. */
    held: z.array(Step),
    /** Sessions on this server that nobody declared, and nobody has decided about. */
    unknown: z.array(z.string()),
    ms: z.number(),
  }),
  errors: ["PLAN_INVALID", "CONFLICT", "NEEDS_CONSENT", "NAME_TAKEN", "TMUX_MISSING", "UNREACHABLE"],
});

export const townDown = defineOperation({
  name: "town.down",
  summary: "Stop sessions, their process trees included; they stay stopped until `up`",
  effect: "destroy",
  role: "operator",
  input: z.strictObject({
    sessions: Names.optional(),
    yes: z.boolean().optional().describe("also attached and protected sessions"),
    dryRun: z.boolean().optional(),
  }),
  output: z.looseObject({
    stopped: z.array(z.string()),
    held: z.array(Step),
    failed: z.array(z.looseObject({ session: z.string(), error: z.string() })),
  }),
});

export const sessionRestart = defineOperation({
  name: "session.restart",
  summary: "Restart sessions: same place, same windows, a new epoch",
  effect: "destroy",
  role: "operator",
  input: z.strictObject({
    sessions: z.array(z.string()).min(1),
    yes: z.boolean().optional(),
    fresh: z
      .boolean()
      .optional()
      .describe("with a new context: a conversation begins anew, what was said is kept beside"),
    because: z.string().trim().min(1).max(500).optional().describe("why; it stands in the log"),
  }),
  output: z.looseObject({ restarted: z.array(z.string()), held: z.array(Step) }),
  errors: ["UNKNOWN_SESSION", "NEEDS_CONSENT"],
});

export const sessionLogs = defineOperation({
  name: "session.logs",
  summary: "The text a session's panes show, scrollback included",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    session: z.string(),
    pane: z.string().optional().describe("pane title, agent id or tmux id; default every pane"),
    lines: z.number().int().min(1).max(100_000).optional(),
    follow: z.boolean().optional(),
  }),
  streams: z.looseObject({ pane: z.string(), text: z.string() }),
  output: z.looseObject({ panes: z.array(z.looseObject({ id: z.string(), title: z.string(), text: z.string() })) }),
  errors: ["UNKNOWN_SESSION"],
});

/** The raw bytes a pane writes from now on, for a copy of it somewhere else. They are not safe to show without a terminal. */
export const sessionOutput = defineOperation({
  name: "session.output",
  summary: "Follow the raw output of one pane",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    session: z.string(),
    pane: z.string().optional().describe("pane title, slot or tmux id; default the first"),
  }),
  output: z.looseObject({ pane: z.string() }),
  streams: z.strictObject({ base64: z.string() }),
  errors: ["UNKNOWN_SESSION"],
});

/** What `attach` needs to know; the command line then becomes tmux. */
export const sessionAttach = defineOperation({
  name: "session.attach",
  summary: "Where and how to attach to a session",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ session: z.string(), readOnly: z.boolean().optional(), force: z.boolean().optional() }),
  output: z.looseObject({
    socket: z.array(z.string()).describe("tmux flags that select the server"),
    target: z.string(),
    name: z.string(),
    readOnly: z.boolean(),
    serverPid: z.number().nullable(),
  }),
  errors: ["UNKNOWN_SESSION", "REFUSED"],
});

export const sessionWhois = defineOperation({
  name: "session.whois",
  summary: "Whose session a tmux name is: town, role, rig, crew",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ name: z.string() }),
  output: z.looseObject({
    name: z.string(),
    town: z.string(),
    role: z.string(),
    rig: z.string(),
    crew: z.string(),
    known: z.enum(["declared", "legacy", "ghost", "foreign"]),
  }),
  errors: ["NOT_FOUND", "BAD_NAME"],
});

export const planShow = defineOperation({
  name: "plan.show",
  summary: "The floor plan as read: what exists, what each part is for, how they relate",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ file: PlanFile.optional() }),
  output: z.looseObject({ plan: z.unknown(), amendments: z.array(z.unknown()) }),
  errors: ["PLAN_INVALID", "NOT_FOUND"],
});

export const coordinatorStop = defineOperation({
  name: "coordinator.stop",
  summary: "Stop the coordinator; sessions go on and are found again by the next one",
  effect: "write",
  role: "operator",
  input: z.strictObject({}),
  output: z.strictObject({ pid: z.number() }),
});

export const eventList = defineOperation({
  name: "event.list",
  summary: "The event log: every fact in order",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    after: z.number().int().min(0).optional(),
    last: z.number().int().min(1).max(10_000).optional(),
    session: z.string().optional(),
    follow: z.boolean().optional(),
  }),
  streams: z.unknown(),
  output: z.looseObject({ events: z.array(z.unknown()), next: z.number() }),
});

export const auditVerify = defineOperation({
  name: "audit.verify",
  summary: "Check the log from the first entry to the last: chain, Merkle leaves, signed checkpoints",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({
    ok: z.boolean(),
    entries: z.number(),
    head: z.string(),
    /** Signed ones that the entries agree with. */
    checkpoints: z.number(),
    firstBad: z.number().nullable(),
    why: z.string().nullable(),
  }),
});

export const logRebuild = defineOperation({
  name: "log.rebuild",
  summary: "Delete the views, replay the log, compare",
  effect: "write",
  role: "operator",
  input: z.strictObject({}),
  output: z.looseObject({ entries: z.number(), equal: z.boolean(), differing: z.array(z.string()) }),
});

export const sessionWhy = defineOperation({
  name: "session.why",
  summary: "Why a session's processes ended, what was decided, and when the next try is",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ session: z.string() }),
  output: z.looseObject({
    session: z.string(),
    state: SessionState,
    evidence: z.string(),
    policy: z.string(),
    ends: z.array(
      z.looseObject({
        pane: z.string(),
        at: z.string(),
        exit: z.string(),
        decided: z.enum(["restart", "again", "wait", "probe", "park", "leave"]),
        because: z.string(),
        next_at: z.string().nullable(),
        /** Failures in a row, and in the last day. */
        streak: z.number(),
        failures: z.number(),
      }),
    ),
  }),
  errors: ["UNKNOWN_SESSION"],
});

export const sessionReset = defineOperation({
  name: "session.reset",
  summary: "Begin its count of failures again, and start what was given up",
  effect: "write",
  role: "operator",
  input: z.strictObject({ sessions: z.array(z.string()).min(1) }),
  output: z.looseObject({ reset: z.array(z.string()) }),
  errors: ["UNKNOWN_SESSION"],
});
