import type { Activity, WaitingFor } from "../../protocol/screen.ts";
import type { OwnSign } from "./own-sign.ts";
import type { Profile } from "./profile.ts";
import type { Signals } from "./screen.ts";

/** A program that has written within this is at work, when nothing on its screen says otherwise. */
const WRITES_WITHIN_MS = 2_000;

/** The screen says that it works, and nothing on it has moved for this long: programs that work move something. */
const STALLED_AFTER_MS = 90_000;

/** Idle is believed when two looks so far apart agree. */
const AGREE_AFTER_MS = 300;

/** Rows from the lowest that is not empty upwards which `match` looks at. */
const WITHIN_ROWS = 12;

export interface Seen {
  /** Rows of the screen, top first. */
  text: readonly string[];
  signals: Pick<Signals, "prompt">;
  /** When it last wrote; null = never while we listened. */
  wroteAtMs: number | null;
  /** How its process ended, or null while it lives. */
  exit: string | null;
  nowMs: number;
}

export interface Judged {
  state: Exclude<Activity, "done-unseen">;
  reason: WaitingFor | null;
  rule: string | null;
  evidence: string;
  source: string;
  text: string | null;
}

/** What a screen says at one moment, and by which rule. Silence alone says nothing: it stays unknown. */
export function judge(profiles: readonly Profile[], seen: Seen): Judged {
  const said = (state: Judged["state"], source: string, evidence: string): Judged => ({
    state,
    source,
    evidence,
    reason: null,
    rule: null,
    text: null,
  });
  if (seen.exit !== null) return said("dead", "process", `its process ended: ${seen.exit}`);
  const silentMs = seen.wroteAtMs === null ? null : seen.nowMs - seen.wroteAtMs;
  for (const profile of profiles) {
    const found = firstRule(profile, seen.text);
    if (!found) continue;
    const { rule, row } = found;
    const name = `${profile.profile}/${rule.name}`;
    const shown = row.trim().slice(0, 200);
    const stalled = rule.state === "working" && silentMs !== null && silentMs > STALLED_AFTER_MS;
    return {
      state: stalled ? "stalled" : rule.state,
      reason: rule.reason ?? null,
      rule: name,
      evidence: stalled ? `${name}: "${shown}", unmoved for ${Math.round(silentMs / 1_000)} s` : `${name}: "${shown}"`,
      source: "screen",
      text: rule.state === "waiting" ? shown : null,
    };
  }
  if (seen.signals.prompt === "prompt") return said("idle", "osc", "its shell is at the prompt (OSC 133)");
  if (seen.signals.prompt === "running") return said("working", "osc", "its shell runs a command (OSC 133)");
  if (silentMs === null) return said("unknown", "output", "it has written nothing yet");
  if (silentMs <= WRITES_WITHIN_MS) return said("working", "output", "it writes");
  return said(
    "unknown",
    "silence",
    `it has been silent for ${Math.round(silentMs / 1_000)} s, and no rule fits its screen`,
  );
}

/**
 * The program's own word before what its screen looks like. A state file is kept current; a hook or a line of a transcript
 * tells of one moment: what the screen shows since a later one is newer, so no state outlives what ended it without a word.
 */
export function weigh(profile: string, own: OwnSign | null, screen: Judged & { sinceMs: number }): Judged {
  if (own === null || screen.state === "dead") return screen;
  const current = own.source === "state-file" || screen.source !== "screen";
  if (!current && screen.state !== own.state && screen.sinceMs > own.atMs) return screen;
  // It says that it works, and nothing has moved for long.
  if (own.state === "working" && screen.state === "stalled") return screen;
  const { state, reason, source, evidence } = own;
  const shown = screen.state === "waiting" ? screen.text : null;
  // A state file says only what kind of question it is.
  const text = source === "state-file" ? (shown ?? own.text) : (own.text ?? shown);
  return {
    state,
    reason,
    source,
    evidence,
    rule: `${profile}/${source}`,
    text: state === "waiting" ? text : null,
  };
}

/** Every rule that fits, in order, with the row that made it fit; the first one decides. For `explain`. */
export function fittingRules(profile: Profile, text: readonly string[]): { name: string; row: string }[] {
  return profile.rules.flatMap((rule) => {
    const row = fits(rule, text);
    return row === null ? [] : [{ name: `${profile.profile}/${rule.name}`, row }];
  });
}

function firstRule(profile: Profile, text: readonly string[]) {
  for (const rule of profile.rules) {
    const row = fits(rule, text);
    if (row !== null) return { rule, row };
  }
  return null;
}

function fits(rule: Profile["rules"][number], text: readonly string[]): string | null {
  const lowest = text.findLastIndex((row) => row.trim() !== "");
  if (lowest < 0) return null;
  const last = text[lowest]!;
  let found: string | null = null;
  if (rule.match) {
    const rows = text.slice(Math.max(0, lowest + 1 - (rule.within ?? WITHIN_ROWS)), lowest + 1);
    found = rows.findLast((row) => rule.match!.some((pattern) => pattern.test(row))) ?? null;
    if (found === null) return null;
  }
  if (rule.last) {
    if (!rule.last.some((pattern) => pattern.test(last))) return null;
    found ??= last;
  }
  return found;
}

/**
 * One state over time, from look to look: `since` is when it began, idle needs two looks that agree, and work that ended while
 * nobody looked is `done-unseen` until somebody does.
 */
export class ActivityTrack {
  #now: Judged & { sinceMs: number; atMs: number };
  #idleSinceMs: number | null = null;
  #worked = false;

  constructor(nowMs: number) {
    this.#now = {
      state: "unknown",
      reason: null,
      rule: null,
      evidence: "not looked at yet",
      source: "output",
      text: null,
      sinceMs: nowMs,
      atMs: nowMs,
    };
  }

  /** Gives whether the state, or what it waits for, has changed. `watched`: somebody has it on their screen. */
  look(judged: Judged, nowMs: number, watched: boolean): boolean {
    // A screen may look idle for a moment; a program that says so is.
    const own = judged.source === "state-file" || judged.source.startsWith("hook:");
    if (judged.state === "idle" && this.#now.state !== "idle" && !own) {
      this.#idleSinceMs ??= nowMs;
      if (nowMs - this.#idleSinceMs < AGREE_AFTER_MS) return false;
    }
    if (judged.state !== "idle") this.#idleSinceMs = null;
    const wasUnseen = this.activity.state === "done-unseen";
    if (judged.state === "working") this.#worked = true;
    if (watched || judged.state === "waiting") this.#worked = judged.state === "working";
    const same = judged.state === this.#now.state && judged.reason === this.#now.reason;
    this.#now = { ...judged, sinceMs: same ? this.#now.sinceMs : nowMs, atMs: nowMs };
    return !same || wasUnseen !== (this.activity.state === "done-unseen");
  }

  /** Another look is needed to believe what the last one said. */
  get doubtful(): boolean {
    return this.#idleSinceMs !== null && this.#now.state !== "idle";
  }

  /** Somebody has looked: what ended is no news any more. */
  seen(): boolean {
    const was = this.activity.state === "done-unseen";
    if (this.#now.state !== "working") this.#worked = false;
    return was;
  }

  get activity(): Omit<Judged, "state"> & { state: Activity; sinceMs: number; atMs: number } {
    const unseen = this.#now.state === "idle" && this.#worked;
    return { ...this.#now, state: unseen ? "done-unseen" : this.#now.state };
  }
}
