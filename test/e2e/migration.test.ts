import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
beforeEach(() => {
  town = new TownUnderTest(undefined, { town: "gt11" });
  town.env.TMUX_TMPDIR = town.folder;
});
afterEach(() => town.close());

const PLAN = (more = ""): string => `version: 1
names: gastown
${more}defaults: { restart: always }
sessions:
  mayor: { role: mayor, about: Hands out work, run: exec sleep 900 }
  deacon: { role: deacon, about: Patrols, run: exec sleep 901 }
  boot: { role: boot, about: Watches the deacon, run: exec sleep 902, after: deacon }
`;

/** As an older system started it: unmarked, in the town's folder; without a command it counts into a file of its own. */
function legacy(name: string, cwd = town.folder, run?: string): number {
  const file = join(town.folder, `${name}.count`);
  town.tmux(
    ...["-f", "/dev/null", "new-session", "-d", "-s", name, "-c", cwd, "-e", "BOSUN_TOWN="],
    run ?? `n=0; while :; do n=$((n+1)); echo $n >> ${file}; sleep 0.02; done`,
  );
  return pidOf(name);
}
const attachedTo = (name: string): string =>
  town.tmux("display-message", "-p", "-t", `=${name}:`, "#{session_attached}").trim();
const pidOf = (name: string): number =>
  Number(town.tmux("display-message", "-p", "-t", `=${name}:`, "#{pane_pid}").trim());
const counts = (name: string): number[] =>
  readFileSync(join(town.folder, `${name}.count`), "utf8")
    .trim()
    .split("\n")
    .map(Number);
const findings = async (...args: string[]) =>
  JSON.parse((await town.run(["doctor", "--only", "names.legacy", "--json", ...args])).stdout).findings as {
    finding: string;
    fixed: boolean;
    fixable: boolean;
    remedy: string;
  }[];

test("S1-47, S1-52: what ran before goes on under its old name: listed, typed to, attached to, written to, and nothing beside it", async () => {
  const typed = join(town.folder, "typed");
  const pid = legacy("hq-mayor", town.folder, "exec sh");
  town.plan(PLAN());
  // Before anything is in force it is told already.
  expect(await findings()).toMatchObject([{ fixable: false, remedy: expect.stringContaining("bosun up") }]);
  await town.ok("up", "mayor");
  await town.ok("up", "mayor");
  expect(town.sessions()).toEqual(["hq-mayor"]);
  expect(pidOf("hq-mayor")).toBe(pid);
  expect((await town.json("status", "mayor")).sessions).toMatchObject([{ name: "hq-mayor", state: "running", pid }]);
  expect(await town.ok("ls")).toContain("hq-mayor");
  for (const name of ["hq-mayor", "hq-gt11-mayor", "mayor"]) {
    expect((await town.json("nudge", name, `echo hello ${name} >> ${typed}`)).session).toBe("mayor");
    expect((await town.json("attach", name)).name).toBe("hq-mayor");
    expect((await town.json("send", name, "News", "all is well")).recipients).toEqual(["mayor"]);
    await until(
      () => existsSync(typed) && readFileSync(typed, "utf8").includes(`hello ${name}\n`),
      `the text for ${name} to be there`,
    );
  }
});

test("S1-48, S1-61: live sessions under old names are renamed as they run, under load and with somebody attached: same process, counter unbroken; and called back", async () => {
  const old = { "hq-mayor": "hq-gt11-mayor", "hq-deacon": "hq-gt11-deacon", "gt-boot": "hq-gt11-boot" };
  const before = Object.fromEntries(Object.keys(old).map((name) => [name, legacy(name)]));
  town.plan(PLAN());
  await town.ok("up");
  expect(town.sessions()).toEqual(Object.keys(old).sort());
  // Doctor alone only reports.
  const told = await findings();
  expect(told).toHaveLength(3);
  expect(told.every((each) => each.fixable && !each.fixed)).toBe(true);
  expect(town.sessions()).toEqual(Object.keys(old).sort());
  const person = spawn("script", ["-qfc", `tmux -L ${town.socket} attach -t =hq-deacon`, "/dev/null"], {
    env: town.env,
    stdio: ["pipe", "ignore", "ignore"],
  });
  await until(() => attachedTo("hq-deacon") === "1", "a person to be attached");
  const busy = spawn("sh", ["-c", "while :; do :; done"]);
  // Messages by every name, all the time.
  let sending = true;
  const sent: string[] = [];
  const send = async (name: string, to: string): Promise<void> => {
    for (let n = 0; sending; n++) {
      const subject = `${name} ${n}`;
      await town.ok("send", name, subject, "hello");
      sent.push(`${to} ${subject}`);
    }
  };
  const senders = [
    send("hq-mayor", "mayor"),
    send("hq-gt11-mayor", "mayor"),
    send("gt-boot", "boot"),
    send("hq-deacon", "deacon"),
  ];
  try {
    await until(() => sent.length > 8, "messages to flow", 30_000);
    const fixed = await findings("--fix");
    expect(fixed.filter((each) => each.fixed)).toHaveLength(2);
    expect(fixed.find((each) => !each.fixed)!.finding).toContain("somebody is attached");
    expect(town.sessions()).toEqual(["hq-deacon", "hq-gt11-boot", "hq-gt11-mayor"]);
    await findings("--fix", "hq-deacon");
    expect(town.sessions()).toEqual(Object.values(old).sort());
    expect(attachedTo("hq-gt11-deacon")).toBe("1");
    const many = sent.length;
    await until(() => sent.length > many + 8, "messages to flow on", 30_000);
  } finally {
    sending = false;
    await Promise.all(senders);
    busy.kill("SIGKILL");
    person.kill();
  }
  const arrived: string[] = [];
  for (const who of ["mayor", "boot", "deacon"])
    for (const { subject } of (await town.json("inbox", who, "-n", "1000")).messages) arrived.push(`${who} ${subject}`);
  expect(arrived.sort()).toEqual(sent.sort());
  const unbroken = (): void => {
    for (const [name, pid] of Object.entries(before)) {
      const now = [name, old[name as keyof typeof old]].find((each) => town.sessions().includes(each))!;
      expect(pidOf(now)).toBe(pid);
      const all = counts(name);
      expect(all).toEqual(Array.from({ length: all.length }, (_, n) => n + 1));
    }
  };
  unbroken();
  const { sessions } = await town.json("status");
  expect(sessions.map((each: { id: string; state: string }) => [each.id, each.state])).toEqual([
    ["mayor", "running"],
    ["deacon", "running"],
    ["boot", "running"],
  ]);
  // And back: one, then all.
  await town.ok("doctor", "--undo", "hq-mayor");
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-gt11-deacon", "hq-mayor"]);
  expect((await town.run(["doctor", "--undo", "hq-mayor"])).code).toBe(3);
  await town.ok("doctor", "--undo");
  expect(town.sessions()).toEqual(Object.keys(old).sort());
  unbroken();
  await town.ok("up");
  expect(town.sessions()).toEqual(Object.keys(old).sort());
}, 120_000);

test("a name that is taken, and a session that ends meanwhile, stop nothing else", async () => {
  legacy("hq-mayor");
  legacy("hq-deacon");
  town.plan(PLAN());
  await town.ok("up", "mayor", "deacon");
  town.tmux("new-session", "-d", "-s", "hq-gt11-mayor", "sleep 900");
  town.tmux("kill-session", "-t", "=hq-deacon");
  const fixed = await findings("--fix");
  expect(fixed.find((each) => each.finding.includes("hq-gt11-mayor is taken"))).toMatchObject({ fixed: false });
  expect(town.sessions()).toEqual(expect.arrayContaining(["hq-gt11-mayor", "hq-mayor"]));
  // The deacon's next run is called as the plan says.
  await until(() => town.sessions().includes("hq-gt11-deacon"), "the deacon to run again");
  expect(town.sessions()).not.toContain("hq-deacon");
  // Whoever adopts that one would have the running one ended as its double.
  const adopted = await town.run(["adopt", "hq-gt11-mayor", "--purpose", "x", "--lifecycle", "manual"]);
  expect([adopted.code, adopted.stderr]).toEqual([5, expect.stringContaining("mayor runs already, as hq-mayor")]);
  town.tmux("kill-session", "-t", "=hq-gt11-mayor");
  await findings("--fix");
  expect(town.sessions()).not.toContain("hq-mayor");
});

test("what runs in a root that lies inside this one is that town's", async () => {
  const inner = join(town.folder, "inner", "mayor");
  mkdirSync(inner, { recursive: true });
  writeFileSync(join(town.folder, "inner", "floorplan.yaml"), "version: 1\n");
  legacy("hq-mayor", inner);
  town.plan(PLAN());
  await town.ok("up", "mayor");
  expect(town.sessions()).toEqual(["hq-gt11-mayor", "hq-mayor"]);
});

test("S1-09, S1-18: rig sessions have the names they had; before, between and after they are the same processes", async () => {
  const rigs = `rigs:
  gastown: { path: ., sessions: { witness: { role: witness, run: exec sleep 903 }, max: { role: crew, run: exec sleep 904 }, nux: { role: polecat, run: exec sleep 905 } } }
`;
  const names = ["gt-gastown-crew-max", "gt-gastown-nux", "gt-gastown-witness"];
  legacy("hq-mayor");
  town.plan(PLAN() + rigs);
  await town.ok("up", "gastown/witness", "gastown/max", "gastown/nux");
  const before = names.map(pidOf);
  await town.ok("up");
  await findings("--fix");
  await town.ok("doctor", "--undo");
  await findings("--fix");
  await town.ok("stop");
  await town.ok("up");
  expect(town.sessions()).toEqual([...names, "hq-gt11-boot", "hq-gt11-deacon", "hq-gt11-mayor"]);
  expect(names.map(pidOf)).toEqual(before);
});

test("S1-44, S1-53: the log has both names, and every command understands both", async () => {
  legacy("hq-mayor");
  town.plan(PLAN());
  await town.ok("up", "boot");
  await findings("--fix");
  const { events } = await town.json("events", "--last", "100");
  expect(events).toContainEqual(
    expect.objectContaining({ type: "session.renamed", session: "mayor", from: "hq-mayor", to: "hq-gt11-mayor" }),
  );
  for (const name of ["hq-mayor", "hq-gt11-mayor", "mayor"]) {
    expect((await town.json("status", name)).sessions).toMatchObject([{ id: "mayor", state: "running" }]);
    expect((await town.json("why", name)).session).toBe("mayor");
    expect((await town.run(["peek", name])).code).toBe(0);
    expect((await town.run(["logs", name])).code).toBe(0);
    expect((await town.json("explain", name)).session).toBe("mayor");
  }
});

test("what somebody uses, what is protected, and what nothing proves to be this town's is renamed only when it is named", async () => {
  legacy("hq-mayor", "/");
  town.plan(PLAN());
  await town.ok("up", "boot");
  const told = await findings("--fix");
  expect(told).toMatchObject([{ fixable: false, fixed: false }]);
  expect(told[0]!.finding).toContain("nothing shows that it is this town's");
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-mayor"]);
  expect((await findings("--fix", "hq-mayor")).filter((each) => each.fixed)).toHaveLength(1);
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-gt11-mayor"]);
  // One that says that it is another town's is none of this one's business.
  town.tmux("new-session", "-d", "-s", "hq-deacon", "-e", "BOSUN_TOWN=", "-e", "GT_TOWN_NAME=gt12", "exec sleep 900");
  expect(await findings("--fix", "hq-deacon")).toEqual([]);
  expect(town.sessions()).toContain("hq-deacon");
});

test("S1-46, S1-49, S1-50: a fresh plan has new names alone; in strict mode an old one is like any unknown one", async () => {
  town.plan(PLAN());
  await town.ok("up");
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-gt11-deacon", "hq-gt11-mayor"]);
  await town.ok("down");
  await town.ok("up");
  expect(town.sessions()).toEqual(["hq-gt11-boot", "hq-gt11-deacon", "hq-gt11-mayor"]);
  await town.ok("down", "deacon");
  writeFileSync(town.planFile, PLAN().replace("names: gastown\n", "names: { preset: gastown, legacy: refuse }\n"));
  await town.ok("up", "mayor");
  legacy("hq-deacon");
  await until(async () => (await town.json("ghosts")).ghosts.length === 1, "it to be seen");
  expect(await findings()).toEqual([]);
  expect((await town.json("ghosts")).ghosts[0]).toMatchObject({ name: "hq-deacon", class: "G3" });
  expect((await town.run(["status", "hq-mayor"])).code).toBe(3);
});
