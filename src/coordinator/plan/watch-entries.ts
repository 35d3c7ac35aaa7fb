import { Cron } from "croner";
import { ALERT_LEVELS, type AlertSink } from "../../protocol/alert.ts";
import { JOB_KINDS, type JobKind, type JobSpec } from "../../protocol/job.ts";
import type { PlanAlerts, PlanJob, PlanRoom, PlanSession } from "../../protocol/plan.ts";
import { parseDuration, parseSize } from "./durations.ts";
import { type Mistakes, type Path, show } from "./mistakes.ts";
import { pathFrom } from "./paths.ts";
import { whyBadPattern } from "./pattern.ts";

/** A screen is written down this often where nothing else is said (seed 002). */
const SNAPSHOT_EVERY_MS = 5_000;
const CEILINGS_EVERY_MS = 2_000;
const DEFAULT_TIMEOUT_MS = 600_000;
const DEFAULT_ROTATE_BYTES = 10 * 1_048_576;
const DEFAULT_KEPT = 5;

/** What an agent says of itself when its context is nearly used up: C.L.O.D.'s line, and Claude Code's. */
const WARNING = "Session at (?<turns>\\d+) turns|[Cc]ontext left until auto-compact: \\d+%";

export interface JobContext {
  folder: string;
  cwd?: string;
  env: Record<string, string | undefined>;
  mistakes: Mistakes;
}

/** A job as the coordinator needs it: durations in ms, absolute paths. What it watches is looked up by `checkJobs`. */
export function jobOf(id: string, spec: JobSpec, path: Path, context: JobContext): PlanJob {
  const { mistakes, folder, env } = context;
  const kind = JOB_KINDS.find((each) => spec[each] !== undefined)!;
  const duration = (key: "every" | "timeout", otherwise: number): number => {
    const given = spec[key];
    return given === undefined ? otherwise : (parseDuration(given) ?? otherwise);
  };
  const file = (name: string | undefined): string | null => (name === undefined ? null : pathFrom(folder, name, env));
  if (spec.cron !== undefined) checkCron(spec.cron, spec.timezone, [...path, "cron"], mistakes);
  if (spec.cron !== undefined && spec.every !== undefined)
    mistakes.add(
      [...path, "every"],
      { what: `${id} has cron and every`, why: "it has one clock", fix: "keep one" },
      "key",
    );
  if (kind === "do" && spec.cron === undefined && spec.every === undefined)
    mistakes.add(
      path,
      {
        what: `nothing says when ${id} runs`,
        why: "a command runs by the clock",
        fix: 'every: 10m, or cron: "*/10 * * * *"',
      },
      "key",
    );
  const rotate = spec.rotate === undefined ? DEFAULT_ROTATE_BYTES : parseSize(spec.rotate);
  if (rotate === null)
    mistakes.add([...path, "rotate"], {
      what: `${show(spec.rotate)} is not a size`,
      why: "a number and KB, MB or GB",
      fix: "rotate: 10MB",
    });
  const wrong = spec.pattern === undefined ? null : whyBadPattern(spec.pattern);
  if (wrong) mistakes.add([...path, "pattern"], wrong);
  const every = { do: 0, snapshot: SNAPSHOT_EVERY_MS, record: 0, channel: 0, ceilings: CEILINGS_EVERY_MS }[kind];
  return {
    id,
    kind,
    about: spec.about ?? "",
    target: spec[kind]!,
    cron: spec.cron ?? null,
    timezone: spec.timezone ?? null,
    everyMs: duration("every", every),
    timeoutMs: duration("timeout", DEFAULT_TIMEOUT_MS),
    cwd: spec.cwd === undefined ? (context.cwd ?? folder) : pathFrom(folder, spec.cwd, env),
    env: spec.env ?? {},
    to: file(spec.to ?? fileFor(kind, spec[kind]!)),
    rotateBytes: rotate ?? DEFAULT_ROTATE_BYTES,
    keep: spec.keep ?? DEFAULT_KEPT,
    channel: kind === "channel" ? pathFrom(folder, spec.channel!, env) : null,
    receipts:
      kind !== "channel" || spec.receipts === undefined || spec.receipts === false
        ? null
        : spec.receipts === true
          ? `${pathFrom(folder, spec.channel!, env)}.receipts`
          : pathFrom(folder, spec.receipts, env),
    handshake: spec.handshake ?? false,
    pattern: spec.pattern ?? WARNING,
    alert: spec.alert ?? "P2",
  };
}

/** As the ship calls its own: `sisters_screen_now.txt`, `sisters_screen.log`. */
function fileFor(kind: JobKind, target: string): string | undefined {
  const name = target.replaceAll("/", "_");
  if (kind === "snapshot") return `${name}_screen_now.txt`;
  return kind === "record" ? `${name}_screen.log` : undefined;
}

export function checkCron(text: string, timezone: string | undefined, path: Path, mistakes: Mistakes): void {
  try {
    new Cron(text, { paused: true, ...(timezone !== undefined && { timezone }) }).nextRun();
  } catch (error) {
    mistakes.add(path, {
      what: `${show(text)} is no time`,
      why: error instanceof Error ? error.message : String(error),
      fix: 'minute hour day month weekday: "*/5 * * * *"',
    });
  }
}

/** Jobs with the places in the file they came from. */
export interface PlacedJob {
  job: PlanJob;
  path: Path;
}

/** A job watches a session that is there; its name becomes its id. A channel is a room before it is a file. */
export function checkJobs(
  jobs: readonly PlacedJob[],
  sessions: readonly PlanSession[],
  rooms: readonly PlanRoom[],
  mistakes: Mistakes,
): void {
  for (const { job, path } of jobs) {
    if (job.kind === "channel") {
      if (rooms.some((room) => room.id === job.target)) job.channel = null;
      continue;
    }
    if (job.kind === "do") continue;
    const found = sessions.find((session) => session.id === job.target || session.name === job.target);
    if (found) job.target = found.id;
    else
      mistakes.add([...path, job.kind], {
        what: `there is no session ${show(job.target)}`,
        why: `the sessions are ${
          sessions
            .slice(0, 8)
            .map((session) => session.id)
            .join(", ") || "none"
        }`,
        fix: "name one of them",
      });
  }
}

/** Sinks by level; a text alone is a sink by name. */
export function alertsOf(
  entry: Partial<Record<string, AlertSink[]>> | null | undefined,
  context: Pick<JobContext, "folder" | "env">,
): PlanAlerts {
  return Object.fromEntries(
    ALERT_LEVELS.map((level) => [
      level,
      (entry?.[level] ?? []).map((sink): AlertSink => {
        if (typeof sink === "string") return sink;
        if ("file" in sink) return { file: pathFrom(context.folder, sink.file, context.env) };
        return sink;
      }),
    ]),
  ) as PlanAlerts;
}
