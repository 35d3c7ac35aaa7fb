import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { Cron } from "croner";
import { BosunError } from "../../../protocol/error.ts";
import {
  type JobKind,
  type JobRun,
  type JobState,
  jobHistory,
  jobList,
  jobRun,
  jobWatch,
} from "../../../protocol/job.ts";
import { jobsOf, type Plan, type PlanJob, type PlanSession } from "../../../protocol/plan.ts";
import { COORDINATOR, type Dispatch } from "../../dispatch.ts";
import { statuses } from "../../status.ts";
import type { Reconcile } from "../../up.ts";
import { crontab } from "../services.ts";
import { ceilings } from "./ceilings.ts";
import { channel } from "./channel.ts";
import { command } from "./command.ts";
import { record } from "./record.ts";
import { snapshot } from "./snapshot.ts";
import type { Bench, MakeWork, Outcome, Work } from "./work.ts";

const WORK: Record<JobKind, MakeWork> = { do: command, snapshot, record, channel, ceilings };

/** What follows something without a clock of its own looks this often. */
const FOLLOW_EVERY_MS = 250;

/** The crontab is compared with the plan this often. */
const CRONTAB_EVERY_MS = 300_000;

/** Lines of a job kept for whoever looks. */
const KEPT_LINES = 200;

/** A history goes on in a new file at this size; one old one stays. */
const HISTORY_BYTES = 1_048_576;

/** Commands and sessions have a history; what looks every few seconds has none. */
const WITH_HISTORY: readonly string[] = ["do", "session"];

interface Entry {
  job: PlanJob;
  kind: JobKind | "session";
  work: Work;
  clock: Cron | null;
  timer: NodeJS.Timeout | null;
  running: boolean;
  lines: string[];
  watchers: Set<(line: string) => void>;
  last: JobRun | null;
  runs: number;
  skipped: number;
  state: JobState["state"];
  detail: string;
}

/** The jobs of the plan by their clocks: one run of each at a time, its history kept, its failures told. */
export class Jobs {
  readonly #bench: Bench;
  readonly #reconcile: Reconcile;
  readonly #entries = new Map<string, Entry>();
  readonly #crontabEvery: NodeJS.Timeout;
  #undeclared: string[] = [];
  #plan: string | null = null;

  constructor(dispatch: Dispatch, bench: Bench, reconcile: Reconcile) {
    this.#bench = bench;
    this.#reconcile = reconcile;
    bench.town.on("plan", (plan) => this.#declare(plan));
    dispatch.handle(jobList, async () => {
      await this.#compareCrontab();
      return { jobs: [...this.#entries.values()].map(stateOf), undeclared: this.#undeclared };
    });
    dispatch.handle(jobHistory, ({ job, limit = 20 }) => {
      const entry = this.#named(job);
      return { job: stateOf(entry), runs: this.#history(entry.job.id).toReversed().slice(0, limit) };
    });
    dispatch.handle(jobRun, async ({ job }) => {
      const entry = this.#named(job);
      const run = await this.#run(entry);
      return { job: stateOf(entry), run };
    });
    dispatch.handle(jobWatch, ({ job }, { stream }) => {
      const entry = this.#named(job);
      const watcher = (line: string): void => void stream.push(JSON.stringify({ line }));
      entry.watchers.add(watcher);
      stream.onClose(() => entry.watchers.delete(watcher));
      return { job: stateOf(entry), lines: entry.lines };
    });
    this.#crontabEvery = setInterval(() => void this.#compareCrontab(), CRONTAB_EVERY_MS);
    this.#crontabEvery.unref();
  }

  close(): void {
    clearInterval(this.#crontabEvery);
    for (const entry of this.#entries.values()) this.#end(entry);
    this.#entries.clear();
  }

  #declare(plan: Plan): void {
    const wanted = new Map([
      ...jobsOf(plan).map((job) => [job.id, { job, session: null as PlanSession | null }] as const),
      ...plan.sessions.flatMap((session) =>
        session.start === "schedule" && session.schedule !== null
          ? [[session.id, { job: startOf(session), session }] as const]
          : [],
      ),
    ]);
    // The same plan again (a session was opened beside it) changes nothing.
    const digest = JSON.stringify([...wanted.values()].map(({ job }) => job));
    if (digest === this.#plan) return;
    this.#plan = digest;
    for (const [id, entry] of this.#entries) {
      if (JSON.stringify(wanted.get(id)?.job) === JSON.stringify(entry.job)) continue;
      this.#end(entry);
      this.#entries.delete(id);
    }
    for (const [id, { job, session }] of wanted) if (!this.#entries.has(id)) this.#begin(job, session);
    void this.#compareCrontab();
  }

  #begin(job: PlanJob, session: PlanSession | null): void {
    const lines: string[] = [];
    const watchers = new Set<(line: string) => void>();
    const say = (line: string): void => {
      lines.push(line);
      if (lines.length > KEPT_LINES) lines.shift();
      for (const watcher of watchers) watcher(line);
    };
    const entry: Entry = {
      job,
      kind: session ? "session" : job.kind,
      work: session ? this.#starting(session) : WORK[job.kind](job, this.#bench, say),
      clock: null,
      timer: null,
      running: false,
      lines,
      watchers,
      last: this.#history(job.id).at(-1) ?? null,
      runs: 0,
      skipped: 0,
      state: "waiting",
      detail: "has not run yet",
    };
    this.#entries.set(job.id, entry);
    const run = (): void => void this.#run(entry);
    if (job.cron !== null) {
      entry.clock = new Cron(job.cron, { unref: true, ...(job.timezone !== null && { timezone: job.timezone }) }, run);
    } else {
      entry.timer = setInterval(run, job.everyMs || FOLLOW_EVERY_MS).unref();
      if (job.kind !== "do") run();
    }
  }

  #end(entry: Entry): void {
    entry.clock?.stop();
    if (entry.timer) clearInterval(entry.timer);
    entry.work.close();
  }

  /** A session by the clock: one that still runs is left to it. */
  #starting(session: PlanSession): Work {
    return {
      run: async () => {
        const now = statuses(this.#bench.town).find((each) => each.id === session.id);
        if (now?.state === "running" || now?.state === "degraded") return { exit: -1, said: "it still runs" };
        const { failed } = await this.#reconcile.up({ sessions: [session.id], stay: true }, COORDINATOR, null);
        return failed.length > 0 ? { exit: 1, said: failed[0]!.error } : { exit: 0, said: "started" };
      },
      close() {},
    };
  }

  async #run(entry: Entry): Promise<JobRun> {
    const { town, alerts } = this.#bench;
    const at = new Date(town.now()).toISOString();
    const leftOut = (said: string): JobRun => {
      entry.skipped++;
      const skipped: JobRun = { at, ms: 0, exit: null, said };
      if (WITH_HISTORY.includes(entry.kind)) this.#remember(entry.job.id, skipped);
      return skipped;
    };
    if (entry.running) return leftOut("the one before still runs");
    entry.running = true;
    const startedMs = performance.now();
    let outcome: Outcome;
    try {
      outcome = await entry.work.run();
    } catch (error) {
      outcome = { exit: 1, said: error instanceof Error ? error.message : String(error) };
    }
    entry.running = false;
    if (outcome.exit < 0) return leftOut(outcome.said);
    const run: JobRun = { at, ms: Math.round(performance.now() - startedMs), exit: outcome.exit, said: outcome.said };
    entry.last = run;
    entry.runs++;
    entry.state = outcome.exit === 0 ? "ok" : "failing";
    entry.detail = outcome.said;
    if (WITH_HISTORY.includes(entry.kind)) this.#remember(entry.job.id, run);
    const key = `job ${entry.job.id}`;
    if (outcome.exit === 0) alerts.clear(key, "it went well");
    else alerts.raise(entry.job.alert, key, `the job ${entry.job.id} fails (${outcome.exit}): ${outcome.said}`);
    return run;
  }

  #historyFile(id: string): string {
    return join(this.#bench.town.cradle.stateFolder, "jobs", `${id.replaceAll("/", "_")}.jsonl`);
  }

  #remember(id: string, run: JobRun): void {
    const file = this.#historyFile(id);
    try {
      mkdirSync(join(file, ".."), { recursive: true, mode: 0o700 });
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > HISTORY_BYTES) renameSync(file, `${file}.1`);
      appendFileSync(file, `${JSON.stringify(run)}\n`, { mode: 0o600 });
    } catch (error) {
      this.#bench.town.log.warn({ err: error, id }, "the history of a job cannot be written");
    }
  }

  /** Oldest first. */
  #history(id: string): JobRun[] {
    return [`${this.#historyFile(id)}.1`, this.#historyFile(id)].flatMap((file) =>
      existsSync(file)
        ? readFileSync(file, "utf8")
            .split("\n")
            .flatMap((line) => {
              try {
                return line === "" ? [] : [JSON.parse(line) as JobRun];
              } catch {
                // Cut off by a crash.
                return [];
              }
            })
        : [],
    );
  }

  #named(id: string): Entry {
    const entry = this.#entries.get(id) ?? [...this.#entries.values()].find((each) => each.job.id.endsWith(`/${id}`));
    if (entry) return entry;
    throw new BosunError({
      code: "NOT_FOUND",
      what: `the plan has no job "${id}"`,
      why: `it has ${[...this.#entries.keys()].slice(0, 8).join(", ") || "none"}`,
      fix: "bosun jobs",
    });
  }

  /** What the user's crontab runs and the plan does not know of: "in crontab but not in the registry" (the ship's rule). */
  async #compareCrontab(): Promise<void> {
    const { plan } = this.#bench.town;
    const uses = plan?.services.some(({ spec }) => spec.cron !== undefined) || (plan?.jobs.length ?? 0) > 0;
    if (!plan || !uses) return;
    const lines = await crontab();
    if (typeof lines === "string") return;
    const known = [
      ...plan.services.flatMap(({ spec }) => spec.cron ?? []),
      ...plan.jobs.flatMap((job) => (job.kind === "do" ? [job.target] : [])),
    ];
    this.#undeclared = lines.filter((line) => !known.some((each) => line.includes(each)));
    const { alerts } = this.#bench;
    if (this.#undeclared.length === 0) alerts.clear("crontab", "every line is declared");
    else alerts.raise("P3", "crontab", `the crontab runs what the plan does not know: ${this.#undeclared.join("; ")}`);
  }
}

/** The start of a session by the clock, as a job. */
function startOf(session: PlanSession): PlanJob {
  return {
    id: session.id,
    kind: "do",
    about: session.about,
    target: `bosun up ${session.id}`,
    cron: session.schedule,
    timezone: null,
    everyMs: 0,
    timeoutMs: 0,
    cwd: "/",
    env: {},
    to: null,
    rotateBytes: 0,
    keep: 0,
    channel: null,
    receipts: null,
    handshake: false,
    pattern: "",
    alert: "P2",
  };
}

function stateOf(entry: Entry): JobState {
  const { job, clock, last } = entry;
  return {
    id: job.id,
    kind: entry.kind,
    about: job.about,
    when: job.cron ?? (job.everyMs > 0 ? `every ${job.everyMs / 1_000} s` : "always"),
    target: job.target,
    state: entry.running && entry.kind === "do" ? "running" : entry.state,
    detail: entry.detail,
    last: last?.at ?? null,
    next: clock?.nextRun()?.toISOString() ?? null,
    runs: entry.runs,
    skipped: entry.skipped,
  };
}
