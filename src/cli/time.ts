import { BosunError } from "../protocol/error.ts";

const UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `200ms`, `5s`, `10m`, `24h`, `7d` in milliseconds, or null. */
export function durationMs(text: string): number | null {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  return found ? Number(found[1]) * UNITS_MS[found[2]!]! : null;
}

/**
 * A moment a person names: RFC 3339, `14:30` or `14:30:05` (today, local), or a duration meaning that long ago. RFC 3339 in
 * UTC. Throws USAGE.
 */
export function momentOf(text: string, nowMs: number): string {
  const ago = durationMs(text);
  if (ago !== null) return new Date(nowMs - ago).toISOString();
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text);
  if (clock) {
    const today = new Date(nowMs);
    today.setHours(Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0), 0);
    return today.toISOString();
  }
  const moment = /^\d{4}-\d{2}-\d{2}/.test(text) ? new Date(text) : new Date(Number.NaN);
  if (!Number.isNaN(moment.getTime())) return moment.toISOString();
  throw new BosunError({
    code: "USAGE",
    what: `"${text}" is not a time`,
    why: "a time is 14:30, 10m (ago), or 2026-01-31T14:30:00Z",
  });
}

/** `4 s`, `12 m`, `3 h`, `5 d`: one unit, because nobody reads two in a table. */
export function ageText(ageMs: number): string {
  const seconds = Math.max(0, Math.round(ageMs / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** How long ago an RFC 3339 moment was; empty for none. */
export function sinceText(moment: string | null | undefined, nowMs: number): string {
  const then = moment ? Date.parse(moment) : Number.NaN;
  return Number.isNaN(then) ? "" : ageText(nowMs - then);
}

/** Local `HH:MM:SS`. */
export function clockText(moment: Date): string {
  const two = (part: number): string => (part < 10 ? `0${part}` : String(part));
  return `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
}

/** Resolves after `ms`. Not `node:timers/promises`, which costs every start a millisecond. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
