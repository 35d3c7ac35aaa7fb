import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { Signs } from "./signs.ts";

const folder = mkdtempSync(join(tmpdir(), "bosun-signs-"));
afterAll(() => rmSync(folder, { recursive: true }));

const fresh = (nowMs = 0): Signs => new Signs(join(folder, "none"), nowMs);

test("whoever was silent for a lease is named once, the earliest first, whatever was noted and awaited in between", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("note" as const), who: fc.nat(5), ms: fc.nat(50) }),
    fc.record({ do: fc.constant("await" as const), who: fc.nat(5), ms: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ do: fc.constant("release" as const), who: fc.nat(5), ms: fc.nat(5) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const signs = fresh();
      const last = new Map<string, number>();
      const lease = new Map<string, number>();
      let now = 0;
      for (const { do: what, who, ms } of steps) {
        const id = `a${who}`;
        if (what === "await") {
          signs.await(id, ms);
          lease.set(id, ms);
        } else if (what === "release") {
          signs.release(id);
          lease.delete(id);
        } else {
          now += ms;
          const expected = [...lease].filter(([each, leaseMs]) => (last.get(each) ?? 0) + leaseMs <= now);
          for (const [each] of expected) lease.delete(each);
          expect(signs.takeOverdue(now).sort()).toEqual(expected.map(([each]) => each).sort());
          signs.note(id, now, "");
          last.set(id, now);
        }
      }
    }),
  );
});

test("among ten thousand, those with a later sign are not overdue and keep their place", () => {
  const signs = fresh();
  for (let index = 0; index < 10_000; index++) signs.await(`a${index}`, 300_000);
  for (let round = 0; round < 1_000; round++) {
    signs.note(`a${round}`, round, "");
    expect(signs.takeOverdue(299_999)).toEqual([]);
  }
  expect(signs.takeOverdue(300_000).length).toBe(9_001);
});

test("signs are kept in the file; without one, or with a damaged one, nobody has been seen", () => {
  const file = join(folder, "signs.json");
  const before = new Signs(file, 0);
  before.note("a", 123, "a call");
  before.note("b", 456, "a call");
  before.forget("b");
  before.save();
  expect(new Signs(file, 1000).last("a")).toEqual({ atMs: 123, what: "" });
  expect(new Signs(file, 1000).last("b")).toBe(null);
  writeFileSync(file, '{"v":1,"signs":{"a":"yesterday","c":5');
  expect(new Signs(file, 1000).last("a")).toBe(null);
});

test("after a start every lease counts from it", () => {
  const file = join(folder, "old.json");
  writeFileSync(file, '{"v":1,"signs":{"a":5}}');
  const signs = new Signs(file, 1_000_000);
  signs.await("a", 100);
  expect([signs.takeOverdue(1_000_099), signs.takeOverdue(1_000_100), signs.takeOverdue(1_000_200)]).toEqual([
    [],
    ["a"],
    [],
  ]);
});
