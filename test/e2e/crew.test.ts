import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pause, TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;

beforeEach(() => {
  town = new TownUnderTest();
});
afterEach(() => town.close());

test("O3-12: what has rested as long as its entry says is ended; what works, waits or is looked at is not", async () => {
  town.plan(`version: 1
sessions:
  rests: { run: "exec sh", idle: 1s }
  works: { run: "while :; do date; sleep 0.2; done", idle: 1s }
  waits: { run: "printf 'Continue? [y/N] '; read answer", idle: 1s }
  kept: { run: "exec sh", idle: 1s, protect: true }
`);
  await town.ok("up");
  await town.ok("new", "beside", "--idle", "1s", "--", "sh");
  const states = async (): Promise<Record<string, string>> =>
    Object.fromEntries(
      (await town.json("status")).sessions.map((each: { id: string; state: string }) => [each.id, each.state]),
    );
  await until(async () => (await states()).rests === "stopped", "the idle one to be stopped", 20_000);
  await until(async () => (await town.json("ls", "--all")).closed?.length === 1, "the opened one to be closed");
  expect(await states()).toMatchObject({ works: "running", waits: "running", kept: "running" });
  expect(JSON.stringify(await town.json("events"))).toContain("idle for 1 s");
  // It stays down, and starts by name.
  await town.ok("up", "rests");
  expect((await states()).rests).toBe("running");
}, 60_000);

test("O3-19: sessions are exported and opened again; commands about several take a group", async () => {
  await town.ok("new", "my hotfix", "--type", "feature", "--env", "A=1", "--", "exec sh");
  await town.ok("new", "helper", "--", "exec sh");
  for (const taken of ["constructor", "__proto__", "prototype"])
    expect((await town.run(["rename", "helper", taken])).stderr).toContain("cannot be a session's name");
  const file = join(town.folder, "crew.json");
  writeFileSync(file, await town.ok("sessions", "export"));
  await town.ok("close", "helper");
  const again = await town.run(["sessions", "import", file]);
  expect(again.code).toBe(5);
  expect(again.stdout).toContain("✓ Created session 'helper'");
  expect(again.stderr).toContain("✗ my hotfix");
  await town.ok("close", "my hotfix");
  // The one that is still there fails, the other comes.
  expect((await town.run(["sessions", "import", file, "--json"])).code).toBe(5);
  const { sessions } = JSON.parse(await town.ok("sessions", "export", "my hotfix"));
  expect(sessions).toMatchObject([{ name: "my hotfix", type: "feature", entry: { run: "exec sh", env: { A: "1" } } }]);
  expect((await town.run(["sessions", "import", "-"], { input: "{}" })).code).toBe(2);
  town.plan(`version: 1
sessions:
  a: { run: "exec sleep 999", agent: { id: ann, type: x } }
  b: { run: "exec sleep 999" }
  c: { run: "exec sleep 999" }
groups: { pair: [ann, b], all: [pair, c] }
`);
  await town.ok("up", "@pair");
  const running = async (): Promise<string[]> =>
    (await town.json("status")).sessions.flatMap((each: { id: string; state: string; kind: string }) =>
      each.state === "running" && "abc".includes(each.id) ? [each.id] : [],
    );
  expect(await running()).toEqual(["a", "b"]);
  await town.ok("up", "@all");
  await town.ok("restart", "@pair", "--yes");
  await town.ok("down", "@pair");
  expect(await running()).toEqual(["c"]);
  expect((await town.run(["down", "@none"])).code).toBe(3);
}, 60_000);

test("O3-21: fifty are back after tmux died, each once; what crashes at once backs off, what cannot start says so", async () => {
  const gone = join(town.folder, "gone");
  mkdirSync(gone);
  const many = Array.from(
    { length: 50 },
    (_, n) => `  s${n}: { run: "echo $$ >> ${town.folder}/born-${n}; exec sleep 999", restart: always }`,
  );
  town.plan(`version: 1
sessions:
${many.join("\n")}
  crashing: { run: "echo x >> ${town.folder}/crashes; sleep 0.1; exit 1", restart: always }
  homeless: { run: "exec sleep 999", cwd: "${gone}", restart: always }
`);
  await town.ok("up");
  rmSync(gone, { recursive: true });
  process.kill(Number(town.tmux("display-message", "-p", "#{pid}")), "SIGKILL");
  const running = async (): Promise<number> =>
    (await town.json("status")).sessions.filter(
      (each: { id: string; state: string }) => /^s\d/.test(each.id) && each.state === "running",
    ).length;
  const born = (n: number): number =>
    readFileSync(join(town.folder, `born-${n}`), "utf8")
      .trim()
      .split("\n").length;
  await until(() => Array.from({ length: 50 }, (_, n) => born(n)).every((count) => count === 2), "fifty anew", 40_000);
  await until(async () => (await running()) === 50, "fifty to run again");
  await pause(1_000);
  for (let n = 0; n < 50; n++) expect(born(n)).toBe(2);
  const homeless = async () =>
    (await town.json("status")).sessions.find((each: { id: string }) => each.id === "homeless");
  expect(await homeless()).toMatchObject({ state: "exited", evidence: expect.stringContaining(gone) });
  // What it needs is there again: it comes without being told.
  mkdirSync(gone);
  await until(async () => (await homeless()).state === "running", "the homeless one to run", 15_000);
  const before = readFileSync(join(town.folder, "crashes"), "utf8").length / 2;
  await pause(3_000);
  expect(readFileSync(join(town.folder, "crashes"), "utf8").length / 2 - before).toBeLessThan(5);
}, 120_000);

test("S3-18, S3-49: among fifty that write, each switch shows the right one, whole, and no line of any is lost", async () => {
  town.plan(`version: 1
limits: { sessions: 60 }
sessions: {}
`);
  await town.ok("up");
  for (let n = 0; n < 49; n++)
    await town.ok("new", `w${n}`, "--", `for i in $(seq 1 200); do echo w${n}-line-$i; sleep 0.05; done; exec cat`);
  for (let n = 0; n < 49; n += 4) {
    await town.ok("switch", `w${n}`);
    const { lines } = await town.json("screen");
    expect(lines.join("\n")).toContain(`w${n}-line-`);
    for (const line of lines) if (/w\d+-line/.test(line)) expect(line).toMatch(new RegExp(`^w${n}-line-`));
  }
  await until(() => town.capture("=w48:").includes("w48-line-200"), "the last to have written", 60_000);
  for (let n = 0; n < 49; n += 6) {
    const { lines } = await town.json("history", `w${n}`);
    const missing = Array.from({ length: 200 }, (_, at) => `w${n}-line-${at + 1}`).filter(
      (line) => !lines.includes(line),
    );
    expect(missing, `what w${n} wrote and its history lacks`).toEqual([]);
  }
}, 180_000);

test("S3-42: the coordinator's loop is measured, and a moment in which it stood still is counted", async () => {
  await town.ok("new", "one", "--", "sh");
  const pid = town.coordinatorPid()!;
  process.kill(pid, "SIGSTOP");
  await pause(1_200);
  process.kill(pid, "SIGCONT");
  const metrics = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socketPath = join(town.stateFolder, "bosun.sock");
      const asked = request({ socketPath, host: "bosun", path: "/metrics" }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve(text));
      });
      asked.on("error", reject);
      asked.end();
    });
  await until(async () => /^bosun_stalls\{[^}]*\} [1-9]/m.test(await metrics()), "the stall to be counted");
  const text = await metrics();
  expect(Number(/^bosun_longest_stall_ms\{[^}]*\} (\d+)/m.exec(text)![1])).toBeGreaterThan(700);
  expect(text).toMatch(/^nodejs_eventloop_lag_seconds\{/m);
});
