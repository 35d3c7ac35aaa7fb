import { createHash } from "node:crypto";
import type { PlanSession } from "../../protocol/plan.ts";
import { parseDuration } from "../plan/durations.ts";

/** What is known of one pane (or of a whole session, slot `*`) when its process has ended. */
export interface Ends {
  /** Failures so far, oldest first, milliseconds; ends that are no failure are not among them. */
  failedAtMs: number[];
  /** When the process that just ended was started. */
  startedAtMs: number;
  /** Failures in a row without a healthy time between. */
  streak: number;
  /** The budget is spent; only probes, or a person, start it now. */
  exhausted: boolean;
}

export interface RestartDecision {
  /**
   * `restart`  after a failure, counted
   * `again`    after an end that is no failure, not counted
   * `wait`     its exit code says to come back later, not counted
   * `probe`    the budget is spent: one try now and then
   * `park`     the budget is spent: a person decides
   * `leave`    its policy, or its exit code, says that nothing is to be tried
   */
  do: "restart" | "again" | "wait" | "probe" | "park" | "leave";
  afterMs: number | null;
  /** Which failure in a row this is; 0 for none. */
  attempt: number;
  because: string;
}

/** Declared under `restart:` of a session. */
export interface RestartRules {
  delayMs: number;
  backoff: { baseMs: number; factor: number; maxMs: number; jitter: number };
  resetAfterMs: number;
  budget: { starts: number; perMs: number }[];
  exhausted: "probe" | "park";
  probeEveryMs: number;
  successExit: readonly number[];
  neverExit: readonly number[];
  waitExit: ReadonlyMap<number, number>;
}

/**
 * Most crashes are a lost race at start: trying once at once is worth it. Then doubling, so that a cause that is fixed in twenty
 * seconds costs twelve more, and one that is not costs ten starts in four minutes; a second budget bounds slow flapping.
 */
const DEFAULTS: RestartRules = {
  delayMs: 200,
  backoff: { baseMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.2 },
  resetAfterMs: 600_000,
  budget: [
    { starts: 10, perMs: 600_000 },
    { starts: 20, perMs: 3_600_000 },
  ],
  exhausted: "park",
  probeEveryMs: 900_000,
  successExit: [0],
  // The shell's codes for "cannot execute" and "not found", and EX_CONFIG: trying again cannot help.
  neverExit: [78, 126, 127],
  waitExit: new Map(),
};

/** Two starts that follow a clean end are so far apart at least. */
const BETWEEN_STARTS_MS = 1_000;

/** Failures older than every budget are forgotten. */
export const REMEMBERED_MS = 86_400_000;

interface Written {
  delay?: string;
  backoff?: { base?: string; factor?: number; max?: string; jitter?: number };
  reset_after?: string;
  budget?: { starts: number; per: string }[];
  exhausted?: "probe" | "park";
  probe_every?: string;
  success_exit?: number[];
  never_exit?: number[];
  wait_exit?: Record<string, string>;
}

/** The rules of a session: what its plan says, and the defaults for the rest. The plan was checked: every duration reads. */
export function rulesOf({ spec }: PlanSession["restart"]): RestartRules {
  const written = spec as Written;
  const ms = (text: string | undefined, otherwise: number): number =>
    text === undefined ? otherwise : (parseDuration(text) ?? otherwise);
  const { backoff = {} } = written;
  return {
    delayMs: ms(written.delay, DEFAULTS.delayMs),
    backoff: {
      baseMs: ms(backoff.base, DEFAULTS.backoff.baseMs),
      factor: backoff.factor ?? DEFAULTS.backoff.factor,
      maxMs: ms(backoff.max, DEFAULTS.backoff.maxMs),
      jitter: backoff.jitter ?? DEFAULTS.backoff.jitter,
    },
    resetAfterMs: ms(written.reset_after, DEFAULTS.resetAfterMs),
    budget: written.budget?.map(({ starts, per }) => ({ starts, perMs: ms(per, 600_000) })) ?? DEFAULTS.budget,
    exhausted: written.exhausted ?? DEFAULTS.exhausted,
    probeEveryMs: ms(written.probe_every, DEFAULTS.probeEveryMs),
    successExit: written.success_exit ?? DEFAULTS.successExit,
    neverExit: written.never_exit ?? DEFAULTS.neverExit,
    waitExit: new Map(Object.entries(written.wait_exit ?? {}).map(([code, time]) => [Number(code), ms(time, 300_000)])),
  };
}

/**
 * Whether a process that ended by itself is started again, and when. `exit` is `exit 0`, `exit 7`, `signal 9`, `gone`; `seed` makes
 * the jitter the same for the same history. A wanted end (down, restart) never comes here.
 */
export function decideRestart(
  policy: PlanSession["restart"]["policy"],
  rules: RestartRules,
  exit: string,
  ends: Ends,
  nowMs: number,
  seed: string,
): RestartDecision {
  const leave = (because: string): RestartDecision => ({ do: "leave", afterMs: null, attempt: 0, because });
  const code = Number(/^exit (\d+)$/.exec(exit)?.[1] ?? Number.NaN);
  if (policy === "never") return leave("restart: never");
  if (rules.neverExit.includes(code))
    return leave(`${exit} means it cannot run as configured; trying again would not help`);
  const waitMs = rules.waitExit.get(code);
  if (waitMs !== undefined)
    return { do: "wait", afterMs: waitMs, attempt: 0, because: `${exit} means to come back later` };
  if (rules.successExit.includes(code)) {
    if (policy === "on-failure") return leave("it ended cleanly (restart: on-failure)");
    const afterMs = Math.max(rules.delayMs, BETWEEN_STARTS_MS - (nowMs - ends.startedAtMs));
    return { do: "again", afterMs, attempt: 0, because: `${exit}, and it is to run always` };
  }
  const healthy = nowMs - ends.startedAtMs >= rules.resetAfterMs;
  const attempt = healthy ? 1 : ends.streak + 1;
  const spent = rules.budget.find(
    ({ starts, perMs }) => ends.failedAtMs.filter((failedAtMs) => nowMs - failedAtMs < perMs).length >= starts,
  );
  if (spent || (ends.exhausted && !healthy)) {
    const why = spent
      ? `it failed ${spent.starts} times in ${spent.perMs / 60_000} min`
      : "its budget was spent before";
    return rules.exhausted === "probe"
      ? {
          do: "probe",
          afterMs: rules.probeEveryMs,
          attempt,
          because: `${why}; one try each ${rules.probeEveryMs / 60_000} min`,
        }
      : { do: "park", afterMs: null, attempt, because: `parked: ${why}; bosun reset-failed NAME tries again` };
  }
  return { do: "restart", afterMs: pauseMs(rules, attempt, seed), attempt, because: `${exit}, attempt ${attempt}` };
}

/** What is known after that decision. */
export function afterEnd(ends: Ends, decision: RestartDecision, nowMs: number): Ends {
  const failure = decision.attempt > 0;
  return {
    failedAtMs: [...ends.failedAtMs.filter((at) => nowMs - at < REMEMBERED_MS), ...(failure ? [nowMs] : [])],
    startedAtMs: ends.startedAtMs,
    streak: failure ? decision.attempt : 0,
    exhausted: decision.do === "probe" || decision.do === "park",
  };
}

function pauseMs({ delayMs, backoff }: RestartRules, attempt: number, seed: string): number {
  if (attempt === 1) return delayMs;
  const whole = Math.min(backoff.baseMs * backoff.factor ** (attempt - 2), backoff.maxMs);
  const chance = createHash("sha256").update(`${seed} ${attempt}`).digest().readUInt32BE() / 0xffff_ffff;
  return Math.round(whole * (1 + backoff.jitter * (2 * chance - 1)));
}
