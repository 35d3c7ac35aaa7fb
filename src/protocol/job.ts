import { z } from "zod";
import { defineOperation } from "./operation.ts";

const Duration = z
  .string()
  .regex(/^\d+(\.\d+)?\s*(ms|s|m|h|d|w)$/, "a duration is a number and ms, s, m, h, d or w: 10m");

/** Work that is done again and again: a watch job in a window of its own, or a command by the clock. */
export const JobSpec = z
  .strictObject({
    about: z.string().optional().describe("what it is for"),
    every: Duration.optional().describe("how often: 5s"),
    cron: z.string().optional().describe('when, as in a crontab: "*/5 * * * *"'),
    timezone: z.string().optional().describe("of the cron line: UTC"),
    do: z.string().optional().describe("command line"),
    cwd: z.string().optional().describe("folder it runs in"),
    env: z.record(z.string(), z.string()).optional().describe("environment variables"),
    timeout: Duration.optional().describe("it is ended after so long: 10m"),
    snapshot: z.string().optional().describe("session whose screen is written to a file, again and again"),
    record: z.string().optional().describe("session whose output is written to a log, each line once"),
    channel: z.string().optional().describe("room, or file, whose new lines are shown and receipted"),
    ceilings: z.string().optional().describe("session whose ceilings are watched"),
    to: z.string().optional().describe("file that is written"),
    rotate: z.union([z.string(), z.number()]).optional().describe("a log goes on in a new file at this size: 10MB"),
    keep: z.number().int().min(1).max(1_000).optional().describe("old logs that stay: 5"),
    receipts: z
      .union([z.boolean(), z.string()])
      .optional()
      .describe("of a channel: write receipts; or the file they go to"),
    handshake: z.boolean().optional().describe("of ceilings: write what is known into the handshake when one is near"),
    pattern: z.string().optional().describe("of ceilings: what on its screen warns of one; (?<turns>…) is its count"),
    alert: z.enum(["P0", "P1", "P2", "P3", "P4"]).optional().describe("level when it fails: P2"),
  })
  .refine(
    (spec) => JOB_KINDS.filter((kind) => spec[kind] !== undefined).length === 1,
    "a job is one of do, snapshot, record, channel and ceilings",
  );
export type JobSpec = z.infer<typeof JobSpec>;

export const JOB_KINDS = ["do", "snapshot", "record", "channel", "ceilings"] as const;
export type JobKind = (typeof JOB_KINDS)[number];

export const JobRun = z.looseObject({
  /** RFC 3339. */
  at: z.string(),
  ms: z.number(),
  /** 0: all went well; null: it was left out, because the one before still ran. */
  exit: z.number().nullable(),
  /** The last line it said, or why it was left out. */
  said: z.string(),
});
export type JobRun = z.infer<typeof JobRun>;

export const JobState = z.looseObject({
  id: z.string(),
  kind: z.enum([...JOB_KINDS, "session"]),
  about: z.string(),
  /** `every 5s`, `*∕5 * * * *`, `always`. */
  when: z.string(),
  target: z.string(),
  state: z.enum(["ok", "failing", "running", "waiting"]),
  detail: z.string(),
  last: z.string().nullable(),
  next: z.string().nullable(),
  runs: z.number(),
  skipped: z.number(),
});
export type JobState = z.infer<typeof JobState>;

export const jobList = defineOperation({
  name: "job.list",
  summary: "Jobs of the plan, and those in the crontab that nobody declared",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({
    jobs: z.array(JobState),
    /** Lines of the user's crontab that no job and no service of the plan declares. */
    undeclared: z.array(z.string()),
  }),
});

export const jobHistory = defineOperation({
  name: "job.history",
  summary: "The last runs of a job, newest first",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ job: z.string().min(1).max(200), limit: z.number().int().min(1).max(1_000).optional() }),
  output: z.looseObject({ job: JobState, runs: z.array(JobRun) }),
  errors: ["NOT_FOUND"],
});

export const jobRun = defineOperation({
  name: "job.run",
  summary: "Run a job now, unless it runs already",
  effect: "write",
  role: "operator",
  input: z.strictObject({ job: z.string().min(1).max(200) }),
  output: z.looseObject({ job: JobState, run: JobRun }),
  errors: ["NOT_FOUND"],
});

export const jobWatch = defineOperation({
  name: "job.watch",
  summary: "Follow what a job does",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ job: z.string().min(1).max(200) }),
  output: z.looseObject({ job: JobState, lines: z.array(z.string()) }),
  streams: z.looseObject({ line: z.string() }),
  errors: ["NOT_FOUND"],
});
