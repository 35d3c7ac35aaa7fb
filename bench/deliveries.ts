import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Connection, openConnection } from "../src/client/connection.ts";
import { type Bench, Ground, median, ratio, series } from "./measure.ts";

/** Programs with a composer, a person at each, and texts for each. */
const SESSIONS = 20;
const TEXTS = 50;

/** A person thinks for up to so long between two lines. */
const THINKS_MS = 20_000;

/** All of it takes as long as people leave room for. */
const WITHIN_MS = 900_000;

const COMPOSER = resolve(import.meta.dirname, "../test/e2e/composer.fixture.ts");

/** Texts for programs at which people type: none is mixed with what they type, none is lost. */
export const deliveries: Bench = {
  name: "deliveries",
  question: `${SESSIONS * TEXTS} texts for ${SESSIONS} programs while a person types at each at random: how many are mixed up or lost`,
  async run() {
    const ground = new Ground();
    const people: Person[] = [];
    try {
      ground.write("floorplan.yaml", `version: 1\nlimits: { sessions: ${SESSIONS} }\nsessions: {}\n`);
      await ground.bosun("up", "--quiet");
      const { socket } = JSON.parse(await ground.bosun("status", "--json")) as { socket: string };
      const connection = await openConnection(socket);
      const file = (n: number): string => join(ground.folder, `submitted-${n}`);
      for (let n = 0; n < SESSIONS; n++)
        await connection.call("session.open", {
          name: `a${n}`,
          agent: "claude",
          run: `exec ${process.execPath} ${COMPOSER} ${file(n)}`,
        });
      await new Promise((next) => setTimeout(next, 3_000));
      for (let n = 0; n < SESSIONS; n++) people.push(new Person(ground.socket, `a${n}`, n + 1));
      const startedMs = performance.now();
      const ours = new Set<string>();
      for (let t = 0; t < TEXTS; t++)
        for (let n = 0; n < SESSIONS; n++) {
          const text = `text ${t} for ${n} ${"word ".repeat((t * 7 + n) % 9)}end`;
          ours.add(text);
          await connection.call("session.nudge", { session: `a${n}`, text });
        }
      while ((await waiting(connection)) > 0 && performance.now() - startedMs < WITHIN_MS)
        await new Promise((next) => setTimeout(next, 2_000));
      const left = await waiting(connection);
      const seconds = (performance.now() - startedMs) / 1_000;
      const theirs = new Set(people.flatMap((person) => person.end()));
      await new Promise((next) => setTimeout(next, 2_000));
      const submitted = Array.from({ length: SESSIONS }, (_, n) => linesOf(file(n))).flat();
      const outcomes = await settled(connection);
      connection.close();
      const mixed = submitted.filter((line) => !ours.has(line) && !theirs.has(line));
      const arrived = submitted.filter((line) => ours.has(line));
      const lost = ours.size - new Set(arrived).size - left - (outcomes.unproven ?? 0);
      return {
        series: [
          series("texts a second, all programs together", "1/s", [median([arrived.length / seconds])]),
          series("lines people typed meanwhile", "", [theirs.size]),
        ],
        ratios: [
          ratio(`texts mixed with what a person typed, of ${ours.size}`, mixed.length, "0", mixed.length === 0),
          ratio("texts lost without a word", Math.max(0, lost), "0", lost <= 0),
          ratio(
            "texts typed twice",
            arrived.length - new Set(arrived).size,
            "0",
            arrived.length === new Set(arrived).size,
          ),
        ],
        notes: [
          `outcomes: ${JSON.stringify(outcomes)}, ${left} still waiting after ${Math.round(seconds)} s; people think up to ${THINKS_MS / 1_000} s between lines`,
          ...mixed.slice(0, 5).map((line) => `mixed: ${JSON.stringify(line)}`),
        ],
      };
    } finally {
      for (const person of people) person.end();
      await ground.close();
    }
  },
};

/** Somebody in a terminal of their own who types lines letter by letter. */
class Person {
  readonly #client: ChildProcess;
  readonly #lines: string[] = [];
  #state: number;
  #gone = false;

  constructor(socket: string, session: string, seed: number) {
    this.#state = seed;
    this.#client = spawn("script", ["-qfc", `tmux -L ${socket} attach -t =${session}`, "/dev/null"], {
      stdio: ["pipe", "ignore", "ignore"],
      env: { ...process.env, TERM: "xterm-256color" },
    });
    void this.#live(session);
  }

  /** What they typed. */
  end(): string[] {
    this.#gone = true;
    this.#client.kill();
    return this.#lines;
  }

  async #live(session: string): Promise<void> {
    const pause = (most: number) => new Promise((next) => setTimeout(next, this.#random(most)));
    await pause(5_000);
    for (let n = 0; !this.#gone; n++) {
      const line = `${session} says ${n}`;
      this.#lines.push(line);
      for (const letter of line) {
        this.#client.stdin!.write(letter);
        await pause(120);
      }
      this.#client.stdin!.write("\r");
      await pause(THINKS_MS);
    }
  }

  #random(most: number): number {
    this.#state = (this.#state * 1_103_515_245 + 12_345) % 2 ** 31;
    return this.#state % most;
  }
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as string);
  } catch {
    // Nothing was submitted there.
    return [];
  }
}

async function waiting(connection: Connection): Promise<number> {
  return (await connection.call("session.queue", {})).waiting.length;
}

async function settled(connection: Connection): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let after = 0; ; ) {
    const page = await connection.call("event.list", { after });
    for (const event of page.events as unknown as { type: string; outcome?: string }[])
      if (event.type === "input.settled" && event.outcome) counts[event.outcome] = (counts[event.outcome] ?? 0) + 1;
    if (page.next === after) return counts;
    after = page.next;
  }
}
