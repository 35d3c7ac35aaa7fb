import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ANN, agent, Clock, openFloor } from "./registry.fixture.ts";

let folder: string;
let clock: Clock;
let floor: ReturnType<typeof openFloor>;

const A = agent("a");
const B = agent("b");

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "bosun-lease-"));
  clock = new Clock();
  floor = openFloor(folder, clock);
  await floor.register("a");
  await floor.register("b");
});

afterEach(async () => {
  await floor.close();
  rmSync(folder, { recursive: true });
});

const acquire = (who: typeof A, names: string[], more: Record<string, unknown> = {}) =>
  floor.call(who, "lease.acquire", { names, ...more });
const codeOf = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );

test("all names or none; whoever holds one is named, and until when", async () => {
  await acquire(A, ["x"], { why: "refactoring" });
  const refused = await acquire(B, ["y", "x"]).catch((error: { message: string; code: string }) => error);
  expect(refused).toMatchObject({ code: "CONFLICT" });
  expect((refused as { message: string }).message).toMatch(/x is held by a.*refactoring/);
  expect((await floor.call(B, "lease.list", {})).leases).toMatchObject([
    { name: "x", holder: "a", why: "refactoring" },
  ]);
  expect(await codeOf(acquire(B, ["y"]))).toBe("accepted");
});

test("shared leases go together; an exclusive one goes with nobody", async () => {
  await acquire(A, ["x"], { shared: true });
  expect(await codeOf(acquire(B, ["x"], { shared: true }))).toBe("accepted");
  expect(await codeOf(acquire(A, ["x"]))).toBe("CONFLICT");
  await floor.call(B, "lease.release", { names: ["x"] });
  expect(await codeOf(acquire(A, ["x"]))).toBe("accepted");
  expect(await codeOf(acquire(B, ["x"], { shared: true }))).toBe("CONFLICT");
});

test("O3-11: a lease ends by itself; tokens only grow; a write under a lost one is refused", async () => {
  const first = (await acquire(A, ["x"], { ttlS: 5 })).held[0];
  const put = (who: typeof A, token: number) =>
    codeOf(floor.call(who, "memory.set", { key: "k", value: 1, fence: { name: "x", token } }));
  expect(await put(A, first.token)).toBe("accepted");
  expect(await put(B, first.token)).toBe("CONFLICT");
  clock.pass(5);
  expect(await put(A, first.token)).toBe("CONFLICT");
  const second = (await acquire(B, ["x"])).held[0];
  expect(second.token).toBeGreaterThan(first.token);
  expect(await codeOf(floor.call(A, "lease.renew", { names: ["x"] }))).toBe("CONFLICT");
  expect(await put(B, second.token)).toBe("accepted");
  const third = (await acquire(B, ["x"])).held[0];
  expect([third.token > second.token, await put(B, second.token), await put(B, third.token)]).toEqual([
    true,
    "CONFLICT",
    "accepted",
  ]);
});

test("renewing holds on; giving back is for the holder, taking away for those who run the floor", async () => {
  await acquire(A, ["x"], { ttlS: 5 });
  clock.pass(4);
  await floor.call(A, "lease.renew", { names: ["x"], ttlS: 5 });
  clock.pass(4);
  expect(await codeOf(acquire(B, ["x"]))).toBe("CONFLICT");
  expect(await codeOf(floor.call(B, "lease.release", { names: ["x"] }))).toBe("CONFLICT");
  expect(await codeOf(floor.call(B, "lease.release", { names: ["x"], force: true }))).toBe("REFUSED");
  expect(await floor.call(ANN, "lease.release", { names: ["x", "y"], force: true })).toEqual({ released: ["x"] });
  expect(await codeOf(floor.call(A, "lease.renew", { names: ["x"] }))).toBe("NOT_FOUND");
});

test("those who wait get it in the order they came", async () => {
  await acquire(A, ["x"]);
  const order: string[] = [];
  const waiting = ["b", "c", "d"].map(async (id) => {
    await acquire(agent(id), ["x"], { waitMs: 20_000 });
    order.push(id);
    await floor.call(agent(id), "lease.release", { names: ["x"] });
  });
  await new Promise((next) => setTimeout(next, 20));
  await floor.call(A, "lease.release", { names: ["x"] });
  await Promise.all(waiting);
  expect(order).toEqual(["b", "c", "d"]);
  clock.run();
  await acquire(A, ["x"]);
  expect(await codeOf(acquire(B, ["x"], { waitMs: 10 }))).toBe("CONFLICT");
});
