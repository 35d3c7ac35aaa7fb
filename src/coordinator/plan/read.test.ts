import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BosunError } from "../../protocol/error.ts";
import { readPlan } from "./read.ts";

const read = (text: string, file = "/plans/gt11/floorplan.yaml") =>
  readPlan({
    text,
    file,
    readFile: () => {
      throw new Error("ENOENT");
    },
    env: { HOME: "/home/me", PASSED: "yes" },
  });

function mistake(text: string) {
  try {
    read(text);
  } catch (error) {
    if (error instanceof BosunError) return error.body;
    throw error;
  }
  return null;
}

const session = (rest: string): string => `version: 1\nsessions:\n  clod_bridge: { about: x, ${rest} }\n`;

/** What is wrong, where it is (line:column), what is said, and what is offered. */
const BROKEN: [string, string, string, RegExp, RegExp][] = [
  [
    "a key with a slip",
    session("run: top, lifecyle: persistent"),
    "3:38",
    /unknown key "lifecyle"/,
    /did you mean lifecycle/,
  ],
  ["a top-level key with a slip", "version: 1\nsesions: {}\n", "2:1", /unknown key "sesions"/, /did you mean sessions/],
  ["a key nobody knows", "version: 1\nflavour: mint\n", "2:1", /unknown key "flavour"/, /x-flavour/],
  ["no version", "sessions: {}\n", "1:1", /version: missing/, /version: 1/],
  ["another version", "version: 2\n", "1:10", /version: 2 does not fit/, /version: 1/],
  ["an empty file", "", "1:1", /the plan is empty/, /bosun init/],
  ["a list", "- a\n- b\n", "1:1", /the plan is a list/, /bosun init/],
  ["an unclosed bracket", "version: 1\nsessions: { a_b: {run: top\n", "3:1", /not YAML/, /./],
  ["a tab", "version: 1\nsessions:\n\ta_b: {}\n", "3:1", /not YAML|tab/, /./],
  ["a brace that should be quoted", "version: 1\nsessions:\n  agents-{x}: run\n    y: 1\n", "3:15", /not YAML/, /./],
  [
    "a key twice",
    "version: 1\nsessions:\n  a_b: { run: top }\n  a_b: { run: htop }\n",
    "4:3",
    /"a_b" stands here twice/,
    /another name/,
  ],
  [
    "a reserved key",
    "version: 1\nsessions:\n  __proto__: { run: top }\n",
    "3:3",
    /"__proto__" cannot be a key/,
    /another name/,
  ],
  ["a number for text", session("run: 7"), "3:33", /run: 7 does not fit/, /./],
  ["text for a flag", session("run: top, protect: maybe"), "3:47", /protect: "maybe" does not fit/, /./],
  [
    "an unknown restart policy",
    session("run: top, restart: sometimes"),
    "3:47",
    /restart: "sometimes" does not fit/,
    /restart: on-failure/,
  ],
  ["run and windows", session("run: top, windows: [ { name: w } ]"), "3:38", /run and windows/, /keep one of/],
  [
    "persistent, and nothing restarts it",
    session("run: top, lifecycle: persistent"),
    "3:49",
    /nothing restarts it/,
    /restart: always/,
  ],
  [
    "a generic name",
    "version: 1\nsessions:\n  session-0: { run: top }\n",
    "3:3",
    /"session-0" cannot be/,
    /clod_bridge/,
  ],
  ["a number as name", "version: 1\nsessions:\n  '0': { run: top }\n", "3:3", /"0" cannot be/, /clod_bridge/],
  [
    "a name tmux would change",
    "version: 1\nsessions:\n  a.b: { run: top }\n",
    "3:3",
    /"a\.b" cannot be/,
    /clod_bridge/,
  ],
  [
    "two names that tmux makes one",
    "version: 1\nsessions:\n  a_b: { run: top }\n  a.b: { run: top }\n",
    "4:3",
    /a_b \(line 3\) and a\.b \(line 4\)/,
    /another/,
  ],
  [
    "an unknown role",
    "version: 1\nnames: gastown\nsessions:\n  x: { role: major, run: top }\n",
    "4:14",
    /"major" is not a role/,
    /did you mean mayor/,
  ],
  ["an unknown scheme", "version: 1\nnames: gasttown\n", "2:8", /no naming scheme "gasttown"/, /names: floor/],
  [
    "a placeholder nobody fills",
    "version: 1\nsessions:\n  agents-<sym>: { run: top }\n",
    "3:3",
    /nothing fills <sym>/,
    /each: \{ sym/,
  ],
  ["an unknown after", session("run: top, after: [nobody]"), "3:45", /starts after "nobody"/, /take it out/],
  [
    "a circle of after",
    "version: 1\nsessions:\n  a_b: { run: top, after: [c_d] }\n  c_d: { run: top, after: [a_b] }\n",
    "3:27",
    /a_b → c_d → a_b/,
    /take one after/,
  ],
  [
    "an unknown room",
    `${session("run: top, room: spxx")}rooms: { spx: {} }\n`,
    "3:44",
    /no room "spxx"/,
    /did you mean spx/,
  ],
  [
    "a feed of an unknown room",
    "version: 1\nrooms: { spx: {} }\nusers:\n  steve: { view: [ { name: m, panes: [ { feed: qqq } ] } ] }\n",
    "4:48",
    /no room "qqq"/,
    /add qqq/,
  ],
  [
    "an agent twice",
    "version: 1\nsessions:\n  a_b: { run: top, agent: { id: d } }\n  c_d: { run: top, agent: { id: d } }\n",
    "4:33",
    /two agents are called d/,
    /<instrument>/,
  ],
  [
    "an agent that is a user",
    "version: 1\nsessions:\n  a_b: { run: top, agent: { id: steve } }\nusers: { steve: {} }\n",
    "3:33",
    /an agent and a user/,
    /something else/,
  ],
  ["a keep that is none", "version: 1\nrooms: { spx: { keep: often } }\n", "2:23", /keep: "often"/, /keep: 30d/],
  [
    "a rotate that is no size",
    "version: 1\nrooms: { spx: { jsonl: { path: a, rotate: big } } }\n",
    "2:43",
    /"big" is not a size/,
    /50MB/,
  ],
  ["a size that is none", "version: 1\ntmux: { size: huge }\n", "2:15", /size: "huge"/, /200x50/],
  [
    "a socket that is a path",
    "version: 1\ntmux: { socket: /tmp/x }\n",
    "2:17",
    /"\/tmp\/x" cannot name/,
    /socket: town/,
  ],
  [
    "a regular expression that is none",
    "version: 1\nrooms: { spx: { sources: [ { pane: a_b, pattern: '(' } ] } }\nsessions: { a_b: { run: top } }\n",
    "2:50",
    /not a regular expression/,
    /NARRATE/,
  ],
  [
    "a regular expression that may never end",
    "version: 1\nrooms: { spx: { sources: [ { pane: a_b, pattern: '(a+)+$' } ] } }\nsessions: { a_b: { run: top } }\n",
    "2:50",
    /repeats something/,
    /without/,
  ],
  [
    "a pane that is two things",
    "version: 1\nrooms: { spx: {} }\nsessions: { a_b: { windows: [ { name: w, panes: [ { run: top, feed: spx } ] } ] } }\n",
    "3:51",
    /run and feed/,
    /keep one/,
  ],
  [
    "an included file that is not there",
    "version: 1\ninclude: other.yaml\n",
    "2:10",
    /other\.yaml cannot be read/,
    /correct include/,
  ],
  ["a NUL byte", "version: 1\nsessions: {}\0\n", "2:13", /NUL/, /UTF-8/],
];

describe("a broken plan is refused with its place, what is wrong, and what to do", () => {
  test.each(BROKEN)("%s", (_what, text, at, what, fix) => {
    const body = mistake(text);
    expect(body).not.toBeNull();
    expect(body!.code).toBe("PLAN_INVALID");
    expect(`${body!.at?.line}:${body!.at?.column}`).toBe(at);
    expect(body!.what).toMatch(what);
    expect(`${body!.fix ?? ""} ${body!.why ?? ""}`).toMatch(fix);
  });

  test("there are at least thirty kinds of them", () => expect(BROKEN.length).toBeGreaterThanOrEqual(30));
});

test("several mistakes are told at once, in the order of the file", () => {
  const body = mistake("version: 1\nsessions:\n  a_b: { rum: top }\n  c_d: { run: 7 }\nrums: {}\n");
  expect([body!, ...body!.more!].map((each) => each.at!.line)).toEqual([3, 4, 5]);
});

describe("files made to hurt are refused at once", () => {
  const laughs = `version: 1\nx-a: &a [1,1,1,1,1,1,1,1,1]\n${[..."bcdefghi"].map((name, index) => `x-${name}: &${name} [${Array(9).fill(`*${"abcdefghi"[index]}`).join(",")}]`).join("\n")}\n`;
  test.each([
    ["a billion laughs", laughs],
    ["ten megabytes", `version: 1\nabout: { purpose: ${"x".repeat(10 * 1_048_576)} }\n`],
    ["ten thousand brackets", `version: 1\nx-a: ${"[".repeat(10_000)}\n`],
    [
      "a hundred thousand keys",
      `version: 1\nx-a:\n${Array.from({ length: 100_000 }, (_, n) => `  k${n}: 1`).join("\n")}\n`,
    ],
    ["ten thousand aliases", `version: 1\nx-a: &a 1\nx-b: [${Array(10_000).fill("*a").join(",")}]\n`],
    ["an anchor inside itself", "version: 1\nx-a: &a { b: *a }\n"],
  ])("%s", (_what, text) => {
    const startedMs = performance.now();
    expect(mistake(text)?.code).toBe("PLAN_INVALID");
    process.stdout.write(`    ${_what}: ${(performance.now() - startedMs).toFixed(0)} ms\n`);
  });
});

const PRESETS = join(import.meta.dirname, "../../../presets");
const GOOD = readdirSync(PRESETS).map((name) => readFileSync(join(PRESETS, name), "utf8"));

test("however a good plan is mangled, the answer is a plan or an error with a place", () => {
  const bite = fc.record({
    plan: fc.constantFrom(...GOOD),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat(30),
    by: fc.constantFrom("", "x", ": ", "\n", "  ", "[", "}", "&a ", "*a", "7", "<<: ", "- ", "'", "null"),
  });
  fc.assert(
    fc.property(fc.array(bite, { minLength: 1, maxLength: 1 }), ([change]) => {
      const { plan, at, length, by } = change!;
      const from = Math.floor(at * plan.length);
      const body = mistake(plan.slice(0, from) + by + plan.slice(from + length));
      if (body !== null) {
        expect(body.code).toBe("PLAN_INVALID");
        expect(body.at!.line).toBeGreaterThanOrEqual(1);
        expect(body.at!.column).toBeGreaterThanOrEqual(1);
      }
    }),
    { numRuns: 400 },
  );
});

describe("what a plan becomes", () => {
  test("S0-58 S2-04: each multiplies, placeholders change case, defaults are inherited, relative paths start at the plan", () => {
    const plan = read(`version: 1
names: floor
defaults: { env: { A: "1" }, env_pass: [PASSED, ABSENT], restart: always }
rooms: { "<i|lower>": { each: { i: [SPX, QQQ] }, jsonl: log/<i|lower>.jsonl, keep: 5000 } }
sessions:
  agents-<i|lower>: { about: "Agents of <i>", each: { i: [SPX, QQQ] }, room: "<i|lower>", cwd: ~/work, env: { B: 2 }, run: "deacon --instrument <i>", agent: { id: "deacon-<i|lower>" } }
`);
    expect(plan.rooms.map((room) => [room.id, room.jsonl!.path, room.keep])).toEqual([
      ["spx", "/plans/gt11/log/spx.jsonl", { ageMs: null, count: 5000 }],
      ["qqq", "/plans/gt11/log/qqq.jsonl", { ageMs: null, count: 5000 }],
    ]);
    expect(plan.sessions.map((one) => one.name)).toEqual(["agents-spx", "agents-qqq"]);
    expect(plan.sessions[0]).toMatchObject({ restart: { policy: "always" }, room: "spx", about: "Agents of SPX" });
    expect(plan.sessions[0]!.windows[0]!.panes[0]).toMatchObject({
      run: "deacon --instrument SPX",
      cwd: "/home/me/work",
      env: { A: "1", B: "2", PASSED: "yes" },
      agent: { id: "deacon-spx" },
    });
  });

  test("S1-05 S1-06 S1-07 S1-08 S1-10 S1-11 S1-12: Gas Town names come from role, town and rig", () => {
    const plan = read(
      "version: 1\nnames: gastown\nsessions: { mayor: { role: mayor }, deacon: { role: deacon }, boot: { role: boot } }\nrigs: { gastown: { sessions: { witness: { role: witness }, refinery: { role: refinery }, slack_decisions: { role: crew }, alpha: {} } } }\n",
    );
    expect(plan.sessions.map((one) => one.name)).toEqual([
      "hq-gt11-mayor",
      "hq-gt11-deacon",
      "hq-gt11-boot",
      "gt-gastown-witness",
      "gt-gastown-refinery",
      "gt-gastown-crew-slack_decisions",
      "gt-gastown-alpha",
    ]);
  });

  test("S1-30 S1-64: an identity that could not be read back, or that tmux would rename, is refused when it is declared", () => {
    const rig = (name: string): string =>
      `version: 1\nnames: gastown\nrigs: { gastown: { sessions: { ${name}: { role: polecat } } } }\n`;
    for (const name of ["witness", "refinery", "crew-joe", "fix-auth", "a.b", '"a:b"'])
      expect(mistake(rig(name))?.what, name).toMatch(/cannot|would/);
    expect(mistake(rig("alpha"))).toBeNull();
  });

  test("the shape changes with the command, not with its description", () => {
    const shape = (text: string): string => read(text).sessions[0]!.shape;
    const plain = shape(session("run: top"));
    expect(shape(session("run: top, protect: true"))).toBe(plain);
    expect(shape(session("run: htop"))).not.toBe(plain);
    expect(shape(session("run: top, env: { A: b }"))).not.toBe(plain);
  });

  test("an included file comes first, and this one wins over it", () => {
    const plan = readPlan({
      text: "version: 1\ninclude: base.yaml\nrooms: { spx: { about: mine } }\n",
      file: "/plans/floorplan.yaml",
      readFile: () => "rooms: { spx: { about: theirs }, qqq: { about: more } }\n",
    });
    expect(plan.rooms.map((room) => [room.id, room.about])).toEqual([
      ["spx", "mine"],
      ["qqq", "more"],
    ]);
  });
});
