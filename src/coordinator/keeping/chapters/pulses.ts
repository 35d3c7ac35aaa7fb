import type { Event } from "../../../protocol/event.ts";
import type { Counted } from "../../chapters/decide.ts";
import { type ChapterRow, openChapters } from "../../chapters/projection.ts";
import type { Displays } from "../../displays.ts";
import { GENERIC } from "../../screens/profile.ts";
import type { Town } from "../../town.ts";

/** The pane whose process is the run of a session. */
export const MAIN = "0.0";

/** What is counted is written down at each step of this share of a ceiling, besides every turn. */
export const NOTED_STEP = 0.05;

interface Pulse {
  turns: number;
  tokens: number;
  /** Bytes counted before, and where the buffer stood then. */
  bytes: number;
  bufferEnd: number | null;
  state: string | null;
  noted: number;
}

/** What a chapter uses of its ceilings: counted as it is seen, written down at every turn and at every twentieth of the way. */
export class Pulses {
  readonly #town: Town;
  readonly #displays: Displays;
  readonly #pulses = new Map<string, Pulse>();

  constructor(town: Town, displays: Displays) {
    this.#town = town;
    this.#displays = displays;
  }

  /** A chapter that is opened again has used nothing. */
  forget(row: { series: string; number: number }): void {
    this.#pulses.delete(keyOf(row));
  }

  of(row: ChapterRow): Pulse {
    const key = keyOf(row);
    let pulse = this.#pulses.get(key);
    if (!pulse) {
      pulse = { turns: row.turns, tokens: row.tokens, bytes: row.bytes, bufferEnd: null, state: null, noted: 0 };
      this.#pulses.set(key, pulse);
    }
    const display = this.#displays.displayOf(row.session, MAIN);
    if (display) {
      // What it wrote before we looked was counted, or was another chapter's.
      if (pulse.bufferEnd === null || display.buffer.end < pulse.bufferEnd) pulse.bufferEnd = display.buffer.end;
      pulse.bytes += display.buffer.end - pulse.bufferEnd;
      pulse.bufferEnd = display.buffer.end;
    }
    return pulse;
  }

  countedOf(row: ChapterRow): Counted {
    const { turns, bytes, tokens } = this.of(row);
    const untilMs = row.closedAtMs ?? this.#town.now();
    return { minutes: Math.max(0, untilMs - row.openedAtMs) / 60_000, turns, bytes, tokens };
  }

  noted(row: ChapterRow, text: string | null): Event {
    const { turns, bytes, tokens } = this.of(row);
    return { type: "chapter.noted", data: { series: row.series, number: row.number, text, turns, bytes, tokens } };
  }

  /** A turn is an input that an agent takes: it was at rest, and works. Programs without a profile count their own. */
  count(turned: (row: ChapterRow) => void): void {
    for (const row of openChapters(this.#town.ledger.views)) {
      const display = this.#displays.displayOf(row.session, MAIN);
      if (!display || display.profiles[0]!.profile === GENERIC) continue;
      const pulse = this.of(row);
      const { state } = display.track.activity;
      const rested = pulse.state === "idle" || pulse.state === "done-unseen";
      if (state === "working" && rested) {
        pulse.turns++;
        turned(row);
      }
      pulse.state = state;
    }
  }
}

export function keyOf({ series, number }: { series: string; number: number }): string {
  return `${series}#${number}`;
}
