import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SMALL_TOWN, writeTown } from "../../src/coordinator/plan/import/town.fixture.ts";
import { type Ran, TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
let root: string;
beforeEach(() => {
  town = new TownUnderTest(undefined, { town: "gt11" });
  town.env.TMUX_TMPDIR = town.folder;
  root = join(town.folder, "gt");
  writeTown(root, SMALL_TOWN);
});
afterEach(() => town.close());

const bosun = (...args: string[]): Promise<Ran> => town.run(args, { cwd: root });
async function answer(...args: string[]) {
  const ran = await bosun(...args, "--json");
  if (ran.stdout === "") throw new Error(ran.stderr);
  return JSON.parse(ran.stdout);
}
async function imports(): Promise<{ next: { run: string }[] }> {
  return answer("import", "gastown", root, "-o", join(root, "floorplan.yaml"));
}

/** As Gas Town started it: unmarked, with its environment or in its folder, counting into a file of its own. */
function old(name: string, cwd: string, env: Record<string, string> = {}): void {
  const file = join(town.folder, `${name}.count`);
  const given = Object.entries({ BOSUN_TOWN: "", ...env }).flatMap(([key, value]) => ["-e", `${key}=${value}`]);
  town.tmux(
    ...["-f", "/dev/null", "new-session", "-d", "-s", name, "-c", cwd, ...given],
    `echo $$ > ${file}; n=0; while :; do n=$((n+1)); echo $n >> ${file}; sleep 0.02; done`,
  );
}
const pidOf = (name: string): number =>
  Number(town.tmux("display-message", "-p", "-t", `=${name}:`, "#{pane_pid}").trim());
/** Of each that was started the old way: the process that wrote first and the numbers since. */
function countsOf(name: string): { pid: number; numbers: number[] } {
  const [pid = 0, ...numbers] = readFileSync(join(town.folder, `${name}.count`), "utf8")
    .trim()
    .split("\n")
    .map(Number);
  return { pid, numbers };
}

/** Old name and new of a town that runs; the last of each line is what shows whose it is. */
function startOldTown(): Record<string, string> {
  old("hq-mayor", "/", { GT_ROOT: root, GT_ROLE: "mayor" });
  old("hq-deacon", join(root, "deacon"));
  old("gt-boot", root);
  old("gt-witness", "/", { GT_ROOT: root, GT_RIG: "gastown" });
  old("gt-refinery", join(root, "gastown/refinery/rig"));
  old("gt-crew-max", join(root, "gastown/crew/max"), { GT_ROOT: root });
  old("gt-gastown-crew-slack_decisions", join(root, "gastown/crew/slack_decisions"));
  old("gt-alpha", join(root, "gastown/polecats/alpha"));
  old("bd-witness", join(root, "beads"));
  old("bd-refinery", root, { GT_ROOT: root, GT_RIG: "beads" });
  return {
    "hq-mayor": "hq-gt11-mayor",
    "hq-deacon": "hq-gt11-deacon",
    "gt-boot": "hq-gt11-boot",
    "gt-witness": "gt-gastown-witness",
    "gt-refinery": "gt-gastown-refinery",
    "gt-crew-max": "gt-gastown-crew-max",
    "gt-gastown-crew-slack_decisions": "gt-gastown-crew-slack_decisions",
    "gt-alpha": "gt-gastown-alpha",
    "bd-witness": "gt-beads-witness",
    "bd-refinery": "gt-beads-refinery",
  };
}

test("a town that runs is imported and taken over by the commands that import names: same processes, counters unbroken, nothing twice", async () => {
  const renamed = startOldTown();
  old("notes", root);
  const person = spawn("tmux", ["-L", town.socket, "-C", "attach", "-t", "=hq-mayor"], {
    env: town.env,
    stdio: "pipe",
  });
  const attachedTo = (name: string): string =>
    town.tmux("display-message", "-p", "-t", `=${name}:`, "#{session_attached}").trim();
  await until(() => attachedTo("hq-mayor") === "1", "a person to be attached");
  const { next } = await imports();
  expect(next.map(({ run }) => run)).toEqual(["bosun up --dry-run", "bosun up"]);
  const [dry, up] = next.map(({ run }) => run.split(" ").slice(1));
  expect((await answer(...dry!)).steps.map((step: { do: string }) => step.do)).toEqual(Array(10).fill("adopt"));
  expect(town.sessions()).toContain("hq-mayor");
  expect(await answer(...up!)).toMatchObject({
    adopted: expect.arrayContaining(Object.values(renamed)),
    created: [],
    stopped: [],
    failed: [],
    held: [],
    unknown: ["notes"],
  });
  expect(town.sessions()).toEqual([...Object.values(renamed), "notes"].sort());
  await new Promise((next) => setTimeout(next, 200));
  for (const [before, after] of Object.entries(renamed)) {
    const { pid, numbers } = countsOf(before);
    expect([before, pidOf(after)]).toEqual([before, pid]);
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, n) => n + 1));
  }
  expect(attachedTo("hq-gt11-mayor")).toBe("1");
  person.kill();
  const { sessions } = await answer("status");
  const running = sessions.filter((each: { state: string }) => each.state === "running");
  expect(running.map((each: { name: string }) => each.name).sort()).toEqual(Object.values(renamed).sort());
  // A second one changes nothing, and the names people know are understood.
  expect(await answer("up")).toMatchObject({ adopted: [], created: [], restarted: [], stopped: [], held: [] });
  expect((await answer("status", "bd-witness")).sessions).toMatchObject([{ id: "beads/witness", state: "running" }]);
  expect((await bosun("peek", "gt-crew-max")).code).toBe(0);
  const { events } = await answer("events", "--last", "100");
  expect(events).toContainEqual(
    expect.objectContaining({ type: "session.renamed", from: "bd-witness", to: "gt-beads-witness" }),
  );
});

test("what does not run is started beside what is taken over, crew and polecats by name only", async () => {
  old("hq-mayor", "/", { GT_ROOT: root });
  old("bd-crew-max", join(root, "beads/crew/max"));
  await imports();
  expect(await answer("up")).toMatchObject({ adopted: ["hq-gt11-mayor", "gt-beads-crew-max"], failed: [], held: [] });
  expect(town.sessions()).toEqual([
    "gt-beads-crew-max",
    "gt-beads-refinery",
    "gt-beads-witness",
    "gt-gastown-refinery",
    "gt-gastown-witness",
    "hq-gt11-boot",
    "hq-gt11-deacon",
    "hq-gt11-mayor",
  ]);
});

test("another town's sessions are left alone, and what nothing proves to be this one's waits for a person", async () => {
  const other = join(town.folder, "elsewhere", "gt");
  mkdirSync(other, { recursive: true });
  old("hq-mayor", "/", { GT_ROOT: other });
  old("gt-witness", "/", { GT_TOWN_NAME: "gt12" });
  old("hq-deacon", "/");
  // Of this town, and of another rig than the name says.
  old("bd-witness", "/", { GT_ROOT: root, GT_RIG: "gastown" });
  await imports();
  const up = await answer("up");
  expect(up).toMatchObject({ adopted: [], stopped: [], failed: [] });
  expect(up.held.map((step: { session: string; needs: string }) => [step.session, step.needs])).toEqual([
    ["deacon", "bosun adopt hq-deacon --purpose WHAT-FOR, or bosun ignore hq-deacon --because WHY"],
    ["beads/witness", "bosun adopt bd-witness --purpose WHAT-FOR, or bosun ignore bd-witness --because WHY"],
  ]);
  expect(up.created).toEqual(expect.arrayContaining(["hq-gt11-mayor", "gt-gastown-witness"]));
  for (const name of ["hq-mayor", "gt-witness", "hq-deacon", "bd-witness"])
    expect(pidOf(name)).toBe(countsOf(name).pid);
  expect(town.sessions()).not.toContain("hq-gt11-deacon");
  // A person decides, one each way.
  const { pid } = countsOf("hq-deacon");
  expect((await bosun("adopt", "hq-deacon", "--purpose", "Patrols the town")).code).toBe(0);
  expect(pidOf("hq-gt11-deacon")).toBe(pid);
  expect((await bosun("ignore", "bd-witness", "--because", "a trial")).code).toBe(0);
  expect(await answer("up")).toMatchObject({ created: ["gt-beads-witness"], held: [], failed: [] });
  expect(pidOf("bd-witness")).toBe(countsOf("bd-witness").pid);
});

test("what runs under an old name that the plan does not give is taken over as it is, and renamed by doctor --fix alone: never two mayors", async () => {
  old("hq-mayor", root);
  writeFileSync(
    join(root, "floorplan.yaml"),
    "version: 1\ntown: gt11\nnames: gastown\nsessions:\n  mayor: { role: mayor, about: Hands out work, run: sleep 900 }\n",
  );
  expect(await answer("up")).toMatchObject({ created: [], adopted: ["hq-gt11-mayor"], held: [] });
  expect(await answer("up")).toMatchObject({ created: [], adopted: [], unchanged: 1 });
  expect(town.sessions()).toEqual(["hq-mayor"]);
  await bosun("doctor", "--only", "names.legacy", "--fix");
  expect(town.sessions()).toEqual(["hq-gt11-mayor"]);
  expect(pidOf("hq-gt11-mayor")).toBe(countsOf("hq-mayor").pid);
  expect(await answer("up")).toMatchObject({ created: [], held: [] });
});

test("import writes nothing into the town but the plan that is asked for, and says what it could not take", async () => {
  writeTown(root, { "roles/crew.toml": 'nudge = "Go"\n', ".beads": null });
  const before = readdirSync(root).sort();
  const shown = await bosun("import", "gastown", root);
  expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining("names: gastown") });
  expect(shown.stderr).toContain(`${root}/roles/crew.toml:1: nudge was left out: `);
  expect(shown.stderr).toContain("Gas Town mail and nudges cannot be imported");
  expect(shown.stderr).toContain(`-o ${join(root, "floorplan.yaml")}`);
  expect(readdirSync(root).sort()).toEqual(before);
  await imports();
  expect(readdirSync(root).sort()).toEqual([...before, "floorplan.yaml"].sort());
  expect((await bosun("check")).code).toBe(0);
  // A plan that is there is never overwritten.
  expect((await bosun("import", "gastown", root, "-o", join(root, "floorplan.yaml"))).code).toBe(5);
  expect((await bosun("import", "gastown", join(root, "nowhere"))).code).toBe(3);
  expect((await bosun("import", "gastown", join(root, "deacon"))).code).toBe(2);
});
