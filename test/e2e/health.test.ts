import { rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pause, TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;

beforeEach(() => {
  town = new TownUnderTest();
});
afterEach(() => town.close());

interface Shown {
  id: string;
  state: string;
  pid: number | null;
  health: { check: string; healthy: boolean | null; evidence: string; misses: number }[];
}
const shown = async (id: string): Promise<Shown> =>
  (await town.json("status")).sessions.find((each: Shown) => each.id === id);
const changes = async (): Promise<{ session: string; check: string; healthy: boolean; did: string | null }[]> =>
  (await town.json("events", "-n", "1000")).events.filter((each: { type: string }) => each.type === "health.changed");

test("a command that fails three times ends the process, which its policy restarts; one failure changes nothing", async () => {
  const well = join(town.folder, "well");
  writeFileSync(well, "");
  town.plan(`version: 1
rooms: { ops: {} }
sessions:
  worker:
    run: "exec sleep 900"
    room: ops
    restart: always
    health: { exec: { cmd: "test -e ${well} || { echo the file is gone; exit 9; }", every: 300ms, misses: 3 } }
`);
  await town.ok("up");
  const { pid } = await shown("worker");
  await until(async () => (await shown("worker")).health[0]?.healthy === true, "it to be well");
  expect(await changes()).toEqual([]);
  rmSync(well);
  await until(async () => (await shown("worker")).health[0]!.misses === 1, "one failure");
  writeFileSync(well, "");
  await until(async () => (await shown("worker")).health[0]!.misses === 0, "it to be well again");
  expect((await shown("worker")).pid).toBe(pid);
  rmSync(well);
  await until(
    async () => {
      const now = await shown("worker");
      return now.state === "running" && now.pid !== pid;
    },
    "it to be restarted",
    15_000,
  );
  expect(await changes()).toMatchObject([{ session: "worker", check: "exec", healthy: false, did: "restart" }]);
  expect((await changes())[0]).toMatchObject({ evidence: "exit 9: the file is gone" });
  expect((await town.json("why", "worker")).ends).toMatchObject([{ exit: "signal 15", decided: "restart", streak: 1 }]);
  expect(await town.ok("feed", "ops", "--last", "5")).toContain("exec failed: exit 9: the file is gone");
});

test("an endpoint and a port; an alert tells and restarts nothing", async () => {
  let status = 200;
  const server: Server = createServer((_, response) => response.writeHead(status).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  town.plan(`version: 1
sessions:
  web:
    run: "exec sleep 900"
    restart: always
    health:
      http: { url: "http://127.0.0.1:${port}/", every: 300ms, misses: 2, action: alert }
      tcp: { address: "127.0.0.1:${port}", every: 300ms, misses: 2, action: alert }
`);
  await town.ok("up");
  const { pid } = await shown("web");
  await until(async () => (await shown("web")).health.every((each) => each.healthy === true), "both to be well");
  status = 503;
  await until(async () => (await changes()).length === 1, "the endpoint to be told of");
  expect(await changes()).toMatchObject([{ check: "http", healthy: false, did: "alert" }]);
  status = 204;
  await until(async () => (await changes()).at(-1)?.healthy === true, "it to be well again");
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await until(async () => (await changes()).filter((each) => !each.healthy).length === 3, "both to be told of");
  expect((await shown("web")).pid).toBe(pid);
});

test("S2-26: a heartbeat that is missed so often is unhealthy; what its screen shows, and silence, only alert", async () => {
  const beating = join(town.folder, "beating");
  writeFileSync(beating, "");
  town.plan(`version: 1
sessions:
  loop:
    agent: { id: loop, type: script }
    run: "while :; do [ -e ${beating} ] && bosun ping loop >/dev/null 2>&1; sleep 0.3; done"
    restart: always
    health: { heartbeat: { every: 1s, misses: 2 } }
  quiet: { run: "echo NOUS is here; exec sleep 900", restart: always, health: { pattern: { regex: "NOUS", for: 1s }, silence: 2s } }
`);
  await town.ok("up");
  const { pid } = await shown("loop");
  const quiet = (await shown("quiet")).pid;
  await pause(3_000);
  expect((await changes()).filter((each) => each.session === "loop")).toEqual([]);
  rmSync(beating);
  await until(
    async () => (await changes()).some((each) => each.session === "loop" && each.did === "restart"),
    "its heart",
    15_000,
  );
  await until(async () => (await shown("loop")).pid !== pid, "it to be restarted", 15_000);
  const told = (await changes()).filter((each) => each.session === "quiet");
  expect(told).toMatchObject([{ check: "silence", healthy: false, did: "alert" }]);
  expect((await shown("quiet")).pid).toBe(quiet);
  expect((await shown("quiet")).health).toMatchObject([
    { check: "pattern", healthy: true },
    { check: "silence", healthy: false },
  ]);
}, 60_000);

test("a pattern that is none, or an address without a port, is refused where it stands", async () => {
  for (const health of ['{ pattern: "(" }', '{ pattern: { regex: "(a+)+$" } }', "{ tcp: localhost }"]) {
    town.plan(`version: 1\nsessions:\n  one: { run: "exec sleep 9", health: ${health} }\n`);
    const { code, stderr } = await town.run(["check"]);
    expect([code, stderr], health).toEqual([2, expect.stringContaining("floorplan.yaml:3:")]);
  }
});

test("S2-08: windows that are missing or too many are told, when the plan asks for it", async () => {
  town.plan(`version: 1
sessions:
  bridge:
    windows: [ { name: a, run: exec sleep 900 }, { name: b, run: exec sleep 901 } ]
    health: { windows: true }
`);
  await town.ok("up");
  town.tmux("new-window", "-d", "-t", "=bridge:", "-n", "extra", "exec sleep 902");
  await until(
    async () => (await town.json("alerts")).alerts.some((each: { text: string }) => each.text.includes("extra")),
    "it to be told",
    15_000,
  );
  town.tmux("kill-window", "-t", "=bridge:extra");
  await until(async () => (await town.json("alerts")).alerts.length === 0, "it to pass", 15_000);
});

test("what is well and ill in turn is left alone after four changes", async () => {
  town.plan(`version: 1
sessions:
  flapper:
    run: exec sleep 900
    restart: always
    health: { exec: { cmd: test -f well, every: 100ms, misses: 1, action: restart } }
`);
  const file = join(town.folder, "well");
  writeFileSync(file, "");
  await town.ok("up");
  const session = async () =>
    (await town.json("status")).sessions[0] as { pid: number; health: { healthy: boolean | null }[] };
  const healthy = (wanted: boolean) =>
    until(async () => (await session()).health[0]?.healthy === wanted, `healthy ${wanted}`, 15_000);
  const told = async () =>
    (await town.json("alerts", "--all")).alerts.some((each: { key: string }) => each.key === "flapping flapper");
  for (let n = 0; n < 4; n++) {
    await healthy(true);
    const { pid } = await session();
    rmSync(file);
    await until(async () => (await session()).pid !== pid || (await told()), "its restart", 15_000);
    writeFileSync(file, "");
  }
  await until(told, "it to be told");
  await healthy(true);
  const { pid } = await session();
  rmSync(file);
  await healthy(false);
  await new Promise((next) => setTimeout(next, 1_000));
  expect((await session()).pid).toBe(pid);
});
