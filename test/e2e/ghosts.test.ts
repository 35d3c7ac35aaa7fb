import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;

const PLAN = `version: 1
# The ship.
names: gastown
sessions:
  mayor: { role: mayor, run: "exec sleep 900" }   # steers
  kept: { run: "exec sleep 900", after: [mayor], start: manual }
`;

beforeEach(async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
});
afterEach(() => town.close());

interface Shown {
  name: string;
  class: string;
  why: string;
  decision: string | null;
  first_seen: string;
}
const ghosts = async (...flags: string[]): Promise<Shown[]> => (await town.json("ghosts", ...flags)).ghosts;
const classOf = async (name: string) => (await ghosts()).find((each) => each.name === name)?.class;
const COUNT = 'i=0; while :; do i=$((i+1)); echo "count $i"; sleep 0.05; done';
const stranger = (name: string, command = "exec sleep 900"): string =>
  town.tmux("new-session", "-d", "-P", "-F", "#{pane_pid}", "-s", name, command).trim();

test("S2-43, S2-49, S3-46: a session that nobody declared is found within one look, told once, and shown until it is decided", async () => {
  stranger("lost", "exec sleep 900");
  await until(async () => (await ghosts()).length === 1, "the ghost", 5_000);
  expect((await town.json("status")).ghosts).toMatchObject([{ name: "lost" }]);
  const unknown = async (): Promise<number> =>
    (await town.json("events", "-n", "1000")).events.filter((each: { type: string }) => each.type === "session.unknown")
      .length;
  await until(async () => (await unknown()) === 1, "the event");
  const [before] = await ghosts();
  await town.ok("stop");
  await until(async () => (await ghosts()).length === 1, "it to be there again");
  expect(await unknown()).toBe(1);
  expect((await ghosts())[0]!.first_seen).toBe(before!.first_seen);
  await town.ok("ignore", "lost", "--because", "it is mine");
  expect(await ghosts()).toEqual([]);
  expect(await ghosts("--all")).toMatchObject([{ name: "lost", decision: "ignored", because: "it is mine" }]);
});

test("S2-45: four kinds of ghosts get their four classes", async () => {
  stranger("kept");
  stranger("hq-deacon");
  stranger(`hq-${town.town}-boot`);
  const marked = stranger("leftover");
  expect(Number(marked)).toBeGreaterThan(1);
  town.tmux(
    "set-option",
    "-t",
    "=leftover:",
    "@town",
    town.town,
    ";",
    "set-option",
    "-t",
    "=leftover:",
    "@id",
    "gone",
    ";",
    "set-option",
    "-t",
    "=leftover:",
    "@epoch",
    "1",
  );
  stranger("my-own");
  stranger("double");
  for (const [name, value] of [
    ["@town", town.town],
    ["@id", "mayor"],
    ["@epoch", "9"],
  ] as const)
    town.tmux("set-option", "-t", "=double:", name, value);
  stranger("theirs");
  for (const [name, value] of [
    ["@town", "elsewhere"],
    ["@id", "mayor"],
    ["@epoch", "1"],
  ] as const)
    town.tmux("set-option", "-t", "=theirs:", name, value);
  await until(async () => (await ghosts()).length === 6, "six ghosts");
  expect(Object.fromEntries((await ghosts()).map((each) => [each.name, each.class]))).toEqual({
    kept: "G1",
    "hq-deacon": "G1",
    [`hq-${town.town}-boot`]: "G2",
    leftover: "G2",
    "my-own": "G3",
    double: "G4",
  });
  expect((await town.json("ghosts")).foreign).toEqual([{ name: "theirs", town: "elsewhere" }]);
  // Another town's is never ours to decide about.
  for (const command of ["adopt", "retire", "quarantine", "ignore"])
    expect((await town.run([command, "theirs", "--because", "x", "--purpose", "x"])).code, command).not.toBe(0);
  expect(town.tmux("has-session", "-t", "=theirs")).toBe("");
});

test("S2-44, O2-01: the five questions are answered from the kernel, tmux and the log", async () => {
  const pid = stranger(
    "lost",
    `exec sh -c 'sleep 901 & python3 -m http.server 0 --bind 127.0.0.1 2>/dev/null & echo working on it; wait'`,
  );
  await until(() => town.capture("=lost:").includes("working on it"), "its output");
  const { answers } = await town.json("ghosts", "show", "lost");
  expect(answers.what).toMatchObject({ pid: Number(pid), user: expect.any(String), windows: 1, panes: 1 });
  expect(answers.what.command).toContain("sh -c");
  expect(Math.abs(Date.parse(answers.what.started) - Date.now())).toBeLessThan(60_000);
  expect(answers.does).toMatchObject({
    cwd: expect.stringContaining("/"),
    last_lines: expect.arrayContaining(["working on it"]),
  });
  expect(answers.touches.children.join()).toContain("sleep 901");
  expect(answers.made_by.parent).toContain("tmux");
  expect(answers.breaks).toEqual({ attached: 0, stands_on: [] });
  const text = await town.ok("ghosts", "show", "lost");
  for (const question of ["what is it", "what does it do", "what it touches", "who made it", "what breaks"])
    expect(text).toContain(question);
});

test("S2-27, S2-39, S2-89: adopted as it runs: same process, no count missing, its entry in the plan, and under watch from then on", async () => {
  const pid = stranger("astra_sovereign", COUNT);
  await until(() => town.capture("=astra_sovereign:").includes("count 20"), "it to count");
  expect((await town.run(["adopt", "astra_sovereign"])).code).toBe(2);
  const adopted = await town.json("adopt", "astra_sovereign", "--purpose", "Self-reflection loop");
  expect(adopted).toMatchObject({ session: "astra_sovereign", pid: Number(pid), plan: town.planFile });
  const text = readFileSync(town.planFile, "utf8");
  for (const kept of ["# The ship.", "# steers", "Self-reflection loop"]) expect(text).toContain(kept);
  const entry = (await town.json("plan", "show")).plan.sessions.find(
    (each: { id: string }) => each.id === "astra_sovereign",
  );
  expect(entry.restart.policy).toBe("always");
  expect(adopted.entry.created).toMatchObject({
    class: "G3",
    rescued_by: expect.any(String),
    at: expect.stringMatching(/^20/),
    rescued: expect.stringMatching(/^20/),
  });
  expect(await ghosts()).toEqual([]);
  // Nothing to do for up, and nothing was started anew.
  expect((await town.json("up")).steps).toEqual([]);
  const shown = (await town.json("status")).sessions.find((each: { id: string }) => each.id === "astra_sovereign");
  expect(shown).toMatchObject({ state: "running", pid: Number(pid) });
  const { lines } = await town.json("history", "astra_sovereign");
  const counts = lines.flatMap((line: string) => /^count (\d+)$/.exec(line)?.[1] ?? []).map(Number);
  for (let n = 1; n < counts.length; n++) expect(counts[n]).toBe(counts[n - 1]! + 1);
  // The watchdog it was given.
  process.kill(Number(pid), "SIGKILL");
  await until(
    async () => {
      const now = (await town.json("status")).sessions.find((each: { id: string }) => each.id === "astra_sovereign");
      return now.state === "running" && now.pid !== Number(pid);
    },
    "it to be restarted",
    10_000,
  );
});

test("a plan that would not be valid with it stays as it was, and so does the session", async () => {
  stranger("session-0");
  town.plan(PLAN.replace("names: gastown", "names: ship"));
  const before = readFileSync(town.planFile, "utf8");
  const refused = await town.run(["adopt", "session-0", "--purpose", "x"]);
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("session-0")]);
  expect(readFileSync(town.planFile, "utf8")).toBe(before);
  expect(await classOf("session-0")).toBe("G3");
  expect(town.tmux("has-session", "-t", "=session-0")).toBe("");
});

test("S2-46: ended only with a reason, a record of everything, and after two sightings; never one that somebody uses", async () => {
  const pid = Number(stranger("old-build", `${COUNT}`));
  await until(() => town.capture("=old-build:").includes("count 10"), "it to count");
  expect((await town.run(["retire", "old-build"])).code).toBe(2);
  const early = await town.run(["retire", "old-build", "--because", "left over"]);
  expect(early).toMatchObject({ code: 4 });
  expect(early.stderr).toContain("seen only once");
  const quarantined = await town.json("quarantine", "old-build", "--because", "nobody knows it");
  expect(existsSync(join(quarantined.archive, "record.json"))).toBe(true);
  process.kill(pid, 0);
  await until(
    async () => (await town.run(["retire", "old-build", "--because", "left over"])).code === 0,
    "its end",
    15_000,
  );
  expect(() => process.kill(pid, 0)).toThrow();
  const decided = (await town.json("events", "-n", "1000")).events.filter(
    (each: { type: string }) => each.type === "ghost.decided",
  );
  expect(decided.map((each: { decision: string }) => each.decision)).toEqual(["quarantined", "retired"]);
  const { archive } = decided.at(-1);
  expect(JSON.parse(readFileSync(join(archive, "record.json"), "utf8"))).toMatchObject({
    decision: "retired",
    because: "left over",
    class: "G3",
  });
  expect(readFileSync(join(archive, "processes.txt"), "utf8")).toContain(String(pid));
  const pane = readFileSync(join(archive, archivePane(archive)), "utf8");
  expect(pane).toContain("count 1\n");
  // Whatever is declared is no ghost.
  expect((await town.run(["retire", "mayor", "--because", "x"])).code).toBe(3);
});

function archivePane(folder: string): string {
  return (
    process
      .getBuiltinModule("node:fs")
      .readdirSync(folder)
      .find((name) => name.startsWith("pane-")) ?? ""
  );
}

test("S2-47: what tmux lists is listed, as declared, as a ghost or as another town's", async () => {
  stranger("one");
  stranger("two");
  await until(async () => (await ghosts()).length === 2, "both");
  const status = await town.json("status");
  const answer = await town.json("ghosts");
  const ours = new Set([
    ...status.sessions.map((each: { name: string }) => each.name),
    ...answer.ghosts.map((each: Shown) => each.name),
    ...answer.foreign.map((each: { name: string }) => each.name),
    `_bosun-${town.town}`,
  ]);
  for (const name of town.tmux("list-sessions", "-F", "#{session_name}").trim().split("\n"))
    expect(ours).toContain(name);
  expect(await classOf("one")).toBe("G3");
});

test("O2-10: when tmux cannot be asked nothing is ended; nor is another town's, or what somebody has come to meanwhile", async () => {
  const pid = Number(stranger("busy", "exec sleep 900"));
  const foreign = Number(stranger("other-town", "exec sleep 901"));
  for (const [name, value] of [
    ["@town", "elsewhere"],
    ["@id", "x"],
    ["@epoch", "1"],
    ["@shape", "x"],
  ])
    town.tmux("set-option", "-t", "=other-town:", name!, value!);
  await until(async () => (await ghosts()).some((each) => each.name === "busy"), "it to be seen");
  await new Promise((next) => setTimeout(next, 5_500));
  const server = Number(town.tmux("display-message", "-p", "#{pid}"));
  process.kill(server, "SIGSTOP");
  const asking = town.run(["retire", "busy", "--because", "in the way"]);
  await new Promise((next) => setTimeout(next, 1_000));
  // While it waits for an answer that does not come, nothing is done.
  process.kill(pid, 0);
  process.kill(town.coordinatorPid()!, "SIGKILL");
  process.kill(server, "SIGCONT");
  expect((await asking).code).not.toBe(0);
  process.kill(pid, 0);
  expect((await town.run(["retire", "other-town", "--because", "x"])).code).toBe(3);
  process.kill(foreign, 0);
});

test("S2-36: a session that is called like none is reported with what to call it", async () => {
  stranger("session-0");
  await until(async () => (await ghosts()).some((each) => each.name === "session-0"), "it to be seen");
  const ran = await town.run(["ghosts"]);
  expect(ran.stderr).toContain("bosun adopt session-0 --id CREW_FUNCTION");
  expect((await town.run(["adopt", "session-0", "--purpose", "counts"])).code).not.toBe(0);
  const adopted = await town.json("adopt", "session-0", "--purpose", "counts", "--id", "sisters_count");
  expect(adopted.name).toBe("sisters_count");
});
