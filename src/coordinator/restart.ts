import type { PlanSession } from "../protocol/plan.ts";

/** Unexpected ends of one pane, oldest first: when it started and when it ended, milliseconds. */
export interface Ends {
  endedAtMs: number[];
  /** When the process that just ended was started. */
  startedAtMs: number;
}

export type RestartDecision =
  | { do: "restart"; afterMs: number; attempt: number; because: string }
  | { do: "leave"; because: string };

/** First retry; then doubling from 1 s up to 60 s. Most crashes are a lost race at start: trying once at once is worth it. */
const FIRST_RETRY_MS = 200;
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
/** Healthy for this long, and the count starts again. */
const STABLE_AFTER_MS = 600_000;
/** A pane that ends more often than this per window is left down until a person decides. */
const BUDGET = { starts: 10, perMs: 600_000 };
/** Shell's codes for "cannot execute" and "not found", and EX_CONFIG: trying again cannot help. */
const CONFIGURATION_EXITS = new Set(["exit 78", "exit 126", "exit 127"]);

/**
 * Whether a pane's process that ended by itself is started again, and when. `exit` is `exit 0`, `exit 7`, `signal 9` …
 * A wanted end (down, restart) never comes here.
 */
export function decideRestart(
  policy: PlanSession["restart"]["policy"],
  exit: string,
  ends: Ends,
  nowMs: number,
): RestartDecision {
  const clean = exit === "exit 0";
  if (policy === "never") return { do: "leave", because: "restart: never" };
  if (policy === "on-failure" && clean) return { do: "leave", because: "it ended cleanly (restart: on-failure)" };
  if (CONFIGURATION_EXITS.has(exit))
    return { do: "leave", because: `${exit} means it cannot run as configured; trying again would not help` };
  const recent = ends.endedAtMs.filter((endedAtMs) => nowMs - endedAtMs < BUDGET.perMs);
  if (recent.length >= BUDGET.starts) {
    return {
      do: "leave",
      because: `parked: it ended ${recent.length} times in ${BUDGET.perMs / 60_000} min; bosun restart NAME tries again`,
    };
  }
  const stable = nowMs - ends.startedAtMs >= STABLE_AFTER_MS;
  const attempt = stable ? 1 : recent.length + 1;
  const afterMs = attempt === 1 ? FIRST_RETRY_MS : Math.min(BACKOFF_BASE_MS * 2 ** (attempt - 2), BACKOFF_MAX_MS);
  return { do: "restart", afterMs, attempt, because: `${exit}, attempt ${attempt}` };
}
