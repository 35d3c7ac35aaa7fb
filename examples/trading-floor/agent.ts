import { flushCompileCache } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { butterfly } from "./butterfly.ts";
import { deacon } from "./deacon.ts";
import { gamma } from "./gamma.ts";
import { loadSeries, type Series } from "./series.ts";
import type { Narrator, Told } from "./told.ts";
import { type Line, Voice } from "./voice.ts";

/** deacon, butterfly and gamma in one: `agent.ts deacon --instrument SPX [--speed 2] [--from 2008-09-01]`. */
const USAGE = "usage: deacon|butterfly|gamma --instrument NAME [--speed 1] [--from DATE]";

const NARRATORS: Record<string, (series: Series) => Narrator> = { deacon, butterfly, gamma };

/** At speed 1 a day takes 2 s and a month 5 s: fast enough to see years pass, slow enough to read. */
const BAR_MS = { day: 2_000, month: 5_000 };

/** A coordinator that started us is there; if it is not, the tape begins without it after this long. */
const FIRST_CONTACT_MS = 5_000;

/** With so many lines waiting for the coordinator the tape stops until some are safe: a day of an ordinary tape. */
const MOST_WAITING = 20_000;

/** Where on the tape: the lap counts from 1, the bar from 0. */
interface Place {
  lap: number;
  bar: number;
}

class Agent {
  readonly #narrator: Narrator;
  readonly #series: Series;
  readonly #room: string;
  readonly #voice: Voice | null;
  #place: Place;
  #last = "nothing said yet";
  readonly #shownWaiting = new Set<Line>();

  constructor(series: Series, narrator: Narrator, room: string, start: number) {
    this.#series = series;
    this.#narrator = narrator;
    this.#room = room;
    this.#place = { lap: 1, bar: start };
    const { BOSUN_SOCKET: socket, BOSUN_TOKEN_FILE: tokenFile } = process.env;
    this.#voice = socket
      ? new Voice({
          socket,
          tokenFile,
          answer: (question) => this.#answer(question),
          said: (line, { id }) => this.#show(line, this.#shownWaiting.delete(line) ? `${id} (waited)` : id),
          trouble: (text) => console.log(`-- ${text}`),
        })
      : null;
  }

  async run(barMs: number, name: string): Promise<void> {
    if (!(await this.#resume())) this.#open();
    // Twenty-seven agents started at once shall not speak at once: each has its own moment within a bar, always the same.
    const ownMomentMs = (barMs * [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 997, 7)) / 997;
    let pauseMs = ownMomentMs;
    for (;;) {
      for (const [index, told] of this.#narrator.tell(this.#place.bar).entries()) this.#tell(told, String(index));
      await sleep(pauseMs);
      pauseMs = barMs;
      while ((this.#voice?.waiting ?? 0) >= MOST_WAITING) await sleep(barMs);
      this.#place = this.#after(this.#place);
    }
  }

  /**
   * After a crash: on from the last line that reached the room, true when there was one. Its place travels in the line's
   * `data`. The bar is told again from its beginning: what the room has of it counts once.
   */
  async #resume(): Promise<boolean> {
    const agent = process.env.BOSUN_AGENT;
    if (!this.#voice || !agent) return false;
    await Promise.race([this.#voice.connected, sleep(FIRST_CONTACT_MS)]);
    const last = this.#voice.online ? await this.#voice.lastLine(this.#room, agent) : null;
    const said = last?.data as Place | undefined;
    if (!said || !this.#series.bars[said.bar]) return false;
    this.#place = said;
    console.log(`-- going on from ${this.#series.bars[said.bar]!.date}`);
    return true;
  }

  /** A tape that begins in the middle, at a bar with nothing to tell: the first words say where it stands. */
  #open(): void {
    const { bar } = this.#place;
    if (this.#narrator.tell(bar).length > 0) return;
    this.#tell({ msg: this.#narrator.status(bar), type: "status", tags: ["open"] }, "open");
  }

  #after({ lap, bar }: Place): Place {
    return bar + 1 < this.#series.bars.length ? { lap, bar: bar + 1 } : { lap: lap + 1, bar: 0 };
  }

  #tell({ msg, ...rest }: Told, part: string): void {
    const { lap, bar } = this.#place;
    const line: Line = { room: this.#room, msg, ...rest, data: { lap, bar } };
    this.#last = msg;
    if (!this.#voice?.online) {
      this.#show(line, this.#voice ? "(waits)" : "");
      this.#shownWaiting.add(line);
    }
    // The key names the place on the tape, so a line told again after a crash is known and not said twice.
    this.#voice?.say(line, `${lap}/${bar}/${part}`);
  }

  /** A line in the pane, with the id that the room, the mirror file and every view know it by. */
  #show({ level, msg }: Line, id: string): void {
    const colour = !process.stdout.isTTY ? "" : level === "alert" ? "\x1b[1;31m" : level === "warn" ? "\x1b[33m" : "";
    console.log(`${id.padEnd(9)} ${colour}${msg}${colour && "\x1b[0m"}`);
  }

  #answer(question: string): string {
    switch (question.trim().toLowerCase()) {
      case "status": {
        const waiting = this.#voice?.waiting ?? 0;
        return this.#narrator.status(this.#place.bar) + (waiting > 0 ? `; ${waiting} lines wait` : "");
      }
      case "last":
        return this.#last;
      case "why":
        return this.#narrator.why(this.#place.bar);
      default:
        return "ask me: status (where things stand), last (my last line), why (the figures behind it)";
    }
  }
}

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { instrument: { type: "string" }, speed: { type: "string" }, from: { type: "string" } },
  });
  const make = NARRATORS[positionals[0] ?? ""];
  const speed = Number(values.speed ?? process.env.FLOOR_SPEED ?? 1);
  if (!make || !values.instrument || !(speed > 0)) throw new Error(USAGE);
  const series = loadSeries(values.instrument);
  const start = Math.max(
    0,
    series.bars.findIndex((bar) => bar.date >= (values.from ?? "")),
  );
  const room = process.env.BOSUN_ROOM ?? series.instrument.toLowerCase();
  void new Agent(series, make(series), room, start).run(BAR_MS[series.unit] / speed, `${positionals[0]}-${room}`);
}

// Written at once: the end of an agent is a signal, and at a signal Node keeps nothing.
flushCompileCache();
try {
  main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
