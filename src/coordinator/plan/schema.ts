import { z } from "zod";

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
const Each = z
  .record(z.string(), z.array(z.union([z.string(), z.number()])).min(1))
  .describe("one copy per combination: each: { instrument: [SPX, QQQ] } fills <instrument>");
const Level = z.enum(["debug", "info", "warn", "alert"]);

const RestartPolicy = z.enum(["always", "on-failure", "never"]);
const Restart = z
  .union([
    RestartPolicy,
    z.strictObject({
      policy: RestartPolicy.describe("when an ended session is started again"),
      delay: text.optional().describe("before the first retry, 200ms"),
      backoff: free.optional().describe("base, factor, max, jitter of the later retries"),
      reset_after: text.optional().describe("healthy this long, and the count starts again"),
      budget: z.array(free).optional().describe("how many starts in how long"),
      exhausted: z.enum(["probe", "park"]).optional(),
      probe_every: text.optional(),
      success_exit: z.array(z.number()).optional(),
      never_exit: z.array(z.number()).optional(),
      wait_exit: free.optional(),
      stop: free.optional().describe("signal, timeout and scope of stopping"),
      start_timeout: text.optional(),
      depends_on: words.optional(),
      group_strategy: z.enum(["one", "all", "rest"]).optional(),
    }),
  ])
  .describe("always, on-failure or never; or a map with policy and details");

const Agent = z.strictObject({
  id: text.describe("unique in the town: deacon-spx"),
  type: text.optional().describe("what it is: narrator, claude-code, GPT-4"),
  profile: text.optional().describe("which rules tell its states"),
  capabilities: words.optional().describe("what it can do; others find it by these"),
  user: text.optional().describe("the person it works for"),
  ask: z.enum(["auto", "socket", "fifo", "keys", "broker"]).optional().describe("the way questions reach it"),
});

const Pane = z
  .union([
    z.string().describe("`command` is a bosun command line; any other text is run"),
    z.strictObject({
      title: text.optional().describe("shown in the pane's border"),
      run: text.optional().describe("command line, run as the pane's process"),
      cwd: text.optional(),
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
  panes: z.array(Pane).min(1).optional(),
  run: text.optional().describe("command of a window with one pane"),
  job: free.optional().describe("a watch job instead of a command"),
});

const Session = z.strictObject({
  about: text.optional().describe("what this session is for"),
  purpose: text.optional().describe("the same as about"),
  meaning: text.optional().describe("what the name means"),
  role: text.optional().describe("mayor, deacon, witness, crew …: chooses the name template"),
  name: text.optional().describe("crew or polecat name, where the template needs one; default the key"),
  each: Each.optional(),
  run: text.optional().describe("command line of a session with one pane, run as its process"),
  windows: z.array(Window).min(1).optional(),
  chat: free.optional().describe("a model session instead of a command"),
  cwd: text.optional().describe("folder its panes start in"),
  env: environment.optional(),
  env_pass: words.optional().describe("variables copied from whoever runs bosun up"),
  agent: Agent.optional().describe("who lives in the single pane"),
  room: text.optional().describe("the room its agents narrate into"),
  start: z.enum(["boot", "manual", "schedule"]).optional().describe("boot: with every up; manual: only by name"),
  lifecycle: z.enum(["persistent", "permanent", "manual", "on-demand", "task"]).optional(),
  restart: Restart.optional(),
  health: free.optional().describe("how to tell that it works"),
  after: oneOrMore.optional().describe("sessions that start before this one"),
  needs: oneOrMore.optional().describe("the same as after"),
  chapter: free.optional().describe("ceilings and handoff"),
  protect: z.boolean().optional().describe("never stopped, renamed or typed into without --yes"),
  headless: z.boolean().optional().describe("nobody attaches; people use views"),
  access: z
    .array(z.enum(["viewer", "operator", "admin"]))
    .optional()
    .describe("roles that may attach"),
  worktree: z.boolean().optional().describe("a git worktree of its own"),
  host: text.optional().describe("the machine it runs on"),
  shell: text.optional().describe("runs the command lines; default /bin/sh"),
  created: free.optional().describe("by, date, note"),
  registry: text.optional().describe("where else it is registered"),
  feeds: words.optional().describe("what it feeds"),
  naming_exception: text.optional().describe("why its name does not follow the pattern"),
});

const Source = z.union([
  z.strictObject({
    pane: text,
    pattern: text,
    agent: text.optional(),
    level: Level.optional(),
    tags: words.optional(),
  }),
  z.strictObject({ jsonl: text, from: text.optional() }),
  z.strictObject({ rooms: oneOrMore, level: Level.optional(), tags: words.optional() }),
]);

const Room = z.strictObject({
  about: text.optional().describe("what is said here"),
  each: Each.optional(),
  keep: z
    .union([
      text,
      z.number().int().min(1),
      z.strictObject({ age: text.optional(), count: z.number().int().min(1).optional() }),
    ])
    .optional()
    .describe("30d, 5000 lines, or { age, count }"),
  jsonl: z
    .union([
      text,
      z.strictObject({
        path: text,
        rotate: z.union([text, z.number()]).optional(),
        keep: z.number().int().min(1).max(1000).optional(),
      }),
    ])
    .optional()
    .describe("mirror file: one JSON object per line"),
  sources: z.array(Source).optional().describe("where lines come from besides say"),
  private: words.optional().describe("only these agents and people read and write"),
});

const User = z.strictObject({
  name: text.optional().describe("the person's name"),
  role: z.enum(["viewer", "operator", "admin"]).optional(),
  view: z.array(Window).min(1).optional().describe("windows of the personal session"),
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
        .union([text, z.strictObject({ columns: z.number().int(), rows: z.number().int() })])
        .optional()
        .describe("size of agents' windows: 200x50"),
    })
    .optional(),
  about: z
    .strictObject({
      purpose: text.optional(),
      author: text.optional(),
      since: z.union([text, z.date()]).optional(),
      date: z.union([text, z.date()]).optional(),
      status: text.optional(),
      because: text.optional(),
    })
    .optional()
    .describe("purpose, author, since, because"),
  defaults: z
    .strictObject({
      shell: text.optional(),
      cwd: text.optional(),
      env: environment.optional(),
      env_pass: words.optional(),
      restart: Restart.optional(),
      chapter: free.optional(),
      protect: z.boolean().optional(),
    })
    .optional()
    .describe("what every session inherits"),
  rooms: z.record(z.string(), Room.nullable()).nullable().optional().describe("shared feeds"),
  sessions: z.record(z.string(), Session).nullable().optional().describe("what runs"),
  rigs: z
    .record(
      z.string(),
      z
        .strictObject({
          about: text.optional(),
          path: text.optional(),
          prefix: text.optional(),
          sessions: z.record(z.string(), Session.nullable()).nullable().optional(),
        })
        .nullable(),
    )
    .optional()
    .describe("projects; each groups sessions"),
  users: z.record(z.string(), User.nullable()).nullable().optional().describe("people and their views"),
  services: z.record(z.string(), free).nullable().optional().describe("things run elsewhere"),
  jobs: z.record(z.string(), free).nullable().optional().describe("scheduled watch jobs"),
  alerts: z.record(z.string(), z.unknown()).nullable().optional().describe("level P0–P4 to sinks"),
  groups: z.record(z.string(), words).nullable().optional().describe("names for several agents or people"),
  hosts: z.record(z.string(), z.unknown()).nullable().optional().describe("machines"),
  broker: text.optional().describe("nats://host:port, for agents reached over a broker"),
  include: oneOrMore.optional().describe("other files, merged in order"),
});
export type FloorPlan = z.output<typeof FloorPlan>;
export type SessionEntry = z.output<typeof Session>;
export type WindowEntry = z.output<typeof Window>;
export type PaneEntry = z.output<typeof Pane>;
export type RoomEntry = z.output<typeof Room>;

/** For editors, published as `schema/floorplan.schema.json` by `npm run generate`: `# yaml-language-server: $schema=…` */
export function floorPlanJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(FloorPlan, { target: "draft-7", unrepresentable: "any", io: "input" }) as Record<
    string,
    unknown
  >;
  return { ...schema, title: "bosun floor plan", description: "Declares what should be running." };
}

/** Keys that may stand at `path`; empty where anything may. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  let here: z.ZodType[] = [FloorPlan];
  for (const step of path) here = here.flatMap(options).flatMap((schema) => child(schema, step));
  return [
    ...new Set(
      here.flatMap(options).flatMap((schema) => (schema instanceof z.ZodObject ? Object.keys(schema.shape) : [])),
    ),
  ];
}

function options(schema: z.ZodType): z.ZodType[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return options(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodUnion) return (schema.options as z.ZodType[]).flatMap(options);
  return [schema];
}

function child(schema: z.ZodType, step: PropertyKey): z.ZodType[] {
  if (schema instanceof z.ZodObject) {
    const next = (schema.shape as Record<PropertyKey, z.ZodType>)[step];
    return next ? [next] : [];
  }
  if (schema instanceof z.ZodRecord) return [schema.valueType as z.ZodType];
  if (schema instanceof z.ZodArray) return [schema.element as z.ZodType];
  return [];
}
