import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { parse } from "yaml";
import { BosunError } from "../../../protocol/error.ts";
import type { Plan } from "../../../protocol/plan.ts";
import { readPlan } from "../read.ts";
import type { Imported } from "./draft.ts";
import { importGastown } from "./gastown.ts";
import { SMALL_TOWN, temporaryFolder, writeTown } from "./town.fixture.ts";
import { durationOf } from "./town-roles.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function townWith(parts: Record<string, string | object | null> = {}, base = SMALL_TOWN): string {
  const root = temporaryFolder();
  folders.push(root);
  writeTown(root, { ...base, ...parts });
  return root;
}

function imported(root: string, env: Record<string, string> = {}, listening: string[] = []): Imported {
  return importGastown(root, { env: { TMUX_TMPDIR: root, ...env }, uid: 1000, listening: new Set(listening) });
}

/** Throws when the plan has a mistake. */
function planOf(root: string): Plan {
  return readPlan({
    text: imported(root).yaml,
    file: join(root, "floorplan.yaml"),
    town: undefined,
    readFile: () => "",
    env: {},
  });
}

/** `mayor/rigs.json:4 rigs.gone` of everything that was left out. */
function notes(root: string): string[] {
  return imported(root).dropped.map(({ file, line, key }) => `${file}${line === null ? "" : `:${line}`} ${key}`);
}

function refusal(given: () => unknown): BosunError["body"] {
  try {
    given();
  } catch (error) {
    if (error instanceof BosunError) return error.body;
    throw error;
  }
  throw new Error("it was not refused");
}

test("rigs, crew and polecats of a town become sessions under the names of the scheme, and know their old ones", () => {
  const root = townWith();
  const plan = planOf(root);
  expect(plan).toMatchObject({
    town: "gt11",
    rigs: [
      { id: "gastown", path: join(root, "gastown"), prefix: "gt", about: "Code of https://github.com/someone/gastown" },
      { id: "beads", path: join(root, "beads"), prefix: "bd" },
    ],
  });
  const shown = plan.sessions.map(({ id, name, was, start, protect, windows, after }) => {
    const { cwd } = windows[0]!.panes[0]!;
    return [id, name, was.join(" "), `${start}${protect ? " protected" : ""}`, cwd.replace(root, ""), after.join(" ")];
  });
  expect(shown).toEqual([
    ["mayor", "hq-gt11-mayor", "hq-mayor gt11-mayor hq-gt11-mayor", "boot", "/mayor", ""],
    ["deacon", "hq-gt11-deacon", "hq-deacon gt11-deacon hq-gt11-deacon", "boot", "/deacon", ""],
    ["boot", "hq-gt11-boot", "hq-boot gt-boot gt11-boot hq-gt11-boot", "boot", "/deacon", "deacon"],
    ["gastown/witness", "gt-gastown-witness", "gt-witness gt-gastown-witness", "boot", "/gastown/witness", ""],
    ["gastown/refinery", "gt-gastown-refinery", "gt-refinery gt-gastown-refinery", "boot", "/gastown/refinery/rig", ""],
    [
      "gastown/max",
      "gt-gastown-crew-max",
      "gt-crew-max gt-gastown-crew-max",
      "manual protected",
      "/gastown/crew/max",
      "",
    ],
    [
      "gastown/slack_decisions",
      "gt-gastown-crew-slack_decisions",
      "gt-crew-slack_decisions gt-gastown-crew-slack_decisions",
      "manual protected",
      "/gastown/crew/slack_decisions",
      "",
    ],
    ["gastown/alpha", "gt-gastown-alpha", "gt-alpha gt-gastown-alpha", "manual", "/gastown/polecats/alpha/gastown", ""],
    ["beads/witness", "gt-beads-witness", "bd-witness gt-beads-witness bd-beads-witness", "boot", "/beads/witness", ""],
    ["beads/refinery", "gt-beads-refinery", "bd-refinery gt-beads-refinery bd-beads-refinery", "boot", "/beads", ""],
    [
      "beads/max",
      "gt-beads-crew-max",
      "bd-crew-max gt-beads-crew-max bd-beads-crew-max",
      "manual protected",
      "/beads/crew/max",
      "",
    ],
  ]);
  expect(plan.sessions.find(({ id }) => id === "beads/max")!.windows[0]!.panes[0]).toMatchObject({
    run: "sleep 900",
    env: { GT_ROOT: root, GT_ROLE: "beads/crew/max", GT_RIG: "beads", GT_CREW: "max", BD_ACTOR: "beads/crew/max" },
  });
  expect(imported(root).dropped).toEqual([]);
});

test("role files say the command, the folder, the environment and the old name; the rig's over the town's", () => {
  const root = townWith({
    "roles/witness.toml":
      '[session]\npattern = "{prefix}-{rig}-eye"\nwork_dir = "{town}/{rig}/watch"\nstart_command = "exec claude --in {rig}"\n[env]\nLEVEL = "1"\nTONE = "low"\nANTHROPIC_API_KEY = "sk-1"\n[health]\nstuck_threshold = "1h30m"\n',
    "beads/roles/witness.toml": '[env]\nLEVEL = "2"\n[session]\nstart_command = "codex"\n',
    "gastown/watch": null,
    "beads/watch": null,
  });
  const { sessions } = planOf(root);
  const [gastown, beads] = ["gastown", "beads"].map((rig) => sessions.find(({ id }) => id === `${rig}/witness`)!);
  expect(gastown).toMatchObject({ health: { silence: "90m" } });
  expect(gastown!.was[0]).toBe("gt-gastown-eye");
  expect(gastown!.windows[0]!.panes[0]).toMatchObject({
    run: "exec claude --in gastown",
    cwd: join(root, "gastown/watch"),
    env: { LEVEL: "1", TONE: "low", GT_ROLE: "gastown/witness" },
  });
  expect(beads!.windows[0]!.panes[0]).toMatchObject({ run: "codex", env: { LEVEL: "2", TONE: "low" } });
  expect(imported(root).yaml).not.toContain("sk-1");
  expect(imported(root).yaml).toContain("- ANTHROPIC_API_KEY");
  expect(notes(root)).toEqual(["roles/witness.toml:8 env.ANTHROPIC_API_KEY"]);
});

test("what a role file holds and the plan does not is told with its line", () => {
  const root = townWith({
    "roles/crew.toml":
      'role = "crew"\nnudge = "Go"\nprompt_template = "c.md"\n\n[session]\nneeds_pre_sync = true\n\n[health]\nping_timeout = "30s"\nconsecutive_failures = 3\nkill_cooldown = "5m"\nstuck_threshold = "soon"\nmood = 1\n',
    "roles/dog.toml": "role = 'dog'\n",
  });
  expect(notes(root)).toEqual([
    "roles/dog.toml dog",
    "roles/crew.toml:12 health.stuck_threshold",
    "roles/crew.toml:2 nudge",
    "roles/crew.toml:3 prompt_template",
    "roles/crew.toml:6 session.needs_pre_sync",
    "roles/crew.toml:9 health.ping_timeout",
    "roles/crew.toml:10 health.consecutive_failures",
    "roles/crew.toml:11 health.kill_cooldown",
    "roles/crew.toml:13 health.mood",
  ]);
  expect(imported(root).yaml).toMatch(/^# {3}roles\/crew\.toml:2: nudge — /m);
});

test("the program of a session is chosen as the town does: worker, role and rig before role and town", () => {
  const root = townWith({
    "settings/config.json": {
      default_agent: "gemini",
      role_agents: { refinery: "house", mayor: "nobody" },
      agents: { house: { command: "claude", args: ["--model", "a b"], env: { HOUSE: "1" } } },
    },
    "beads/settings/config.json": { agent: "amp", role_agents: { witness: "codex" }, worker_agents: { max: "house" } },
  });
  const run = Object.fromEntries(planOf(root).sessions.map(({ id, windows }) => [id, windows[0]!.panes[0]!.run]));
  expect(run).toMatchObject({
    mayor: "nobody",
    deacon: "gemini --approval-mode yolo",
    boot: "bosun watch deacon",
    "gastown/witness": "gemini --approval-mode yolo",
    "gastown/refinery": "claude --model 'a b'",
    "beads/witness": "codex --dangerously-bypass-approvals-and-sandbox",
    "beads/refinery": "amp --dangerously-allow-all --no-ide",
    "beads/max": "claude --model 'a b'",
  });
  expect(notes(root)).toEqual(["settings/config.json:5 role_agents.mayor"]);
});

test("crew starts with the town only where its rig says so in plain words", () => {
  const startedWith = (startup: string): string[] => {
    const root = townWith({ "gastown/settings/config.json": { crew: { startup } } });
    return planOf(root).sessions.flatMap(({ id, role, start }) => (role === "crew" && start === "boot" ? [id] : []));
  };
  expect(startedWith("all")).toEqual(["gastown/max", "gastown/slack_decisions"]);
  expect(startedWith("Max and slack_decisions")).toEqual(["gastown/max", "gastown/slack_decisions"]);
  expect(startedWith("max")).toEqual(["gastown/max"]);
  for (const startup of ["", "none", "pick one", "all, but not max"]) expect(startedWith(startup)).toEqual([]);
});

test("names that cannot be names are changed, and each change is told", () => {
  const root = townWith({
    "mayor/town.json": '{\n  "version": 2,\n  "name": "my: town"\n}',
    "mayor/rigs.json": { rigs: { "my.rig": {}, my_rig: {}, gone: {}, "../..": {}, "": {}, list: [] } },
    "my.rig/crew/a b": null,
    "my.rig/crew/a_b": null,
    "my.rig/crew/.git": null,
    "my.rig/crew/witness": null,
    "my.rig/crew/<rig>": null,
    "my.rig/crew/README.md": "x",
    "my.rig/polecats/fix-auth": null,
    "my.rig/polecats/a_b": null,
    my_rig: null,
    list: null,
  });
  expect(planOf(root).town).toBe("my_town");
  expect(planOf(root).sessions.map(({ name }) => name)).toEqual([
    "hq-my_town-mayor",
    "hq-my_town-deacon",
    "hq-my_town-boot",
    "gt-my_rig-witness",
    "gt-my_rig-refinery",
    "gt-my_rig_2-witness",
    "gt-my_rig_2-refinery",
    "gt-my_rig_2-crew-a_b",
    "gt-my_rig_2-crew-a_b_2",
    "gt-my_rig_2-crew-witness_2",
    "gt-my_rig_2-a_b",
    "gt-my_rig_2-fix_auth",
  ]);
  expect(notes(root)).toEqual(
    expect.arrayContaining([
      "mayor/town.json:3 my: town",
      "mayor/rigs.json:3 rigs.my.rig",
      "mayor/rigs.json:5 rigs.gone",
      "mayor/rigs.json:6 rigs.../..",
      "mayor/rigs.json:8 rigs.list",
      "my.rig/crew/a b a b",
      "my.rig/crew/witness witness",
      "my.rig/crew/<rig> <rig>",
      "my.rig/polecats/fix-auth fix-auth",
      // Both rigs have the prefix gt: whose gt-witness is, nobody can tell.
      ". gt-witness",
    ]),
  );
});

test("what names a rig's origin is told without the password in it", () => {
  const root = townWith({
    "mayor/rigs.json": { rigs: { beads: { git_url: "https://steve:gho_123@example.org/b.git" } } },
  });
  expect(planOf(root).rigs[0]!.about).toBe("Code of https://example.org/b.git");
  expect(imported(root).yaml).not.toContain("gho_123");
});

test("the town's own tmux server is named where it runs", () => {
  const root = townWith();
  expect(planOf(root).tmux.socket).toBe("default");
  const own = basename(root)
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-");
  mkdirSync(join(root, "tmux-1000"));
  const path = join(root, "tmux-1000", own);
  writeFileSync(path, "");
  // Of a server that has ended: the town is not there.
  expect(planOf(root).tmux.socket).toBe("default");
  expect(parse(imported(root, {}, [path]).yaml).tmux).toEqual({ socket: own });
  expect(parse(imported(root, { GT_TMUX_SOCKET: "default" }, [path]).yaml).tmux).toBeUndefined();
  expect(parse(imported(root, { GT_TMUX_SOCKET: "mine" }).yaml).tmux).toEqual({ socket: "mine" });
});

test("what to do next follows, and the town's daemon is to be stopped only while it runs", () => {
  const root = townWith();
  expect(imported(root).next!.map(({ run }) => run)).toEqual(["bosun up --dry-run", "bosun up"]);
  writeTown(root, { "daemon/daemon.pid": `${process.pid}\n` });
  expect(imported(root).next![0]).toMatchObject({ run: "gt daemon stop" });
  writeTown(root, { "daemon/daemon.pid": "999999999\n" });
  expect(imported(root).next!.map(({ run }) => run)).toEqual(["bosun up --dry-run", "bosun up"]);
});

test("a folder that is no town is refused, and told where the town is", () => {
  const root = townWith();
  expect(refusal(() => imported(join(root, "nothing")))).toMatchObject({ code: "NOT_FOUND" });
  expect(refusal(() => imported(join(root, "mayor/town.json")))).toMatchObject({
    code: "NOT_FOUND",
    why: "it is a file",
  });
  expect(refusal(() => imported(join(root, "gastown/crew")))).toMatchObject({
    code: "PLAN_INVALID",
    fix: `bosun import gastown ${root}`,
  });
  const link = `${root}-link`;
  folders.push(link);
  symlinkSync(root, link);
  expect(parse(imported(link).yaml).defaults.env.GT_ROOT).toBe(root);
});

test.each([
  ["mayor/rigs.json", '{\n  "rigs": {\n    "a": {},,\n  }\n}', { line: 3, column: 13 }],
  ["mayor/rigs.json", '{ "rigs": {\n', { line: 2, column: 1 }],
  ["mayor/rigs.json", "[]", { line: 1, column: 1 }],
  ["mayor/rigs.json", '{ "version": 1 }', { line: 1 }],
  ["mayor/town.json", "", { line: 1, column: 1 }],
  ["gastown/settings/config.json", "nothing", { line: 1 }],
  ["roles/crew.toml", 'role = "crew"\nnudge = Go\n', { line: 2 }],
  ["beads/roles/crew.toml", "[session\n", { line: 1 }],
])("%s that cannot be read is named with the place: %j", (file, text, at) => {
  const root = townWith({ [file]: text });
  const body = refusal(() => imported(root));
  expect(body).toMatchObject({ code: "PLAN_INVALID", at: { file: join(root, file), ...at } });
  expect([body.what, body.why, body.fix]).toEqual([expect.any(String), expect.any(String), expect.any(String)]);
});

test("a file of megabytes and a folder in place of a file are refused", () => {
  const large = townWith({ "mayor/rigs.json": `{"rigs":{}, "x": "${"x".repeat(1_048_576)}"}` });
  expect(refusal(() => imported(large))).toMatchObject({ code: "TOO_LARGE" });
  const folder = townWith({ "settings/config.json": null }, { "mayor/town.json": { name: "gt11" } });
  expect(refusal(() => imported(folder))).toMatchObject({ code: "PLAN_INVALID", why: "it is a folder" });
});

test("twenty rigs and a hundred crew are one plan, made and read within two seconds", () => {
  const rigs = Array.from({ length: 20 }, (_, n) => `rig${n}`);
  const root = townWith(
    Object.fromEntries(
      rigs.flatMap((rig) => Array.from({ length: 5 }, (_, n): [string, null] => [`${rig}/crew/member${n}`, null])),
    ),
    {
      "mayor/rigs.json": { rigs: Object.fromEntries(rigs.map((rig, n) => [rig, { beads: { prefix: `r${n}` } }])) },
    },
  );
  const startedMs = performance.now();
  expect(planOf(root).sessions).toHaveLength(3 + 40 + 100);
  expect(performance.now() - startedMs).toBeLessThan(2_000);
  writeTown(root, Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`rig0/crew/more${n}`, null])));
  expect(refusal(() => imported(root))).toMatchObject({ code: "TOO_LARGE" });
});

test("whatever stands in its files and folders, the plan is right or the refusal has a reason", () => {
  const root = townWith({}, {});
  const word = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.constantFrom("__proto__", "constructor", "crew", "gt-a", "a.b", "x-1", "<rig>", "$HOME", "a\nb", "witness", "*"),
  );
  const value = fc.oneof(
    word,
    fc.integer(),
    fc.constant(null),
    fc.array(word, { maxLength: 2 }),
    fc.dictionary(word, word),
  );
  const folder = word.filter((text) => !/[/\0]|^\.*$/.test(text));
  fc.assert(
    fc.property(
      fc.dictionary(word, fc.oneof(value, fc.record({ git_url: value, beads: fc.record({ prefix: value }) }))),
      fc.array(folder, { maxLength: 4 }),
      value,
      fc.oneof(
        word,
        fc.dictionary(word, value).map((each) => JSON.stringify(each)),
      ),
      (rigs, names, town, settings) => {
        rmSync(root, { recursive: true, force: true });
        mkdirSync(root);
        const own = Object.keys(rigs).filter((rig) => !/[/\0]|^\.*$/.test(rig));
        writeTown(root, {
          "mayor/town.json": { name: town },
          "mayor/rigs.json": { rigs },
          ...Object.fromEntries(own.flatMap((rig) => names.map((name) => [`${rig}/crew/${name}`, null]))),
          ...Object.fromEntries(own.flatMap((rig) => names.map((name) => [`${rig}/polecats/${name}`, null]))),
        });
        // A rig that is called like one of the town's own folders would be that folder.
        mkdirSync(join(root, "settings"), { recursive: true });
        writeFileSync(join(root, "settings/config.json"), settings);
        try {
          planOf(root);
        } catch (error) {
          if (!(error instanceof BosunError)) throw error;
          expect([error.body.code, error.body.at?.file]).toEqual(["PLAN_INVALID", join(root, "settings/config.json")]);
        }
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);

test("durations of Go are written in one unit", () => {
  expect(["30s", "1h30m", "1h0m0s", "2.5m", "100ms", "0s", "soon", ""].map(durationOf)).toEqual([
    "30s",
    "90m",
    "1h",
    "150s",
    "100ms",
    null,
    null,
    null,
  ]);
});
