import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BosunError } from "../../protocol/error.ts";
import { BROKEN_PLANS, session } from "./broken-plans.fixture.ts";
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

describe("a broken plan is refused with its place, what is wrong, and what to do", () => {
  test.each(BROKEN_PLANS)("%s", (_what, text, at, what, fix) => {
    const body = mistake(text);
    expect(body).not.toBeNull();
    expect(body!.code).toBe("PLAN_INVALID");
    expect(`${body!.at?.line}:${body!.at?.column}`).toBe(at);
    expect(body!.what).toMatch(what);
    expect(`${body!.fix ?? ""} ${body!.why ?? ""}`).toMatch(fix);
  });

  test("there are at least thirty kinds of them", () => expect(BROKEN_PLANS.length).toBeGreaterThanOrEqual(30));
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
