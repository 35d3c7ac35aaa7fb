import { z } from "zod";
import { AlertLevel, AlertSink } from "../../protocol/alert.ts";
import { ChatSpec } from "../../protocol/chat.ts";
import { HealthSpec } from "../../protocol/health.ts";
import { JobSpec } from "../../protocol/job.ts";
import { ServiceSpec } from "../../protocol/service.ts";

/**
 * The floor plan as written, before placeholders are filled. One declaration: it checks a file, and its JSON Schema gives
 * editors completion. Unknown keys are errors; keys beginning with `x-` are the reader's own and are taken out before.
 */

const text = z.string();
const words = z.array(z.string());
const oneOrMore = z.union([z.string(), z.array(z.string())]);
const scalar = z.union([z.string(), z.number(), z.boolean()]);
const environment = z.record(z.string(), scalar).describe("environment variables of every pane");
const free = z.record(z.string(), z.unknown());
const Duration = text.regex(/^\d+(\.\d+)?\s*(ms|s|m|h|d|w)$/, "a duration is a number and ms, s, m, h, d or w: 10m");
const PlaceholderName = text.regex(
  /^(?!(?:town|rig|user)$)[a-z][a-z0-9_]*$/,
  "the name of a placeholder is lower-case letters, digits and _; <town>, <rig> and <user> are taken",
);
const Each = z
  .record(PlaceholderName, z.array(z.union([z.string(), z.number()])).min(1))
  .describe("one copy per combination: each: { instrument: [SPX, QQQ] } fills <instrument>");
const Level = z.enum(["debug", "info", "warn", "alert"]);

const RestartPolicy = z.enum(["always", "on-failure", "never"]);
const Restart = z
  .union([
    RestartPolicy,
    z.strictObject({
      policy: RestartPolicy.describe("when an ended session is started again"),
      delay: Duration.optional().describe("before the first retry: 200ms"),
      backoff: z
        .strictObject({
          base: Duration.optional().describe("the first pause: 1s"),
          factor: z.number().min(1).optional().describe("each pause is so many times the one before: 2"),
          max: Duration.optional().describe("the longest pause: 60s"),
          jitter: z.number().min(0).max(1).optional().describe("share that is left to chance: 0.2"),
        })
        .optional()
        .describe("pauses from the second retry on"),
      reset_after: Duration.optional().describe("healthy this long, and the count starts again: 10m"),
      budget: z
        .array(
          z.strictObject({
            starts: z.number().int().min(1).describe("unexpected ends, at most"),
            per: Duration.describe("in this time: 10m"),
          }),
        )
        .optional()
        .describe("how many starts in how long; all must hold"),
      exhausted: z
        .enum(["probe", "park"])
        .optional()
        .describe("afterwards: one try now and then, or wait for a person"),
      probe_every: Duration.optional().describe("time between two tries: 15m"),
      success_exit: z.array(z.number().int()).optional().describe("exit codes that are no failure: [0]"),
      never_exit: z.array(z.number().int()).optional().describe("exit codes after which nothing is tried: [78, 127]"),
      wait_exit: z
        .record(text.regex(/^\d{1,3}$/, "an exit code is a number from 0 to 255"), Duration)
        .optional()
        .describe("exit codes after which to wait: { 75: 5m }"),
      stop: z
        .strictObject({
          signal: text.optional().describe("TERM, INT, HUP …"),
          timeout: Duration.optional().describe("then the next signal: 10s"),
          // biome-ignore lint/suspicious/noThenProperty: the word of the file format; nothing awaits a schema's shape
          then: text.optional().describe("the signal after that: KILL"),
          scope: z.enum(["tree", "process"]).optional().describe("tree: its children too"),
        })
        .optional()
        .describe("how it is stopped"),
      start_timeout: Duration.optional().describe("it must run by then: 60s"),
      depends_on: words.optional().describe("the same as after of the session"),
      group_strategy: z.enum(["one", "all", "rest"]).optional().describe("which others are restarted with it"),
    }),
  ])
  .describe("always, on-failure or never; or a map with policy and details");

const Chapter = z
  .strictObject({
    series: text
      .regex(/^[A-Za-z0-9_][\w.-]{0,63}$/, "a series is letters, digits, _ . and -, at most 64")
      .optional()
      .describe("what its runs are called together; default the session"),
    handshake: text.optional().describe("file that one chapter hands to the next: HANDSHAKE.md"),
    sessions: text.optional().describe("file that gets an entry for each chapter: SESSIONS.md"),
    todo: text.optional().describe("file that holds the pending items: TODO.md"),
    label: text.max(64).optional().describe("stands in SESSIONS.md: C.L.O.D."),
    heading: text.max(500).optional().describe("the mission of every chapter where nobody sets another"),
    minutes: z.number().positive().optional().describe("ceiling: minutes since its opening"),
    turns: z.number().int().positive().optional().describe("ceiling: inputs its agent has taken"),
    bytes: z.union([text, z.number().int().positive()]).optional().describe("ceiling: output, 50MB"),
    tokens: z.number().int().positive().optional().describe("ceiling: tokens, as the agent reports them"),
    grace: Duration.optional().describe("after the ceiling, or a closing, until it is ended: 2m"),
    next: z
      .enum(["roll", "end", "stay"])
      .optional()
      .describe("then: a fresh start (where it restarts always), an end, or the next chapter in the same process"),
  })
  .describe("ceilings and handoff");

const Agent = z.strictObject({
  id: text.describe("unique in the town: deacon-spx"),
  type: text.optional().describe("what it is: narrator, claude-code, GPT-4"),
  profile: text.optional().describe("which rules tell its states"),
  capabilities: words.optional().describe("what it can do; others find it by these"),
  user: text.optional().describe("the person it works for"),
  ask: z.enum(["auto", "socket", "fifo", "keys", "broker"]).optional().describe("the way questions reach it"),
  mcp: z.boolean().optional().describe("false: start it without bosun's MCP server"),
});

const Pane = z
  .union([
    z.string().describe("`command` is a bosun command line; any other text is run"),
    z.strictObject({
      title: text.optional().describe("shown in the pane's border"),
      run: text.optional().describe("command line, run as the pane's process"),
      cwd: text.optional().describe("folder it starts in"),
      env: environment.optional(),
      agent: z
        .union([Agent, oneOrMore])
        .optional()
        .describe("of a run pane: who lives here; of a feed: only lines of these agents"),
      feed: oneOrMore.optional().describe('rooms to follow; "*" is all'),
      tag: oneOrMore.optional().describe("of a feed: only lines with one of these tags"),
      level: Level.optional().describe("of a feed: this level and louder"),
      last: z.number().int().min(0).max(10_000).optional().describe("of a feed: lines of backlog"),
      command: z.literal(true).optional().describe("a bosun command line"),
      link: text.optional().describe("session[:window] to look at"),
      review: text.optional().describe("room whose past is replayed"),
    }),
  ])
  .describe("a command line, `command`, or a map");

const Window = z.strictObject({
  name: text.describe("window name"),
  about: text.optional().describe("what it is for"),
  layout: text.optional().describe("tiled, main-vertical, even-horizontal … or a tmux layout string"),
  panes: z.array(Pane).min(1).optional().describe("what stands side by side in it"),
  run: text.optional().describe("command of a window with one pane"),
  job: JobSpec.optional().describe("a watch job instead of a command"),
});

const Access = z.array(z.enum(["viewer", "operator", "admin"])).describe("roles that may attach");

const Session = z.strictObject({
  about: text.optional().describe("what this session is for"),
  purpose: text.optional().describe("the same as about"),
  meaning: text.optional().describe("what the name means"),
  role: text.optional().describe("mayor, deacon, witness, crew …: chooses the name template"),
  name: text.optional().describe("crew or polecat name, where the template needs one; default the key"),
  was: oneOrMore
    .optional()
    .describe("what it was called before: up takes such a session over as it runs, once it proves to be this town's"),
  each: Each.optional(),
  run: text.optional().describe("command line of a session with one pane, run as its process"),
  windows: z.array(Window).min(1).optional().describe("windows, each with panes, a command or a job"),
  chat: ChatSpec.optional().describe("a conversation with a model instead of a command"),
  cwd: text.optional().describe("folder its panes start in"),
  env: environment.optional(),
  env_pass: words.optional().describe("variables copied from whoever runs bosun up"),
  agent: Agent.optional().describe("who lives in the single pane"),
  room: text.optional().describe("the room its agents narrate into"),
  start: z.enum(["boot", "manual", "schedule"]).optional().describe("boot: with every up; manual: only by name"),
  schedule: text.optional().describe('when it starts, as in a crontab: "0 3 * * *" (start: schedule)'),
  lifecycle: z
    .enum(["persistent", "permanent", "manual", "on-demand", "task"])
    .optional()
    .describe("persistent and permanent need a restart policy; manual and on-demand start by name only"),
  restart: Restart.optional(),
  idle: text
    .optional()
    .describe("stopped after resting so long: idle, nobody there, nothing to type; it starts with up"),
  health: HealthSpec.optional().describe("how to tell that it works"),
  after: oneOrMore.optional().describe("sessions that start before this one"),
  needs: oneOrMore.optional().describe("sessions that must run, and be well, before this one starts"),
  chapter: Chapter.optional(),
  protect: z.boolean().optional().describe("never stopped, renamed or typed into without --yes"),
  headless: z.boolean().optional().describe("nobody attaches; people use views"),
  access: Access.optional(),
  worktree: z.boolean().optional().describe("a git worktree of its own"),
  host: text.optional().describe("the machine it runs on"),
  shell: text.optional().describe("runs the command lines; default /bin/sh"),
  created: free.optional().describe("by, date, note"),
  registry: text.optional().describe("where else it is registered"),
  feeds: words.optional().describe("what it feeds"),
  instance: z
    .strictObject({
      of: text.describe("the session it is another one of"),
      kind: z.enum(["secondary", "forked"]).describe("secondary: beside the first; forked: goes its own way"),
    })
    .optional()
    .describe("a second one of a session that is meant to be one: it writes no rooms"),
  naming_exception: text.optional().describe("why its name does not follow the pattern"),
});

const Source = z.union([
  z.strictObject({
    pane: text.describe("session whose output is listened to"),
    pattern: text.describe("regular expression; its first group, or all it matches, is the text"),
    agent: text.optional().describe("only the pane of this agent"),
    level: Level.optional().describe("level of the lines"),
    tags: words.optional().describe("tags of the lines"),
  }),
  z.strictObject({
    jsonl: text.describe("file that a program appends to; msg or content is the text"),
    from: text.optional().describe("who says these lines"),
  }),
  z.strictObject({
    rooms: oneOrMore.describe('rooms whose lines are repeated here; "*" is all'),
    level: Level.optional().describe("this level and louder"),
    tags: words.optional().describe("lines with one of these tags"),
  }),
]);

const Room = z.strictObject({
  about: text.optional().describe("what is said here"),
  each: Each.optional(),
  keep: z
    .union([
      text,
      z.number().int().min(1),
      z.strictObject({
        age: text.optional().describe("lines younger than this: 30d"),
        count: z.number().int().min(1).optional().describe("this many lines"),
      }),
    ])
    .optional()
    .describe("30d, 5000 lines, or { age, count }"),
  jsonl: z
    .union([
      text,
      z.strictObject({
        path: text.describe("relative to the plan's folder"),
        rotate: z.union([text, z.number()]).optional().describe("a new file begins at this size: 50MB"),
        keep: z.number().int().min(1).max(1000).optional().describe("old files that stay: 5"),
      }),
    ])
    .optional()
    .describe("mirror file: one JSON object per line"),
  sources: z.array(Source).optional().describe("where lines come from besides say"),
  private: words.optional().describe("only these agents and people read and write"),
});

const User = z.strictObject({
  name: text.optional().describe("the person's name"),
  role: z
    .enum(["viewer", "operator", "admin"])
    .optional()
    .describe("viewer: reads; operator: starts and stops; admin: also people and machines"),
  view: z
    .union([z.array(Window).min(1), z.enum(["default", "none"])])
    .optional()
    .describe("windows of the personal session; default: every room and a command line; none: no session"),
});

export const FloorPlan = z.strictObject({
  version: z.literal(1).describe("format version"),
  town: text.optional().describe("the namespace; default: flag, environment, GT_ROOT, folder"),
  names: z
    .union([text, z.record(z.string(), text)])
    .optional()
    .describe("preset (floor, gastown, ship) or templates by role"),
  tmux: z
    .strictObject({
      socket: text.optional().describe("default (the user's own server), town (one of its own), or a name"),
      config: text.optional().describe("tmux configuration file for a server we start"),
      size: z
        .union([
          text,
          z.strictObject({
            columns: z.number().int().describe("20 to 1000"),
            rows: z.number().int().describe("5 to 500"),
          }),
        ])
        .optional()
        .describe("size of agents' windows: 200x50"),
    })
    .optional()
    .describe("which tmux server, and how large"),
  about: z
    .union([
      text,
      z.strictObject({
        purpose: text.optional().describe("what this town is for"),
        author: text.optional().describe("who wrote the plan"),
        since: text.optional().describe("since when it holds: 2026-02-11"),
        date: text.optional().describe("the same as since"),
        status: text.optional().describe("draft, in force …"),
        because: text.optional().describe("why it is as it is"),
      }),
    ])
    .optional()
    .describe("the purpose; or a map of purpose, author, since, because"),
  defaults: z
    .strictObject({
      shell: text.optional().describe("runs the command lines; default /bin/sh"),
      cwd: text.optional().describe("folder panes start in; default the plan's own, or the rig's path"),
      env: environment.optional(),
      env_pass: words.optional().describe("variables copied from whoever runs bosun up"),
      restart: Restart.optional(),
      chapter: Chapter.optional(),
      protect: z.boolean().optional().describe("never stopped, renamed or typed into without --yes"),
      access: Access.optional(),
    })
    .optional()
    .describe("what every session inherits"),
  rooms: z.record(z.string(), Room.nullable()).nullable().optional().describe("shared feeds"),
  sessions: z.record(z.string(), Session.nullable()).nullable().optional().describe("what runs"),
  rigs: z
    .record(
      z.string(),
      z
        .strictObject({
          about: text.optional().describe("what this project is"),
          path: text.optional().describe("where its code is; its sessions start there"),
          prefix: text.optional().describe("what its work items begin with"),
          sessions: z
            .record(z.string(), Session.nullable())
            .nullable()
            .optional()
            .describe("its sessions; their names hold the rig's"),
        })
        .nullable(),
    )
    .nullable()
    .optional()
    .describe("projects; each groups sessions"),
  users: z.record(z.string(), User.nullable()).nullable().optional().describe("people and their views"),
  services: z.record(z.string(), ServiceSpec).nullable().optional().describe("things run elsewhere"),
  jobs: z.record(z.string(), JobSpec).nullable().optional().describe("scheduled watch jobs"),
  alerts: z
    .partialRecord(AlertLevel, z.array(AlertSink))
    .nullable()
    .optional()
    .describe("level P0–P4 to sinks: { P0: [desktop, room: bridge] }"),
  groups: z.record(z.string(), words).nullable().optional().describe("names for several agents or people"),
  limits: z
    .strictObject({
      sends_per_minute: z
        .number()
        .int()
        .min(1)
        .optional()
        .describe("messages one sender may send in a minute; default any"),
      unread: z.number().int().min(1).optional().describe("unread messages one mailbox may hold; default 100000"),
      sessions: z.number().int().min(0).optional().describe("sessions that may be open beside the plan; default 10"),
      disk: z.number().min(1).max(100).optional().describe("percent of the disk above which up starts nothing: 95"),
    })
    .nullable()
    .optional()
    .describe("how much is too much"),
  hosts: z.record(z.string(), z.unknown()).nullable().optional().describe("machines"),
  broker: text.optional().describe("nats://host:port, for agents reached over a broker"),
  include: oneOrMore.optional().describe("other files, merged in order"),
});
export type FloorPlan = z.output<typeof FloorPlan>;
export type SessionEntry = z.output<typeof Session>;
export type ChapterEntry = z.output<typeof Chapter>;
export type WindowEntry = z.output<typeof Window>;
export type PaneEntry = z.output<typeof Pane>;
export type RoomEntry = z.output<typeof Room>;

/** For editors, published as `schema/floorplan.schema.json` by `npm run generate`: `# yaml-language-server: $schema=…` */
export function floorPlanJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(FloorPlan, { target: "draft-7", unrepresentable: "any", io: "input" });
  return {
    ...allowOwnKeys(schema as Record<string, unknown>),
    title: "bosun floor plan",
    description: "Declares what should be running.",
  };
}

/** The reader takes keys beginning with `x-` out before checking; an editor has to be told that they are fine. */
function allowOwnKeys(schema: Record<string, unknown>): Record<string, unknown> {
  const inner = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, key === "properties" ? eachOf(value) : within(value)]),
  );
  return inner.additionalProperties === false ? { ...inner, patternProperties: { "^x-": {} } } : inner;
}

function eachOf(properties: unknown): unknown {
  return Object.fromEntries(Object.entries(properties as object).map(([name, value]) => [name, within(value)]));
}

function within(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(within);
  return typeof value === "object" && value !== null ? allowOwnKeys(value as Record<string, unknown>) : value;
}

/** Keys that may stand at `path`; empty where anything may. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  let here: z.ZodType[] = [FloorPlan];
  for (const step of path) here = here.flatMap(options).flatMap((schema) => child(schema, step));
  return [...new Set(here.flatMap(options).flatMap(keysOf))];
}

function keysOf(schema: z.ZodType): string[] {
  if (schema instanceof z.ZodObject) return Object.keys(schema.shape);
  const names = schema instanceof z.ZodRecord ? schema.keyType : null;
  return names instanceof z.ZodEnum ? names.options.map(String) : [];
}

function options(schema: z.ZodType): z.ZodType[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return options(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodUnion) return (schema.options as z.ZodType[]).flatMap(options);
  return [schema];
}

function child(schema: z.ZodType, step: PropertyKey): z.ZodType[] {
  if (schema instanceof z.ZodObject) {
    const shape = schema.shape as Record<PropertyKey, z.ZodType>;
    return Object.hasOwn(shape, step) ? [shape[step]!] : [];
  }
  if (schema instanceof z.ZodRecord) return [schema.valueType as z.ZodType];
  if (schema instanceof z.ZodArray) return [schema.element as z.ZodType];
  return [];
}
