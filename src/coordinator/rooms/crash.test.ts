import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Line } from "../../protocol/room.ts";
import { folderForTest, jsonl, numbers, planRoom, roomsForTest, STEVE } from "./rooms.fixture.ts";

/** Lets the speaking process run until it has been answered `answers` times more, then kills it. Gives what it was told. */
async function speakAndDie(folder: string, answers: number): Promise<string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "crash.fixture.ts"), folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let told = "";
  child.stdout.on("data", (chunk: Buffer) => {
    told += chunk.toString();
    if (told.split("\n").length > answers) child.kill("SIGKILL");
  });
  await once(child, "close");
  expect(child.signalCode).toBe("SIGKILL");
  // The last answer may have been cut by the kill.
  return told.split("\n").slice(0, -1);
}

test("S0-38: killed at any moment, no answered line is missing, numbers have no gap, and the mirror agrees with the store", async () => {
  const folder = folderForTest();
  const answered: string[] = [];
  // Primes: the kill falls into other places of a round each time.
  for (const answers of [1, 37, 211, 5, 97, 401]) {
    answered.push(...(await speakAndDie(folder, answers)));
    const { rooms } = roomsForTest({ folder });
    const path = join(folder, "spx.jsonl");
    rooms.declare([planRoom("spx", { jsonl: jsonl(path) }), planRoom("qqq")]);
    const stored: Line[] = [];
    for (const room of ["spx", "qqq"]) {
      const { lines, more } = await rooms.read(STEVE, { rooms: [room], limit: 10_000 });
      expect(more).toBe(false);
      expect(lines.map((line) => line.seq)).toEqual(numbers(lines.length));
      expect(rooms.list(STEVE).find((info) => info.room === room)?.seq).toBe(lines.length);
      stored.push(...lines);
    }
    const ids = new Set(stored.map((line) => line.id));
    expect(answered.filter((id) => !ids.has(id))).toEqual([]);
    await rooms.close();
    const mirrored = stored.filter((line) => line.room === "spx").map((line) => `${JSON.stringify(line)}\n`);
    expect(readFileSync(path, "utf8")).toBe(mirrored.join(""));
  }
  expect(new Set(answered).size).toBe(answered.length);
});
