import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

const towns: TownUnderTest[] = [];
afterEach(async () => {
  for (const town of towns.splice(0)) await town.close();
});

const RIGS: Record<string, string> = {
  gt11: `rigs:
  gastown: { sessions: { witness: { role: witness, run: "exec sleep 3600" }, refinery: { role: refinery, run: "exec sleep 3600" }, slack_decisions: { role: crew, run: "exec sleep 3600" } } }
  beads: { sessions: { witness: { role: witness, run: "exec sleep 3600" }, refinery: { role: refinery, run: "exec sleep 3600" } } }
`,
  gt12: `rigs:
  newrig: { sessions: { witness: { role: witness, run: "exec sleep 3600" }, refinery: { role: refinery, run: "exec sleep 3600" } } }
`,
};

const HQ = `version: 1
names: gastown
sessions:
  mayor: { role: mayor, run: "exec sleep 3600" }
  boot: { role: boot, run: "exec sleep 3600", after: [deacon] }
  deacon: { role: deacon, run: "exec sleep 3600" }
`;

/** A Gas Town in a folder that bears its name, as people have them; several share one tmux server and one state folder. */
function gastown(name: string, beside?: TownUnderTest): TownUnderTest {
  const town = new TownUnderTest(undefined, {
    town: "",
    ...(beside ? { socket: beside.socket, home: beside.env["BOSUN_HOME"]! } : {}),
  });
  mkdirSync(join(town.folder, name));
  writeFileSync(join(town.folder, name, "floorplan.yaml"), HQ + (RIGS[name] ?? ""));
  towns.push(town);
  return town;
}

const run = (town: TownUnderTest, name: string, ...args: string[]) => town.run(args, { cwd: join(town.folder, name) });

async function json(town: TownUnderTest, name: string, ...args: string[]) {
  const ran = await run(town, name, ...args, "--json");
  if (ran.code !== 0) throw new Error(ran.stderr);
  return JSON.parse(ran.stdout);
}

const GT11 = [
  "gt-beads-refinery",
  "gt-beads-witness",
  "gt-gastown-crew-slack_decisions",
  "gt-gastown-refinery",
  "gt-gastown-witness",
  "hq-gt11-boot",
  "hq-gt11-deacon",
  "hq-gt11-mayor",
];
const GT12 = ["gt-newrig-refinery", "gt-newrig-witness", "hq-gt12-boot", "hq-gt12-deacon", "hq-gt12-mayor"];

test("S1-13 S1-18 S1-19 S1-56 S1-57 S1-58 S1-59: gt11 and gt12 side by side on one server, no container, exactly their eight and five names", async () => {
  const gt11 = gastown("gt11");
  expect((await run(gt11, "gt11", "up")).code).toBe(0);
  expect(gt11.sessions()).toEqual(GT11);
  const before = gt11
    .panes("#{session_name} #{pane_pid}")
    .split("\n")
    .filter((line) => line.startsWith("gt-"));
  const gt12 = gastown("gt12", gt11);
  expect((await run(gt12, "gt12", "up")).code).toBe(0);
  expect(gt11.sessions()).toEqual([...GT11, ...GT12].sort());
  const after = gt11.panes("#{session_name} #{pane_pid}").split("\n");
  expect(after).toEqual(expect.arrayContaining(before));
  expect((await json(gt12, "gt12", "status")).town).toBe("gt12");
  await run(gt12, "gt12", "down");
  expect(gt11.sessions()).toEqual(GT11);
  await run(gt12, "gt12", "stop");
  await run(gt11, "gt11", "stop");
});

test("S1-15 S1-16 S1-17 S1-24 S1-26: town, rig and agent stand in the name, in the tree and in whois", async () => {
  const gt11 = gastown("gt11");
  await run(gt11, "gt11", "up");
  const tree = (await run(gt11, "gt11", "tree")).stdout;
  expect(tree.split("\n")[0]).toBe("gt11");
  expect(tree).toMatch(/gastown[\s\S]*gt-gastown-witness[\s\S]*beads[\s\S]*gt-beads-witness/);
  const townLevel = gt11.sessions().filter((name) => name.startsWith("hq-"));
  const who = await Promise.all(GT11.map((name) => json(gt11, "gt11", "whois", name)));
  expect(
    who
      .filter((each) => each.rig === "")
      .map((each) => each.name)
      .sort(),
  ).toEqual(townLevel);
  expect(await json(gt11, "gt11", "whois", "hq-gt12-mayor")).toMatchObject({
    town: "gt12",
    role: "mayor",
    known: "foreign",
  });
  expect(await json(gt11, "gt11", "whois", "gt-gastown-crew-slack_decisions")).toMatchObject({
    role: "crew",
    rig: "gastown",
    crew: "slack_decisions",
    known: "declared",
  });
  expect(await json(gt11, "gt11", "whois", "hq-mayor")).toMatchObject({ role: "mayor", known: "legacy" });
  const wrong = await run(gt11, "gt11", "whois", "hq-gt11-foo");
  expect(wrong.code).toBe(3);
  await run(gt11, "gt11", "stop");
});

test("S1-32 S1-33 S1-34 S1-60: the town is the flag's, then the environment's, the plan's, GT_ROOT's, the folder's; status says which", async () => {
  const town = gastown("gt11");
  mkdirSync(join(town.folder, "gt11", "deep", "down"), { recursive: true });
  const from = async (cwd: string, args: string[] = [], env: Record<string, string> = {}) => {
    const ran = await town.run(["status", "--json", ...args], { cwd: join(town.folder, cwd), env });
    const { town: name, from: source } = JSON.parse(ran.stdout);
    await town.run(["stop", ...args], { cwd: join(town.folder, cwd), env });
    return `${name} from ${source}`;
  };
  expect(await from("gt11/deep/down")).toBe("gt11 from folder");
  expect(await from(".", [], { GT_ROOT: join(town.folder, "gt11") })).toBe("gt11 from GT_ROOT");
  const plan = join(town.folder, "gt11", "floorplan.yaml");
  writeFileSync(plan, readFileSync(plan, "utf8").replace("names:", "town: planned\nnames:"));
  expect(await from("gt11")).toBe("planned from plan");
  expect(await from("gt11", [], { GT_TOWN_NAME: "named" })).toBe("named from environment");
  expect(await from("gt11", ["--town", "flagged"], { GT_TOWN_NAME: "named" })).toBe("flagged from flag");
});

test("S1-14: stopping hq-gt11-deacon stops just that, whatever else begins with its name", async () => {
  const town = new TownUnderTest(`version: 1
sessions:
  hq-gt11-deacon: { about: one, run: "exec sleep 3600" }
  hq-gt11-deacon2: { about: two, run: "exec sleep 3600" }
  hq-gt11-deacon-boot: { about: three, run: "exec sleep 3600" }
`);
  towns.push(town);
  await town.ok("up");
  await town.ok("down", "hq-gt11-deacon");
  expect(town.sessions()).toEqual(["hq-gt11-deacon-boot", "hq-gt11-deacon2"]);
});

const FLOOR = `version: 1
names: floor
rooms: { spx: { about: SPX } }
sessions:
  agents-spx: { about: Agents, room: spx, headless: true, agent: { id: deacon-spx, type: narrator }, run: "exec sleep 3600" }
users:
  steve: { role: operator, view: [ { name: main, panes: [ { feed: spx }, command ] } ] }
  alice: { role: operator, view: [ { name: main, panes: [ { feed: spx }, command ] } ] }
`;

test("S0-16: two personal sessions show the same narrative, line for line", async () => {
  const town = new TownUnderTest(FLOOR);
  towns.push(town);
  await town.ok("up");
  for (let n = 1; n <= 5; n++) await town.ok("say", "spx", `shared ${n}`);
  const shown = (view: string): string[] => town.capture(`=${view}:main.{top-left}`).match(/shared \d/g) ?? [];
  await until(() => shown("moo-steve").length === 5 && shown("moo-alice").length === 5, "five lines in both");
  expect(shown("moo-alice")).toEqual(shown("moo-steve"));
});

test("S0-23 S0-30: 36 more viewers, and the agent's process is the same, no larger, with no more connections", async () => {
  const town = new TownUnderTest(FLOOR);
  towns.push(town);
  await town.ok("up");
  const { pid } = (await town.json("status", "agents-spx")).sessions[0];
  const rssKiB = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
  const ticks = (): number => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = { rss: rssKiB(), ticks: ticks() };
  for (let n = 0; n < 36; n++) town.start(["feed", "spx", "-f", "--last", "0"]);
  await until(async () => (await town.json("rooms")).rooms[0].watchers >= 38, "36 more watchers", 60_000);
  for (let n = 0; n < 20; n++) await town.ok("say", "spx", `line ${n}`);
  expect((await town.json("status", "agents-spx")).sessions[0].pid).toBe(pid);
  expect(rssKiB()).toBeLessThanOrEqual(before.rss * 1.1);
  expect(ticks()).toBeLessThanOrEqual(before.ticks + 2);
}, 120_000);

test("S0-44 S0-54: bench latency says how long a line takes to be seen", async () => {
  const town = new TownUnderTest(FLOOR);
  towns.push(town);
  await town.ok("up");
  const measured = await town.json("bench", "latency", "spx", "--lines", "50");
  expect(measured).toMatchObject({ room: "spx", lines: 50, seen: 50 });
  expect(measured.p50_ms).toBeGreaterThan(0);
  expect(measured.p50_ms).toBeLessThanOrEqual(measured.p99_ms);
  expect(measured.p99_ms).toBeLessThanOrEqual(measured.max_ms);
  expect(await town.ok("bench", "latency", "spx", "--lines", "5")).toMatch(/5 of 5 lines seen · p50 .* p99/);
});

test("S1-01, S1-35, S1-36, S1-37, S1-38, S1-39, S1-41, S1-66: what one town is told to do is done in that town alone", async () => {
  const gt11 = gastown("gt11");
  const gt12 = gastown("gt12", gt11);
  await run(gt11, "gt11", "up");
  expect(gt11.sessions()).toEqual(GT11);
  expect((await run(gt12, "gt12", "up")).code).toBe(0);
  const mayors = gt11.sessions().filter((name) => /mayor|deacon/.test(name));
  expect(mayors).toEqual(["hq-gt11-deacon", "hq-gt11-mayor", "hq-gt12-deacon", "hq-gt12-mayor"]);
  const of11 = await json(gt11, "gt11", "status");
  const of12 = await json(gt12, "gt12", "status");
  expect(of11.coordinator.pid).not.toBe(of12.coordinator.pid);
  expect(new Set(of11.sessions.map((each: { town: string }) => each.town))).toEqual(new Set(["gt11"]));
  expect(of12.sessions.map((each: { name: string }) => each.name).sort()).toEqual(GT12);
  expect(of12.ghosts).toEqual([]);
  // Doctor, nudge, logs and events know their own town only.
  const doctor = (await run(gt12, "gt12", "doctor", "--json")).stdout;
  for (const name of GT11) expect(doctor).not.toContain(name);
  expect((await run(gt12, "gt12", "nudge", "hq-gt11-mayor", "hello")).code).toBe(3);
  expect((await run(gt12, "gt12", "logs", "mayor")).code).toBe(0);
  expect(JSON.stringify(await json(gt12, "gt12", "events", "--last", "500"))).not.toContain("hq-gt11");
  // A restart and a stop in the one leave the other's processes alone.
  const pids = (prefix: RegExp): string[] =>
    gt11
      .panes("#{session_name} #{pane_pid}")
      .split("\n")
      .filter((line) => prefix.test(line))
      .sort();
  const before = pids(/^(gt-beads|gt-gastown|hq-gt11)/);
  await run(gt12, "gt12", "restart", "mayor");
  await run(gt12, "gt12", "down");
  expect(pids(/^(gt-beads|gt-gastown|hq-gt11)/)).toEqual(before);
  expect(gt11.sessions()).toEqual(GT11);
  await run(gt12, "gt12", "stop");
  await run(gt11, "gt11", "stop");
});

test("S1-41, S1-66: down ends the workers first, then Mayor, Boot and Deacon, and the other town nothing", async () => {
  const gt11 = gastown("gt11");
  const gt12 = gastown("gt12", gt11);
  const order = join(gt11.folder, "order");
  const said = (name: string): string =>
    `run: "trap 'echo ${name} >> ${order}; exit 0' TERM HUP; while :; do sleep 0.05; done"`;
  writeFileSync(
    join(gt11.folder, "gt11", "floorplan.yaml"),
    `version: 1
names: gastown
sessions:
  deacon: { role: deacon, ${said("deacon")} }
  mayor: { role: mayor, ${said("mayor")} }
  boot: { role: boot, ${said("boot")} }
rigs:
  gastown: { sessions: { witness: { role: witness, ${said("witness")} }, max: { role: crew, ${said("max")} } } }
`,
  );
  await run(gt11, "gt11", "up");
  await run(gt12, "gt12", "up");
  await new Promise((next) => setTimeout(next, 300));
  expect((await run(gt11, "gt11", "down")).code).toBe(0);
  const ended = readFileSync(order, "utf8").trim().split("\n");
  expect(ended.slice(0, 2).sort()).toEqual(["max", "witness"]);
  expect(ended.slice(2)).toEqual(["mayor", "boot", "deacon"]);
  expect(gt11.sessions()).toEqual(GT12);
  await run(gt12, "gt12", "stop");
  await run(gt11, "gt11", "stop");
});

test("S1-45: whatever is asked for, no session of a town is without the town's name; every other test of a town looks for it too", async () => {
  const gt11 = gastown("gt11");
  const asked: string[][] = [
    ...[["up", "mayor"], ["up"], ["restart", "mayor"], ["restart", "@town"], ["down", "hq-mayor"], ["up", "hq-mayor"]],
    ...[
      ["new", "hq-mayor", "--", "sleep", "99"],
      ["new", "helper", "--", "sleep", "99"],
      ["rename", "helper", "hq-deacon"],
    ],
    ...[
      ["new", "--instance-of", "hq-deacon"],
      ["doctor", "--fix"],
      ["view", "open", "steve"],
      ["up", "--restore"],
    ],
    ...[
      ["adopt", "hq-boot", "--purpose", "x", "--lifecycle", "manual"],
      ["ghosts"],
      ["reset-failed", "gt-boot"],
      ["up", "--yes"],
    ],
  ];
  for (const words of asked) {
    await run(gt11, "gt11", ...words);
    const nameless = gt11.sessions().filter((name) => /^(?:hq-(?:mayor|deacon|boot)|gt-boot)$/.test(name));
    expect([words.join(" "), nameless]).toEqual([words.join(" "), []]);
  }
  expect(gt11.sessions()).toEqual(expect.arrayContaining(GT11));
  await run(gt11, "gt11", "stop");
});

test("S1-62, S1-63: the same rig in two towns, and two roots of one name, are refused before anything starts", async () => {
  const gt11 = gastown("gt11");
  await run(gt11, "gt11", "up");
  const gt13 = gastown("gt13", gt11);
  writeFileSync(
    join(gt13.folder, "gt13", "floorplan.yaml"),
    `${HQ}rigs:\n  gastown: { sessions: { witness: { role: witness, run: "exec sleep 3600" } } }\n`,
  );
  const refused = await run(gt13, "gt13", "up");
  expect(refused.code).toBe(5);
  expect(refused.stderr).toMatch(/gt-gastown-witness is of the town gt11[\s\S]*nothing was started[\s\S]*socket: town/);
  expect(gt11.sessions()).toEqual(GT11);
  // Told apart by their names, both run.
  writeFileSync(
    join(gt13.folder, "gt13", "floorplan.yaml"),
    `${HQ.replace("names: gastown", "names: { preset: gastown, witness: gt-<town>-<rig>-witness }")}rigs:\n  gastown: { sessions: { witness: { role: witness, run: "exec sleep 3600" } } }\n`,
  );
  expect((await run(gt13, "gt13", "up")).code).toBe(0);
  expect(gt11.sessions()).toContain("gt-gt13-gastown-witness");
  const other = gastown("gt11", gt11);
  const again = await run(other, "gt11", "up");
  expect(again.code).toBe(5);
  expect(again.stderr).toContain(join(gt11.folder, "gt11", "floorplan.yaml"));
  expect(again.stderr).toContain(join(other.folder, "gt11", "floorplan.yaml"));
  await run(gt13, "gt13", "down");
  await run(gt13, "gt13", "stop");
  await run(gt11, "gt11", "stop");
});
