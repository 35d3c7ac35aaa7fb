import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { formatName, type Identity, parseName, schemeOf, tmuxRewrites } from "../src/protocol/names.ts";

const SOCKET = `bosun-test-names-${process.pid}`;

/** Keeps the server up while nothing else is on it. */
const KEEPER = "keeper";

function tmux(...args: string[]): string {
  return execFileSync("tmux", ["-u", "-L", SOCKET, "-f", "/dev/null", ...args], { encoding: "utf8" });
}

beforeAll(() => {
  tmux("new-session", "-d", "-s", KEEPER, "exec cat");
});

afterAll(() => {
  tmux("kill-server");
});

test("S1-64: what we say tmux makes of a name is what tmux makes of it", () => {
  const names = [
    "gt.12",
    "a:b",
    "a\\b",
    "a$x",
    "a$1",
    "a${b",
    "a\tb",
    "a\nb",
    "a\x1bb",
    "a\x01b",
    "a\x7fb",
    "café",
    "a b",
  ];
  const stored = names.map((name) =>
    tmux("new-session", "-d", "-P", "-F", "#{session_name}", "-s", name, "cat").trimEnd(),
  );
  expect(stored).toEqual(names.map(tmuxRewrites));
  tmux("kill-session", "-a", "-t", `=${KEEPER}`);
});

const GASTOWN = schemeOf("gastown");
const SETS = 10_000;
const ON_A_SERVER = 500;

/** Names as people give them, and such that begin like others, hold a separator, or are a role's own word. */
const word = fc.oneof(
  fc.constantFrom(
    "gt11",
    "gt12",
    "gt11-deacon",
    "my-town",
    "max",
    "maxine",
    "fix",
    "fix-auth",
    "auth",
    "gastown",
    "gastown-fix",
  ),
  fc.constantFrom(
    "crew",
    "crew-max",
    "gastown-crew",
    "witness",
    "old-witness",
    "mayor",
    "dog",
    "boot",
    "gt.12",
    "gt_12",
    "a:b",
    "=x",
  ),
  fc.stringMatching(/^[A-Za-z0-9_-]{1,10}$/),
  fc.string({ maxLength: 6 }),
);

const set = fc.record({
  town: word,
  rigs: fc.array(
    fc.record({ rig: word, crew: fc.array(word, { maxLength: 3 }), polecats: fc.array(word, { maxLength: 3 }) }),
    { minLength: 1, maxLength: 3 },
  ),
});

/** Everybody a town of these names would have. */
function everybody({ town, rigs }: typeof set extends fc.Arbitrary<infer T> ? T : never): Identity[] {
  return [
    ...["mayor", "deacon", "boot"].map((role) => ({ role, town, rig: "", name: "" })),
    ...rigs.flatMap(({ rig, crew, polecats }) => [
      ...["witness", "refinery"].map((role) => ({ role, town: "", rig, name: "" })),
      ...crew.map((name) => ({ role: "crew", town: "", rig, name })),
      ...polecats.map((name) => ({ role: "polecat", town: "", rig, name })),
    ]),
  ];
}

/** Names that the scheme accepts, each with its identity as text. */
function accepted(identities: readonly Identity[], wrong: string[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const identity of identities) {
    let name: string;
    try {
      name = formatName(GASTOWN, identity);
    } catch {
      continue;
    }
    const text = JSON.stringify(identity);
    const { legacy, ...read } = parseName(GASTOWN, name)!;
    const back = JSON.stringify({ role: read.role, town: read.town, rig: read.rig, name: read.name });
    if (legacy || back !== text) wrong.push(`${text} has the name ${name}, which is read as ${back}`);
    names.set(name, text);
  }
  return names;
}

test("S1-30, S1-55, S1-57: of 10,000 random sets of town, rig and worker names each accepted name is one identity's; on a real server 500 of them are each their own session", () => {
  const sets = fc.sample(set, { numRuns: SETS, seed: 11 });
  const all = new Map<string, string>();
  const taken: string[][] = [];
  const wrong: string[] = [];
  for (const each of sets) {
    const names = accepted(everybody(each), wrong);
    for (const [name, identity] of names) {
      const other = all.get(name) ?? identity;
      if (other !== identity) wrong.push(`${identity} and ${other} share the name ${name}`);
      all.set(name, identity);
    }
    if (names.size > 3 && taken.length < ON_A_SERVER) taken.push([...names.keys()]);
  }
  expect(wrong).toEqual([]);
  expect(all.size).toBeGreaterThan(5_000);
  expect(taken).toHaveLength(ON_A_SERVER);
  const run = (...commands: string[][]): string[] =>
    tmux(...commands.flatMap((command, index) => (index === 0 ? command : [";", ...command])))
      .trimEnd()
      .split("\n");
  const list = ["list-sessions", "-f", `#{!=:#{session_name},${KEEPER}}`, "-F", "#{session_name}"];
  for (const names of taken) {
    const made = run(...names.map((name) => ["new-session", "-d", "-s", name, "exec cat"]), list);
    expect(made.toSorted()).toEqual(names.toSorted());
    // Each is found by its exact name, and is itself.
    const found = run(...names.map((name) => ["display-message", "-p", "-t", `=${name}:`, "#{session_name}"]));
    expect(found).toEqual(names);
    // The one that most others begin like is ended: only that one goes.
    const [first, ...others] = names.toSorted((a, b) => a.length - b.length);
    expect(run(["kill-session", "-t", `=${first}`], list).toSorted()).toEqual(others.toSorted());
    run(...others.map((name) => ["kill-session", "-t", `=${name}`]));
  }
}, 180_000);
