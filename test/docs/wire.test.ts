import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { TownUnderTest } from "../e2e/town-under-test.ts";

const PAGE = readFileSync(resolve(import.meta.dirname, "../../docs/wire.md"), "utf8");

/** One wire line at a time, waiting for it when it has not come yet. */
class Lines {
  readonly #ready: string[] = [];
  #wake: () => void = () => {};
  #rest = "";

  constructor(socket: Socket) {
    socket.setEncoding("utf8").on("data", (text: string) => {
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop()!;
      this.#ready.push(...lines);
      this.#wake();
    });
  }

  async next(): Promise<string> {
    while (this.#ready.length === 0)
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    return this.#ready.shift()!;
  }
}

/** Moments and question ids are of the day; all else on the page must be as it comes. */
function timeless(frame: string): string {
  return frame.replace(/"ts":"[^"]+"/g, '"ts":"…"').replace(/q-[0-9a-f]+/g, "q-…");
}

test("the conversation in docs/wire.md happens as it is written there", async () => {
  const transcript = [...PAGE.matchAll(/```wire\n([\s\S]*?)```/g)].flatMap((block) => block[1]!.trim().split("\n"));
  const town = new TownUnderTest("version: 1\nrooms: { spx: {} }\n");
  town.env.BOSUN_USER = "steve";
  try {
    await town.ok("up");
    const { tokenFile, socket: path } = await town.json("enrol", "deacon-spx");
    const token = readFileSync(tokenFile, "utf8");
    const socket = connect(path);
    const lines = new Lines(socket);
    const seen: string[] = [];
    let asking: Promise<string> | null = null;
    let ask = "";
    for (const written of transcript) {
      const frame = written.slice(2);
      if (written.startsWith("→")) {
        socket.write(`${frame.replace("bosun_tok_…", token).replace(/q-[0-9a-f]+/, ask)}\n`);
        seen.push(written);
        continue;
      }
      if (frame.includes('"event":{"ask"')) asking = town.ok("ask", "deacon-spx", "status");
      const came = await lines.next();
      ask = /q-[0-9a-f]+/.exec(came)?.[0] ?? ask;
      seen.push(`← ${came}`);
    }
    expect(seen.map(timeless)).toEqual(transcript.map(timeless));
    expect(await asking).toBe("deacon-spx: calm, 3.8 % below its peak\n");
    socket.destroy();
  } finally {
    await town.close();
  }
});
