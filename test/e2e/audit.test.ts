import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TownUnderTest } from "./town-under-test.ts";

let town: TownUnderTest;

beforeEach(async () => {
  town = new TownUnderTest();
  await town.ok("register", "cece-001", "Cece", "Claude");
});
afterEach(() => town.close());

test("S4-85: a message is proven to somebody without the town; one changed letter is not", async () => {
  const { id } = await town.json("send", "cece-001", "cece-001", "Note", "the gamma wall is at 505");
  await town.ok("memory-set", "cece-001", "k", "v");
  const text = await town.ok("audit", "prove", id);
  const file = join(town.folder, "proof.json");
  const verdict = async (proof: string, ...more: string[]) => {
    writeFileSync(file, proof);
    const ran = await town.run(["audit", "verify", "--proof", file, ...more], { env: { BOSUN_TOWN: undefined } });
    return [ran.code, ran.stdout + ran.stderr];
  };
  expect(await verdict(text)).toEqual([0, expect.stringContaining("proven: entry")]);
  expect(JSON.parse(text).entry).toContain("gamma wall is at 505");
  expect(await verdict(text.replace("505", "506"))).toEqual([
    1,
    expect.stringContaining("does not lead to the signed root"),
  ]);
  const other = new TownUnderTest();
  try {
    await other.ok("register", "x", "X", "script");
    const key = join(town.folder, "other.pem");
    writeFileSync(key, (await other.json("audit", "prove", "1")).publicKey);
    expect(await verdict(text, "--key", key)).toEqual([1, expect.stringContaining("not signed with that key")]);
  } finally {
    await other.close();
  }
  writeFileSync(join(town.folder, "own.pem"), JSON.parse(text).publicKey);
  expect(await verdict(text, "--key", join(town.folder, "own.pem"))).toEqual([0, expect.stringContaining("proven")]);
  expect((await town.run(["audit", "prove", "nothing-of-that-name"])).code).toBe(3);
});

test("S4-85: one byte changed in the file of a running town's log is found, and its entry named", async () => {
  const { seq } = await town.json("send", "cece-001", "cece-001", "Note", "the gamma wall is at 505");
  expect(await town.ok("audit", "verify")).toMatch(/^unbroken: \d+ entries, \d+ signed checkpoints/);
  await town.ok("stop");
  const db = new DatabaseSync(join(town.stateFolder, "log.sqlite"));
  db.prepare("UPDATE log SET data = replace(data, '505', '506') WHERE position = ?").run(seq);
  db.close();
  const ran = await town.run(["audit", "verify"]);
  expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining(`broken at entry ${seq}`)]);
});
