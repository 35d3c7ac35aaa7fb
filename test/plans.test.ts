import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Document, isMap, isScalar, isSeq, parseDocument, visit } from "yaml";
import { z } from "zod";
import { readPlan } from "../src/coordinator/plan/read.ts";
import { floorPlanJsonSchema } from "../src/coordinator/plan/schema.ts";
import { readPlanFile } from "../src/coordinator/town.ts";
import { BosunError, type ErrorBody } from "../src/protocol/error.ts";
import type { Plan } from "../src/protocol/plan.ts";
import { renderPlanError } from "../src/protocol/plan-error.ts";

const FILE = "/plans/gt11/floorplan.yaml";
const ENV = { HOME: "/home/me", ANTHROPIC_API_KEY: "secret" };

function read(text: string, files: Record<string, string> = {}): Plan {
  const readFile = (path: string): string => {
    const found = files[path];
    if (found !== undefined) return found;
    throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
  };
  return readPlan({ text, file: FILE, readFile, env: ENV });
}

/** What is wrong with it, or null. Anything thrown but a plain refusal fails the test. */
function mistakesIn(text: string, files: Record<string, string> = {}): ErrorBody | null {
  try {
    read(text, files);
    return null;
  } catch (error) {
    if (error instanceof BosunError) return error.body;
    throw error;
  }
}

function plansIn(folder: string): [string, string][] {
  return readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]);
}

const GOOD = plansIn(join(import.meta.dirname, "plans/good"));
const PRESETS = plansIn(join(import.meta.dirname, "../presets"));
const BROKEN = plansIn(join(import.meta.dirname, "plans/broken"));

describe("S2-04: plans as people write them are read whole", () => {
  test.each([...GOOD, ...PRESETS])("%s", (_name, text) => expect(mistakesIn(text)).toBeNull());

  test.each([...GOOD, ...PRESETS])("an editor with the schema finds nothing wrong with %s", (_name, text) => {
    const checked = EDITOR.safeParse(parseDocument(text, { merge: true, version: "1.2" }).toJS());
    expect(checked.error?.issues ?? []).toEqual([]);
  });
});

/** The published schema, as an editor uses it. */
const EDITOR = z.fromJSONSchema(floorPlanJsonSchema() as z.core.JSONSchema.JSONSchema);

const good = (name: string): Plan => read(GOOD.find(([file]) => file === `${name}.yaml`)![1]);

test("S0-58: on the trading floor, instruments are upper case for programs and lower case in names", () => {
  const plan = good("trading-floor");
  expect(plan.sessions.map((session) => session.name)).toEqual([
    ..."spx qqq iwm dia ndx vix tlt gld uso".split(" ").map((name) => `agents-${name}`),
    "moo-ops",
    "moo-steve",
    "moo-alice",
  ]);
  const dia = plan.sessions[3]!;
  expect(dia.room).toBe("dia");
  expect(dia.windows[0]!.panes.map((pane) => [pane.agent!.id, pane.run])).toEqual([
    ["deacon-dia", "deacon --instrument DIA"],
    ["butterfly-dia", "butterfly --instrument DIA"],
    ["gamma-dia", "gamma --instrument DIA"],
  ]);
});

test("S2-03: rooms are part of the plan, with what they keep and where they are mirrored", () => {
  const { rooms } = good("trading-floor");
  expect(rooms).toHaveLength(10);
  expect(rooms[0]).toMatchObject({
    id: "spx",
    keep: { ageMs: 30 * 86_400_000, count: null },
    jsonl: { path: "/plans/gt11/log/spx-narrative.jsonl" },
  });
  expect(rooms[9]).toMatchObject({ id: "alerts", about: "Across instruments", jsonl: null });
});

test("what a view shows is in the plan; what runs there is not the plan's business", () => {
  const plan = good("trading-floor");
  const [steve, alice] = plan.sessions.slice(-2) as [Plan["sessions"][0], Plan["sessions"][0]];
  expect(steve).toMatchObject({ id: "view/steve", kind: "view", member: "steve", start: "boot" });
  const faces = [...steve.windows, ...alice.windows].flatMap((window) => window.panes.map((pane) => pane.face));
  const feed = { kind: "feed", agent: [], tag: [], level: null, last: 200 };
  expect(faces).toEqual([
    { ...feed, rooms: ["spx"] },
    { ...feed, rooms: ["qqq"] },
    { kind: "command" },
    { ...feed, rooms: ["spx"], agent: ["butterfly-spx"] },
    { ...feed, rooms: ["*"], tag: ["gamma"] },
    { kind: "command" },
  ]);
  expect(steve.windows.flatMap((window) => window.panes.map((pane) => pane.run))).toEqual([null, null, null, null]);
});

test("a user without a view gets one of every room when they ask for it; up does not start it", () => {
  const plan = good("every-key");
  expect(plan.users.map((user) => [user.id, user.role, user.view])).toEqual([
    ["ana", "admin", "view/ana"],
    ["bob", "viewer", "view/bob"],
    ["eve", "viewer", null],
    ["joe", "viewer", "view/joe"],
  ]);
  const views = plan.sessions.filter((session) => session.kind === "view");
  expect(views.map((view) => [view.name, view.start])).toEqual([
    ["moo-ana", "boot"],
    ["moo-bob", "boot"],
    ["moo-joe", "manual"],
  ]);
  expect(views[2]!.windows[0]!.panes.map((pane) => pane.face)).toMatchObject([
    { kind: "feed", rooms: ["*"] },
    { kind: "command" },
  ]);
});

test("every key arrives where the coordinator looks for it", () => {
  const plan = good("every-key");
  const agents = plan.sessions.find((session) => session.id === "agents-spx")!;
  expect(agents).toMatchObject({
    name: "agents-spx",
    role: "agents",
    headless: true,
    access: ["operator"],
    after: ["moo-ops"],
    health: { silence: "10m" },
    chapter: { series: "agents-spx", ceilings: { minutes: 60 } },
    shell: "/bin/bash",
    restart: { policy: "on-failure", spec: { delay: "200ms", budget: [{ starts: 10, per: "10m" }, {}] } },
  });
  const [gamma, feed, command, link, review, htop] = agents.windows[0]!.panes;
  expect(gamma).toMatchObject({
    title: "gamma",
    // Only placeholders that something fills are placeholders.
    run: "gamma <in.txt --instrument SPX",
    cwd: "/plans/gt11/sub",
    env: { LANG: "C.UTF-8", ANTHROPIC_API_KEY: "secret", SYMBOL: "SPX", DEPTH: "9", DEBUG: "false" },
    agent: { id: "gamma-spx", type: "watcher", ask: "fifo", user: "ana" },
    face: null,
  });
  expect([feed, command, link, review].map((pane) => pane!.face)).toEqual([
    { kind: "feed", rooms: ["spx"], agent: ["gamma", "deacon"], tag: ["gamma"], level: "warn", last: 50 },
    { kind: "command" },
    { kind: "link", target: "moo-ops:main" },
    { kind: "review", room: "spx" },
  ]);
  expect(htop).toMatchObject({ run: "htop", cwd: "/srv/spx" });
  expect(plan.sessions.find((session) => session.id === "tools/tests")).toMatchObject({
    name: "tools-tests",
    after: ["tools/build"],
    windows: [{ panes: [{ cwd: "/plans/gt11/work" }] }],
  });
  expect(plan.sessions.find((session) => session.id === "talk")).toMatchObject({
    kind: "chat",
    windows: [{ panes: [{ agent: { id: "planner-001" }, face: { kind: "chat" } }] }],
  });
  expect(plan.tmux).toEqual({ socket: "town", config: "/home/me/.tmux.conf", size: { columns: 180, rows: 48 } });
  expect(plan.rooms.map((room) => [room.keep.ageMs, room.keep.count, room.private])).toEqual([
    [604_800_000, 5_000, null],
    [null, 1_000, null],
    [86_400_000, null, null],
    [2_592_000_000, 100_000, ["ana", "gamma-spx", "quants"]],
    [2_592_000_000, 100_000, null],
  ]);
});

test("S1-29: a town with hyphens makes names that are read back, or is refused where it is declared", () => {
  const town = (name: string): string =>
    `version: 1\ntown: ${name}\nnames: gastown\nsessions:\n  mayor: { role: mayor }\n`;
  expect(read(town("my-town")).sessions[0]!.name).toBe("hq-my-town-mayor");
  expect(mistakesIn(town("my.town"))).toMatchObject({ what: expect.stringContaining("my.town"), at: { line: 5 } });
  expect(mistakesIn(town('"my town"'))).toMatchObject({ what: expect.stringContaining("my town"), at: { line: 2 } });
});

test("S1-34 S1-60: a town from flag or environment wins over the plan's, and the plan's over the folder's", () => {
  const names = (text: string, town?: { name: string; from: string }): string =>
    readPlan({ text, file: FILE, town, readFile: () => "" }).town;
  expect(names("version: 1\ntown: byplan\n", { name: "byflag", from: "flag" })).toBe("byflag");
  expect(names("version: 1\ntown: byplan\n")).toBe("byplan");
  expect(names("version: 1\n")).toBe("gt11");
});

/** Per file: place of the first mistake, what is said, what is offered. */
const EXPECTED: Record<string, [string, RegExp, RegExp]> = {
  "01-unknown-key-in-pane.yaml": [
    "7:15",
    /unknown key "titel" in sessions\.a_b\.windows\.0\.panes\.0/,
    /did you mean title/,
  ],
  "02-compose-word.yaml": ["4:5", /unknown key "command" in sessions\.a_b/, /did you mean run/],
  "03-tmuxp-word.yaml": ["5:9", /unknown key "window_name" in sessions\.a_b\.windows\.0/, /did you mean name/],
  "04-key-in-restart.yaml": ["5:32", /unknown key "dealy" in sessions\.a_b\.restart/, /did you mean delay/],
  "05-duration.yaml": [
    "5:39",
    /sessions\.a_b\.restart\.delay: "5 sec" does not fit/,
    /for example restart: on-failure/,
  ],
  "06-keep.yaml": [
    "4:11",
    /keep: "30 days" is neither an age nor a number of lines/,
    /keep: 30d, keep: 5000, or keep: \{ age: 30d, count: 5000 \}/,
  ],
  "07-number-for-text.yaml": ["4:10", /sessions\.a_b\.run: 7 does not fit/, /put it in quotes: "7"/],
  "08-unknown-layout.yaml": ["5:31", /"main-verticl" is not a layout/, /did you mean main-vertical/],
  "09-room-in-second-pane.yaml": ["9:21", /there is no room "spy"/, /did you mean spx/],
  "10-room-of-review.yaml": ["7:28", /there is no room "spxx"/, /did you mean spx/],
  "11-room-behind-alias.yaml": ["6:17", /there is no room "qqq"/, /add qqq: \{\} under rooms:/],
  "12-link-to-nobody.yaml": [
    "5:40",
    /there is no session "moo-opps" to look at/,
    /link: SESSION or link: SESSION:WINDOW, as they stand under sessions:/,
  ],
  "13-link-to-no-window.yaml": ["7:39", /moo-ops has no window "man"/, /did you mean moo-ops:main/],
  "14-group-of-strangers.yaml": ["4:20", /nobody is called "alise"/, /did you mean alice/],
  "15-private-for-strangers.yaml": [
    "3:21",
    /nobody is called "steve"/,
    /declare the agent or the user, or take the name out/,
  ],
  "16-listens-to-nobody.yaml": [
    "5:17",
    /room spx listens to "agents-sp", and no session is called that/,
    /did you mean agents-spx/,
  ],
  "17-listens-to-a-stranger.yaml": ["5:36", /no agent "gama" lives in agents-spx/, /did you mean gamma/],
  "18-pattern-of-no-unicode.yaml": [
    "5:38",
    /"\\-\(\.\*\)" is not a regular expression/,
    /for example pattern: "\^NARRATE \(\.\*\)"/,
  ],
  "19-pattern-in-groups.yaml": [
    "5:38",
    /"\^\(\(a\+\)\)\+\$" repeats something that is repeated/,
    /write it without \+ or \* inside a repeated group/,
  ],
  "20-two-towns.yaml": [
    "3:1",
    /a second document begins here \(---\)/,
    /put each town into a folder and a floorplan\.yaml of its own/,
  ],
  "21-tab.yaml": [
    "4:1",
    /this is not YAML: tabs are not allowed as indentation/,
    /mend this place first; the rest of the file was not checked/,
  ],
  "22-placeholder-unquoted.yaml": [
    "4:14",
    /this is not YAML: unexpected scalar at node end/,
    /mend this place first; the rest of the file was not checked/,
  ],
  "23-colon-in-text.yaml": [
    "4:12",
    /this is not YAML: nested mappings are not allowed in compact mappings/,
    /mend this place first; the rest of the file was not checked/,
  ],
  "24-star-unquoted.yaml": ["6:40", /\*all names nothing/, /quote the value if it is plain text/],
  "25-merge-of-text.yaml": ["4:9", /<< merges something that is not a map/, /<<: \*name/],
  "26-session-that-vanishes.yaml": [
    "3:3",
    /"x-ray" under sessions: would be left out/,
    /give it another name; parts to repeat stand at the left edge: x-base: /,
  ],
  "27-each-of-wrong-change.yaml": ["3:3", /"<sym\|lowr>" is not a placeholder/, /<sym\|lower>/],
  "28-each-takes-town.yaml": [
    "4:13",
    /"town" cannot be a key here/,
    /for example each: \{ instrument: \[SPX, QQQ\] \}/,
  ],
  "29-each-without-end.yaml": [
    "3:3",
    /the plan becomes more than 2000 sessions here/,
    /shorten the lists, or make several towns of it/,
  ],
  "30-role-without-rig.yaml": [
    "5:11",
    /"joe" has the role crew and stands in no rig/,
    /rigs: \{ RIG: \{ sessions: \{ joe: \{ role: crew \} \} \} \}/,
  ],
  "31-polecat-called-witness.yaml": ["6:7", /the name "witness" cannot be in a session name/, /change the name/],
  "32-two-rigs-one-name.yaml": [
    "7:7",
    /beads-build \(line 3\) and beads\/build \(line 7\) would both be the tmux s/,
    /give one another key, role or name/,
  ],
  "33-mirrors-in-one-file.yaml": ["4:17", /qqq and spx are mirrored into one file/, /jsonl: log\/qqq\.jsonl/],
  "34-alert-of-no-level.yaml": [
    "3:3",
    /unknown key "P9" in alerts/,
    /take it out, or call it x-P9 to keep it for yourself/,
  ],
  "35-host-unknown.yaml": ["4:26", /there is no host "alfa"/, /did you mean alpha/],
  "36-view-name-with-dot.yaml": [
    "4:5",
    /"gt11-steve\.b" cannot be a session's name/,
    /a name says who works there and what they do: clod_bridge, agents-spx/,
  ],
  "37-agent-map-of-feed.yaml": ["6:52", /agent: of a feed is a map/, /agent: butterfly-spx/],
  "38-filter-without-feed.yaml": ["5:44", /tag: stands in a pane without feed:/, /feed: ROOM/],
  "39-environment-name.yaml": ["5:12", /"MY-VAR" cannot name an environment variable/, /env: \{ KEY: value \}/],
  "40-window-name.yaml": ["5:17", /"a:b" cannot be a window's name/, /name: main/],
  "41-version-missing-with-more.yaml": ["1:1", /version: missing/, /for example version: 1/],
};

describe("a broken plan is refused where it is broken, with what to do", () => {
  test.each(BROKEN)("%s", (name, text) => {
    const body = mistakesIn(text)!;
    const [at, what, fix] = EXPECTED[name]!;
    expect(body.code).toBe("PLAN_INVALID");
    expect(`${body.at!.line}:${body.at!.column}`).toBe(at);
    expect(body.at!.file).toBe(FILE);
    expect(body.what).toMatch(what);
    expect(body.fix).toMatch(fix);
    const told = renderPlanError(body, text).split("\n");
    expect(told.length).toBeLessThanOrEqual(6 * (1 + (body.more?.length ?? 0)));
    expect(told[0]).toContain(`${FILE}:${at}: `);
  });

  test("every file has its row, and every row its file", () => {
    expect(Object.keys(EXPECTED)).toEqual(BROKEN.map(([name]) => name));
  });
});

test("S2-36: names that say nothing about what lives there are refused", () => {
  for (const name of ["session-0", "session-1", "0", "window", "tmux1"]) {
    const body = mistakesIn(`version: 1\nsessions:\n  "${name}": { run: top }\n`);
    expect(body, name).toMatchObject({ at: { line: 3, column: 3 }, why: "it does not tell what lives inside" });
  }
});

test("S1-64: what tmux would rename is refused where it is declared, never silently changed", () => {
  const body = mistakesIn('version: 1\nsessions:\n  "ops:main": { run: top }\n');
  expect(body).toMatchObject({
    at: { line: 3, column: 3 },
    why: expect.stringContaining('tmux would change it to "ops_main"'),
  });
});

test("S1-30: names that would be read as somebody else are refused where they are declared", () => {
  const polecat = (name: string): string =>
    `version: 1\nnames: gastown\nrigs:\n  beads:\n    sessions:\n      ${name}: { role: polecat, run: bash }\n`;
  for (const name of ["witness", "crew-joe", "fix-login"])
    expect(mistakesIn(polecat(name)), name).toMatchObject({ at: { line: 6, column: 7 } });
  expect(mistakesIn(polecat("alpha"))).toBeNull();
});

describe("a plan in several files", () => {
  const own = "version: 1\ninclude: [base.yaml, floor/agents.yaml]\nsessions:\n  a_b: { room: spx }\n";
  const files = {
    "/plans/gt11/base.yaml": "rooms:\n  spx: { about: base, keep: 7d }\nsessions:\n  a_b: { run: top }\n",
    "/plans/gt11/floor/agents.yaml": "rooms:\n  spx: { about: floor }\nsessions:\n  c_d: { run: top }\n",
  };

  test("later files win over earlier ones, and the plan over all of them", () => {
    const plan = read(own, files);
    expect(plan.rooms[0]).toMatchObject({ about: "floor", keep: { ageMs: 604_800_000 } });
    expect(plan.sessions.map((session) => [session.name, session.room])).toEqual([
      ["a_b", "spx"],
      ["c_d", null],
    ]);
    expect(plan.sessions.map((session) => session.at)).toEqual([
      { line: 4, column: 3 },
      { file: "/plans/gt11/floor/agents.yaml", line: 4, column: 3 },
    ]);
  });

  test.each([
    ["a misspelt key", "sessions:\n  c_d: { rum: top }\n", "2:10"],
    ["an unknown room", "sessions:\n  c_d: { room: qqq }\n", "2:16"],
    [
      "a session that is there already, under another key",
      "sessions:\n  c_d: { run: top }\nrigs: { c: { sessions: { x: { name: 7 } } } }\n",
      "3:37",
    ],
    ["no YAML", "sessions: [\n", "2:1"],
    ["a list", "- a\n", "1:1"],
    ["a further include", "include: more.yaml\n", "1:1"],
  ])("%s in an included file is shown in that file", (_what, text, at) => {
    const body = mistakesIn(own, { ...files, "/plans/gt11/floor/agents.yaml": text })!;
    expect(`${body.at!.file}:${body.at!.line}:${body.at!.column}`).toBe(`/plans/gt11/floor/agents.yaml:${at}`);
  });

  test("a file that is not there is named where it is asked for, without the words of the system", () => {
    expect(mistakesIn(own, { "/plans/gt11/base.yaml": "" })).toMatchObject({
      what: "the included file /plans/gt11/floor/agents.yaml cannot be read",
      why: "there is no such file",
      at: { file: FILE, line: 2, column: 22 },
    });
  });
});

test("text of any system is read: a byte order mark, lines that end in CR LF", () => {
  const plan = read("\ufeffversion: 1\r\nsessions:\r\n  a_b:\r\n    run: top\r\n");
  expect(plan.sessions.map((session) => [session.name, session.windows[0]!.panes[0]!.run])).toEqual([["a_b", "top"]]);
});

test("twenty mistakes are told at most, the first of the file first", () => {
  const body = mistakesIn(
    `version: 1\nsessions:\n${Array.from({ length: 60 }, (_, n) => `  s_${n}x: { rum: top }`).join("\n")}\n`,
  )!;
  expect([body, ...body.more!].map((each) => each.at!.line)).toEqual(Array.from({ length: 20 }, (_, n) => n + 3));
});

test("keys that every JavaScript object has are not taken for declared ones", () => {
  const text = "version: 1\nnames: gastown\nsessions:\n  toString: { role: valueOf, run: '<constructor> <hasown>' }\n";
  expect(mistakesIn(text)).toMatchObject({ what: '"valueOf" is not a role of the gastown scheme', at: { line: 4 } });
  const plan = read("version: 1\nsessions:\n  toString: { run: '<constructor> <hasown>' }\n");
  expect(plan.sessions[0]!.windows[0]!.panes[0]!.run).toBe("<constructor> <hasown>");
});

describe("files made to hurt are refused with a place", () => {
  const levels = [..."bcdefghi"];
  const nine = (make: (name: string, inner: string) => string, first: string): string =>
    `version: 1\n${first}\n${levels.map((name, index) => make(name, Array(9).fill(`*${"abcdefghi"[index]}`).join(","))).join("\n")}\n`;
  const digits = Array.from({ length: 100 }, (_, n) => n).join(",");
  test.each([
    ["nine times nine laughs", nine((name, inner) => `x-${name}: &${name} [${inner}]`, "x-a: &a [1]")],
    ["nine times nine merges", nine((name, inner) => `x-${name}: &${name} { <<: [${inner}] }`, "x-a: &a { k: 1 }")],
    [
      "one wide alias, many times",
      `version: 1\nx-a: &a [${Array(20_000).fill(1).join(",")}]\nx-b: [${Array(190).fill("*a").join(",")}]\n`,
    ],
    [
      "100,000 keys",
      `version: 1\nx-a:\n${Array.from({ length: 100_000 }, (_, n) => ` ${n.toString(36)}:`).join("\n")}\n`,
    ],
    [
      "10,000 keys twice",
      `version: 1\nx-a:\n${Array.from({ length: 20_000 }, (_, n) => ` ${(n % 10_000).toString(36)}:`).join("\n")}\n`,
    ],
    ["10,000 open brackets", `version: 1\nx-a: ${"[".repeat(10_000)}\n`],
    ["100,000 lists in lists", `version: 1\nx-a:\n  ${"- ".repeat(100_000)}\n`],
    ["33 maps in maps", `version: 1\nx-a: ${"{ a: ".repeat(33)}1${" }".repeat(33)}\n`],
    ["10 MB", `version: 1\nabout: ${"x".repeat(10 * 1_048_576)}\n`],
    ["an anchor inside itself", "version: 1\nx-a: &a { b: [*a] }\n"],
    [
      "a million copies",
      `version: 1\nsessions:\n  s-<a>-<b>-<c>: { run: top, each: { a: [${digits}], b: [${digits}], c: [${digits}] } }\n`,
    ],
    [
      "8,000 sessions in a row",
      `version: 1\nsessions:\n${Array.from({ length: 8_000 }, (_, n) => `  a${n}x: { after: a${n + 1}x }`).join("\n")}\n`,
    ],
    [
      "12,000 sessions that are none",
      `version: 1\nsessions:\n${Array.from({ length: 12_000 }, (_, n) => `  a${n}x: 1`).join("\n")}\n`,
    ],
    [
      "a pattern of 100,000 brackets",
      `version: 1\nrooms: { a: { sources: [ { pane: b_c, pattern: '${"\\(".repeat(100_000)}' } ] } }\nsessions: { b_c: {} }\n`,
    ],
    [
      "names of 100,000 letters",
      `version: 1\nsessions: { ${"b".repeat(100_000)}: { after: ${"c".repeat(100_000)} } }\n`,
    ],
    ["a function of another language", "version: 1\nx-a: !!js/function 'return 1'\n"],
    ["a NUL", "version: 1\nabout: a\0b\n"],
  ])("%s", (what, text) => {
    const startMs = performance.now();
    const body = mistakesIn(text);
    process.stdout.write(`    ${what}: ${Math.round(performance.now() - startMs)} ms\n`);
    expect(body).toMatchObject({ code: "PLAN_INVALID", at: { file: FILE } });
    expect(JSON.stringify(body).length).toBeLessThan(20_000);
  });
});

test("a plan of 10 GB, a folder or a pipe is refused before it is read", () => {
  const folder = mkdtempSync(join(tmpdir(), "bosun-plan-"));
  try {
    const [large, pipe] = [join(folder, "floorplan.yaml"), join(folder, "pipe")];
    writeFileSync(large, "");
    truncateSync(large, 10 * 1024 ** 3);
    execFileSync("mkfifo", [pipe]);
    expect(() => readPlanFile(large)).toThrow(/it has 10737418240 bytes/);
    expect(() => readPlanFile(folder)).toThrow(/it is a folder/);
    expect(() => readPlanFile(pipe)).toThrow(/it is no ordinary file/);
    expect(() => readPlanFile(join(folder, "none"))).toThrow(/there is no such file/);
    const including = { text: "version: 1\ninclude: pipe\n", file: large, readFile: readPlanFile };
    expect(() => readPlan(including)).toThrow(/pipe cannot be read: it is no ordinary file/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** One change that a person or a bad program might make to a plan. */
interface Change {
  at: number;
  how: "drop" | "rename" | "insert" | "retype" | "double";
  key: string;
  value: unknown;
}

const WORDS = ["run", "windows", "panes", "each", "room", "feed", "role", "x-y", "<<", "toString", "<x>", "", "é", "7"];
const VALUES = [null, true, 7, -1, 1.5, "", "*", "<x>", "5s", "a b", [], {}, [[]], [null], { each: { x: [1, 2] } }];

const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat(10_000),
  how: fc.constantFrom("drop", "rename", "insert", "retype", "double"),
  key: fc.constantFrom(...WORDS),
  value: fc.constantFrom(...VALUES),
});

/** The text of the plan with one pair of a map, or one item of a list, changed. */
function changed(document: Document, { at, how, key, value }: Change): void {
  const places: (() => void)[] = [];
  visit(document, {
    Map(_, map) {
      map.items.forEach((pair, index) => {
        places.push(() => {
          if (how === "drop") map.items.splice(index, 1);
          else if (how === "rename") pair.key = document.createNode(key);
          else if (how === "insert") map.items.push(document.createPair(key, value));
          else if (how === "double") map.items.push(pair);
          else pair.value = document.createNode(value);
        });
      });
    },
    Seq(_, seq) {
      seq.items.forEach((item, index) => {
        places.push(() => {
          if (how === "drop") seq.items.splice(index, 1);
          else if (how === "insert") seq.items.push(document.createNode(value));
          else if (how === "double" && (isScalar(item) || isMap(item) || isSeq(item))) seq.items.push(item);
          else seq.items[index] = document.createNode(value);
        });
      });
    },
  });
  places[at % places.length]!();
}

test("however the keys and values of a good plan are changed, the answer is a plan, or mistakes with their places", () => {
  let refused = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...GOOD, ...PRESETS),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      ([, plan], changes) => {
        const document = parseDocument(plan, { merge: true, uniqueKeys: false });
        for (const each of changes) changed(document, each);
        let text: string;
        try {
          text = document.toString();
        } catch {
          // The change made no YAML (an alias before its anchor); there is nothing to read.
          return;
        }
        const body = mistakesIn(text);
        if (!body) return;
        refused++;
        const lines = text.split("\n").length;
        for (const mistake of [body, ...(body.more ?? [])]) {
          expect(mistake).toMatchObject({ code: "PLAN_INVALID", at: { file: FILE }, what: expect.stringMatching(/./) });
          expect(mistake.fix, mistake.what).toBeTruthy();
          expect(mistake.at!.line).toBeLessThanOrEqual(lines);
          expect(mistake.at!.column).toBeGreaterThan(0);
        }
      },
    ),
    { numRuns: 400 },
  );
  expect(refused).toBeGreaterThan(50);
});

test("an editor can explain every key, and leaves keys that begin with x- alone", () => {
  const silent: string[] = [];
  const walk = (schema: Record<string, unknown>, path: string): void => {
    if (schema.additionalProperties === false) expect(schema.patternProperties, path).toEqual({ "^x-": {} });
    for (const [key, inner] of Object.entries((schema.properties ?? {}) as Record<string, Record<string, unknown>>)) {
      if (!inner.description) silent.push(`${path}.${key}`);
      walk(inner, `${path}.${key}`);
    }
    for (const inner of [schema.items, schema.additionalProperties, ...((schema.anyOf ?? []) as unknown[])])
      if (typeof inner === "object" && inner !== null) walk(inner as Record<string, unknown>, `${path}[]`);
  };
  walk(floorPlanJsonSchema(), "");
  expect(silent).toEqual([]);
});
