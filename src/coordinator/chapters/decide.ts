import {
  CEILINGS,
  type Ceilings,
  CLOSING_SHARE,
  type EndReason,
  OPENING_SHARE,
  type Phase,
} from "../../protocol/chapter.ts";

/** What a chapter has used of its ceilings. */
export type Counted = Record<keyof Ceilings, number>;

/** The share of the nearest ceiling, and which that is. Without any ceiling: 0 of none. */
export function shareOf(ceilings: Ceilings, counted: Counted): { share: number; nearest: keyof Ceilings | null } {
  let share = 0;
  let nearest: keyof Ceilings | null = null;
  for (const each of CEILINGS) {
    const most = ceilings[each];
    if (most === null) continue;
    const part = counted[each] / most;
    if (nearest === null || part > share) {
      share = part;
      nearest = each;
    }
  }
  return { share, nearest };
}

/** As the log has it. */
export interface Standing {
  phase: Phase;
  share: number;
  nearest: string | null;
  acknowledged: boolean;
  heading: boolean;
  /** Nothing was handed over: the first of its series. */
  first: boolean;
}

export interface Turning {
  phase: "work" | "closing";
  blind: boolean;
  because: string;
}

/**
 * What the clock alone changes. The opening ends at 10 % at the latest: whoever has not read by then works blind, which is
 * marked. The closing begins at 90 %.
 */
export function turnOf({ phase, share, nearest, acknowledged, heading, first }: Standing): Turning | null {
  if ((phase === "opening" || phase === "work") && share >= CLOSING_SHARE)
    return { phase: "closing", blind: phase === "opening", because: `90 % of its ${nearest}` };
  if (phase !== "opening" || share < OPENING_SHARE) return null;
  const missing = [
    ...(acknowledged || first ? [] : ["the handoff was not read"]),
    ...(heading ? [] : ["it has no heading"]),
  ];
  return {
    phase: "work",
    blind: missing.length > 0,
    because: `10 % of its ${nearest}${missing.length > 0 ? `: ${missing.join(", ")}` : ""}`,
  };
}

/** From how a process ended: `exit 0` is an end of its own, another code a crash, a signal a kill. */
export function endReasonOf(exit: string): EndReason {
  if (/^(exit )?0$/.test(exit)) return "exit";
  return /signal|gone|lost/.test(exit) ? "killed" : "crash";
}
