import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MAX_VALUE_BYTES, MEMORY_TYPES } from "../protocol/memory.ts";
import { Ear } from "./ear.fixture.ts";
import { ANN, agent, Clock, openFloor } from "./registry.fixture.ts";

let folder: string;
let clock: Clock;
let floor: ReturnType<typeof openFloor>;

const CECE = agent("cece");
const DEV = agent("dev");

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "bosun-memory-"));
  clock = new Clock();
  floor = openFloor(folder, clock);
  await floor.register("cece");
  await floor.register("dev");
});

afterEach(async () => {
  await floor.close();
  rmSync(folder, { recursive: true });
});

const set = (key: string, value: unknown, more: Record<string, unknown> = {}, who = CECE) =>
  floor.call(who, "memory.set", { key, value, ...more });
const get = (key: string) => floor.call(DEV, "memory.get", { key });
const keys = async (input: Record<string, unknown> = {}): Promise<string[]> =>
  (await floor.call(DEV, "memory.search", input)).entries.map((entry: { key: string }) => entry.key);
const codeOf = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );

test("S4-47, S4-49, O4-06: a value is stored with its key, type, tags, writer and time, and comes back by its key", async () => {
  const stored = await set(
    "deploy_state",
    { stage: 2 },
    { type: "state", tags: ["deploy", "live"], metadata: { ci: 7 } },
  );
  expect(await get("deploy_state")).toEqual({
    id: stored.id,
    key: "deploy_state",
    value: { stage: 2 },
    rev: stored.rev,
    type: "state",
    tags: ["deploy", "live"],
    by: "cece",
    ts: stored.ts,
    expires: null,
    metadata: { ci: 7 },
  });
  expect(await codeOf(set("k", 1, { from: "dev" }))).toBe("REFUSED");
});

test("S4-55: any JSON is a value and comes back the same; null is not nothing", async () => {
  for (const value of [null, 0, "", false, [], {}, [1, "a", null], { a: { b: [true] } }, "ünï 日本 🎯", 1e300]) {
    await set("any", value);
    expect((await get("any")).value).toEqual(value);
  }
  await fc.assert(
    fc.asyncProperty(fc.json(), async (valueJson) => {
      await floor.call(CECE, "memory.set", { key: "any", valueJson });
      expect((await get("any")).value).toEqual(JSON.parse(valueJson));
    }),
    { numRuns: 50 },
  );
  await set("nothing", null);
  expect((await get("nothing")).value).toBeNull();
  expect(await codeOf(get("never"))).toBe("NOT_FOUND");
  expect(await codeOf(floor.call(CECE, "memory.set", { key: "x" }))).toBe("USAGE");
  expect(await codeOf(floor.call(CECE, "memory.set", { key: "x", value: 1, valueJson: "1" }))).toBe("USAGE");
  expect(await codeOf(set("x", "y".repeat(MAX_VALUE_BYTES)))).toBe("TOO_LARGE");
});

test("S4-50, S4-51: the newest value is the value; the history has them all, newest first", async () => {
  for (const value of [1, 2, 3]) await set("n", value);
  expect((await get("n")).value).toBe(3);
  const { entries } = await floor.call(DEV, "memory.history", { key: "n" });
  expect(entries.map((entry: { value: unknown; change: string }) => [entry.change, entry.value])).toEqual([
    ["set", 3],
    ["set", 2],
    ["set", 1],
  ]);
  const first = await floor.call(DEV, "memory.history", { key: "n", limit: 2 });
  const second = await floor.call(DEV, "memory.history", { key: "n", limit: 2, after: first.next });
  expect([first.entries.length, second.entries.map((entry: { value: unknown }) => entry.value), second.next]).toEqual([
    2,
    [1],
    null,
  ]);
});

test("S4-52: keys are found by * ? [abc] [!abc], newest first, page by page", async () => {
  for (const key of ["task_a", "task_b", "note_a", "task_ab", "[x]", "a*b"]) await set(key, 1);
  expect(await keys({ pattern: "task_*" })).toEqual(["task_ab", "task_b", "task_a"]);
  expect(await keys({ pattern: "task_?" })).toEqual(["task_b", "task_a"]);
  expect(await keys({ pattern: "*_[ab]" })).toEqual(["note_a", "task_b", "task_a"]);
  expect(await keys({ pattern: "task_[!a]" })).toEqual(["task_b"]);
  expect(await keys({ pattern: "[[]x]" })).toEqual(["[x]"]);
  expect(await keys({ pattern: "[x]" })).toEqual([]);
  expect(await keys({ pattern: "a[*]b" })).toEqual(["a*b"]);
  expect(await keys({ pattern: "task_a" })).toEqual(["task_a"]);
  const first = await floor.call(DEV, "memory.search", { pattern: "task_*", limit: 2 });
  const rest = await floor.call(DEV, "memory.search", { pattern: "task_*", limit: 2, after: first.next });
  expect([first.count, rest.entries.map((entry: { key: string }) => entry.key), rest.next]).toEqual([
    2,
    ["task_a"],
    null,
  ]);
});

test("S4-53, O4-08: any of the tags, or all of them", async () => {
  await set("a", 1, { tags: ["x"] });
  await set("b", 1, { tags: ["x", "y"] });
  await set("c", 1, { tags: ["y"] });
  await set("c", 2, { tags: [] });
  expect(await keys({ tags: ["x", "y"] })).toEqual(["b", "a"]);
  expect(await keys({ tags: ["x", "y"], match: "all" })).toEqual(["b"]);
  expect(await keys({ tags: ["y"] })).toEqual(["b"]);
});

test("S4-54: by who wrote it last", async () => {
  await set("a", 1);
  await set("b", 1, {}, DEV);
  await set("a", 2, {}, DEV);
  expect(await keys({ session: "dev" })).toEqual(["a", "b"]);
  expect(await keys({ session: "cece" })).toEqual([]);
});

for (const [index, type] of MEMORY_TYPES.entries()) {
  test(`S4-${57 + index}: the type ${type} is settable, countable and filterable`, async () => {
    await set(`k-${type}`, 1, { type });
    await set("other", 1, { type: type === "note" ? "fact" : "note" });
    expect(await keys({ type })).toEqual([`k-${type}`]);
    expect((await floor.call(DEV, "memory.stats")).by_type[type]).toBe(1);
  });
}

test("S4-56: deleting tells how many values went; the history keeps them; the key can come back", async () => {
  for (const value of [1, 2, 3]) await set("k", value);
  const gone = await floor.call(CECE, "memory.delete", { key: "k" });
  expect(gone).toMatchObject({ key: "k", deleted: 3 });
  expect([await codeOf(get("k")), await keys({ pattern: "k" })]).toEqual(["NOT_FOUND", []]);
  expect((await floor.call(CECE, "memory.delete", { key: "k" })).deleted).toBe(0);
  const { entries } = await floor.call(DEV, "memory.history", { key: "k" });
  expect(entries.map((entry: { change: string }) => entry.change)).toEqual(["deleted", "set", "set", "set"]);
  await set("k", 4);
  expect((await floor.call(DEV, "memory.history", { key: "k", live: true })).entries).toMatchObject([{ value: 4 }]);
  expect(await floor.call(DEV, "memory.stats")).toMatchObject({ total_entries: 4, unique_keys: 1 });
  expect(await codeOf(floor.call(DEV, "memory.history", { key: "never" }))).toBe("NOT_FOUND");
});

test("S4-64: a value with a time to live is there until then, and gone from every read after; an older value does not come back", async () => {
  await set("k", "older");
  await set("k", "newer", { ttlS: 2, tags: ["t"] });
  clock.pass(1.9);
  expect((await get("k")).value).toBe("newer");
  clock.pass(0.1);
  expect([await codeOf(get("k")), await keys({}), await keys({ tags: ["t"] })]).toEqual(["NOT_FOUND", [], []]);
  expect(await floor.call(DEV, "memory.stats")).toMatchObject({ unique_keys: 0, by_type: { note: 0 } });
  expect((await floor.call(DEV, "memory.history", { key: "k", live: true })).entries).toMatchObject([
    { value: "older" },
  ]);
});

test("S4-64: those who watch are told that a value has expired", async () => {
  const ear = new Ear<{ change: string; key: string }>();
  await floor.dispatch.enter(() => DEV, "memory.watch", {}, { key: undefined, stream: ear });
  clock.run();
  await set("k", 1, { ttlS: 0.05 });
  for (let turn = 0; turn < 200 && ear.heard.length < 2; turn++) await new Promise((next) => setTimeout(next, 10));
  expect(ear.heard.map(({ change, key }) => `${change} ${key}`)).toEqual(["set k", "expired k"]);
  expect((await floor.call(DEV, "memory.history", { key: "k" })).entries[0]).toMatchObject({
    change: "expired",
    value: null,
  });
  ear.leave();
});

test("a revision guards a value: who comes second is told what stands there", async () => {
  const first = await set("k", 1, { ifRev: 0 });
  expect(await codeOf(set("k", 2, { ifRev: 0 }))).toBe("CONFLICT");
  const results = await Promise.all([1, 2, 3].map((n) => codeOf(set("k", n, { ifRev: first.rev }))));
  expect(results.sort()).toEqual(["CONFLICT", "CONFLICT", "accepted"]);
  const refused = await set("k", 9, { ifRev: first.rev }).catch((error: { message: string }) => error.message);
  expect(refused).toMatch(/it is at \d+, set by cece/);
  const { rev } = await floor.call(CECE, "memory.delete", { key: "k", ifRev: (await get("k")).rev });
  expect(await codeOf(set("k", 5, { ifRev: rev }))).toBe("accepted");
});

test("the same key of a call is one value; the same key for another is refused", async () => {
  const once = (value: number) => floor.call(CECE, "memory.set", { key: "k", value }, "same");
  const [first, again] = [await once(1), await once(1)];
  expect([again.id, again.duplicate]).toEqual([first.id, true]);
  expect(await codeOf(once(2))).toBe("CONFLICT");
  expect((await floor.call(DEV, "memory.history", { key: "k" })).entries).toHaveLength(1);
});

test("a watcher gets what is behind its cursor and what comes, each once and in order, of the keys it wants", async () => {
  const sets: Promise<unknown>[] = [];
  for (let n = 0; n < 420; n++) sets.push(set(n % 2 === 0 ? `a${n}` : `b${n}`, n));
  await Promise.all(sets);
  const ear = new Ear<{ key: string; rev: number }>();
  await floor.dispatch.enter(() => DEV, "memory.watch", { pattern: "a*", after: 0 }, { key: undefined, stream: ear });
  await set("a-new", 1);
  await floor.call(CECE, "memory.delete", { key: "a0" });
  const all = (await ear.until(212)).map(({ key }) => key);
  expect(all).toEqual([...Array.from({ length: 210 }, (_, n) => `a${2 * n}`), "a-new", "a0"]);
  ear.leave();
});

interface Model {
  value: unknown;
  expiresAtMs: number | null;
}

const step = fc.oneof(
  fc.record({
    do: fc.constant("set" as const),
    key: fc.constantFrom("a", "b", "c"),
    ttl: fc.option(fc.integer({ min: 1, max: 9 })),
  }),
  fc.record({ do: fc.constant("delete" as const), key: fc.constantFrom("a", "b", "c") }),
  fc.record({ do: fc.constant("wait" as const), s: fc.integer({ min: 1, max: 9 }) }),
);

test("whatever is set, deleted and expires, what is read is what a simple model says, and a replay gives the same", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const own = openFloor(mkdtempSync(join(folder, "run-")), clock);
      try {
        const model = new Map<string, Model>();
        let written = 0;
        for (const [n, each] of steps.entries()) {
          if (each.do === "wait") clock.pass(each.s);
          else if (each.do === "delete") {
            model.delete(each.key);
            await own.call(ANN, "memory.delete", { key: each.key });
          } else {
            written++;
            model.set(each.key, { value: n, expiresAtMs: each.ttl === null ? null : clock.ms + each.ttl * 1000 });
            await own.call(ANN, "memory.set", {
              key: each.key,
              value: n,
              ...(each.ttl !== null && { ttlS: each.ttl }),
            });
          }
          const live = [...model].filter(([, { expiresAtMs }]) => expiresAtMs === null || expiresAtMs > clock.ms);
          const { entries } = await own.call(ANN, "memory.search", {});
          expect(new Map(entries.map((entry: { key: string; value: unknown }) => [entry.key, entry.value]))).toEqual(
            new Map(live.map(([key, { value }]) => [key, value])),
          );
          expect(await own.call(ANN, "memory.stats")).toMatchObject({
            total_entries: written,
            unique_keys: live.length,
          });
        }
        expect(own.ledger.rebuild()).toMatchObject({ equal: true });
      } finally {
        await own.close();
      }
    }),
    { numRuns: 25 },
  );
});
