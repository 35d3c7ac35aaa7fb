import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BosunError, type ErrorBody } from "./error.ts";
import {
  bootSessionName,
  deaconSessionName,
  findClashes,
  formatName,
  type Identity,
  identityOf,
  isGenericName,
  legacyMayorSessionName,
  mayorSessionName,
  parseName,
  parseSessionName,
  type Scheme,
  schemeOf,
  tmuxRewrites,
  townOfRoot,
  townSessions,
  whyBadName,
} from "./names.ts";

const gastown = schemeOf("gastown");
const floor = schemeOf("floor");
const ship = schemeOf("ship");

function who(role: string, parts: Partial<Identity> = {}): Identity {
  return { role, town: "", rig: "", name: "", ...parts };
}

/** What is said when `make` refuses; fails when it does not. */
function refusal(make: () => unknown): ErrorBody {
  try {
    const made = make();
    throw new Error(`not refused: ${JSON.stringify(made)}`);
  } catch (error) {
    if (error instanceof BosunError) return error.body;
    throw error;
  }
}

/** Formats and reads back, so a test shows both directions. */
function thereAndBack(scheme: Scheme, identity: Identity): [string, unknown] {
  const name = formatName(scheme, identity);
  return [name, parseName(scheme, name)];
}

describe("names of several towns on one machine", () => {
  test("S1-02 S1-03: hq-mayor and hq-deacon are the mayor and deacon of before, without a town", () => {
    expect([parseSessionName("hq-mayor"), parseSessionName("hq-deacon")]).toEqual([
      { ...who("mayor"), legacy: true },
      { ...who("deacon"), legacy: true },
    ]);
  });

  test("S1-04: gt-boot is boot, not a polecat called boot", () => {
    expect(parseSessionName("gt-boot")).toEqual({ ...who("boot"), legacy: true });
  });

  test("S1-05 S1-06: a rig's witness and refinery are named after the rig and read back", () => {
    expect(["witness", "refinery"].map((role) => thereAndBack(gastown, who(role, { rig: "gastown" })))).toEqual([
      ["gt-gastown-witness", { ...who("witness", { rig: "gastown" }), legacy: false }],
      ["gt-gastown-refinery", { ...who("refinery", { rig: "gastown" }), legacy: false }],
    ]);
  });

  test("S1-07: a crew member keeps the underscore of its name", () => {
    const member = who("crew", { rig: "gastown", name: "slack_decisions" });
    expect(thereAndBack(gastown, member)).toEqual(["gt-gastown-crew-slack_decisions", { ...member, legacy: false }]);
  });

  test("S1-08: a polecat is named after rig and name", () => {
    const polecat = who("polecat", { rig: "gastown", name: "alpha" });
    expect(thereAndBack(gastown, polecat)).toEqual(["gt-gastown-alpha", { ...polecat, legacy: false }]);
  });

  test("S1-10 S1-11 S1-12 S1-54: two towns have different names for mayor, deacon and boot, none of them an old one", () => {
    const names = ["gt11", "gt12"].flatMap((town) =>
      ["mayor", "deacon", "boot"].map((role) => formatName(gastown, who(role, { town }))),
    );
    expect(names).toEqual([
      "hq-gt11-mayor",
      "hq-gt11-deacon",
      "hq-gt11-boot",
      "hq-gt12-mayor",
      "hq-gt12-deacon",
      "hq-gt12-boot",
    ]);
  });

  test("S1-13: a town is called like its root folder", () => {
    expect(["/home/u/gt11", "/home/u/gt11/"].map(townOfRoot)).toEqual(["gt11", "gt11"]);
    expect(mayorSessionName(townOfRoot("/home/u/gt11"))).toBe("hq-gt11-mayor");
    expect(refusal(() => townOfRoot("/srv/gt.11")).code).toBe("BAD_NAME");
    expect(refusal(() => townOfRoot("/")).code).toBe("BAD_NAME");
  });

  test("S1-16: hq- names are the town's, gt- names a rig's", () => {
    const identities = [
      ...["mayor", "deacon", "boot"].map((role) => who(role, { town: "gt11" })),
      ...["witness", "refinery"].map((role) => who(role, { rig: "gastown" })),
      who("crew", { rig: "gastown", name: "max" }),
      who("polecat", { rig: "gastown", name: "alpha" }),
    ];
    const names = identities.map((identity) => formatName(gastown, identity));
    expect(names.filter((name) => name.startsWith("hq-"))).toEqual(
      names.filter((name) => parseSessionName(name).town !== ""),
    );
    expect(names.filter((name) => name.startsWith("gt-"))).toEqual(
      names.filter((name) => parseSessionName(name).rig !== ""),
    );
  });

  test("S1-17: a name tells which town owns the session", () => {
    expect(parseSessionName("hq-gt12-mayor")).toEqual({ ...who("mayor", { town: "gt12" }), legacy: false });
  });

  test("S1-20 S1-21 S1-22: the library names mayor, deacon and boot of a town", () => {
    expect([mayorSessionName("gt11"), deaconSessionName("gt11"), bootSessionName("gt11")]).toEqual([
      "hq-gt11-mayor",
      "hq-gt11-deacon",
      "hq-gt11-boot",
    ]);
  });

  test("S1-23: the library knows the mayor's old name", () => {
    expect(legacyMayorSessionName()).toBe("hq-mayor");
  });

  test("S1-24 S1-26: an identity has role, town, rig and name, empty where the role has none", () => {
    const names = [
      "hq-gt11-mayor",
      "hq-gt11-deacon",
      "hq-gt11-boot",
      "gt-beads-witness",
      "gt-beads-refinery",
      "gt-beads-crew-max",
      "gt-beads-nux",
    ];
    expect(names.map((name) => parseSessionName(name))).toEqual([
      { role: "mayor", town: "gt11", rig: "", name: "", legacy: false },
      { role: "deacon", town: "gt11", rig: "", name: "", legacy: false },
      { role: "boot", town: "gt11", rig: "", name: "", legacy: false },
      { role: "witness", town: "", rig: "beads", name: "", legacy: false },
      { role: "refinery", town: "", rig: "beads", name: "", legacy: false },
      { role: "crew", town: "", rig: "beads", name: "max", legacy: false },
      { role: "polecat", town: "", rig: "beads", name: "nux", legacy: false },
    ]);
  });

  test("S1-25: the roles of a town are accepted, another is refused with the list of them", () => {
    const from = { town: "gt11", rig: "beads", name: "nux" };
    const roles = ["mayor", "deacon", "boot", "witness", "refinery", "crew", "polecat", "dog", "overseer"];
    expect(roles.map((role) => parseSessionName(formatName(gastown, identityOf(gastown, role, from))).role)).toEqual(
      roles,
    );
    expect(refusal(() => formatName(gastown, who("cat", { name: "rex" })))).toMatchObject({
      code: "BAD_NAME",
      what: expect.stringContaining('"cat"'),
      why: expect.stringContaining(roles.join(", ")),
    });
  });

  test("S1-27 S1-51: the thirteen names of two towns and the three old ones are read as stated", () => {
    const table: [string, Identity][] = [
      ["hq-gt11-mayor", who("mayor", { town: "gt11" })],
      ["hq-gt11-boot", who("boot", { town: "gt11" })],
      ["hq-gt11-deacon", who("deacon", { town: "gt11" })],
      ["gt-gastown-witness", who("witness", { rig: "gastown" })],
      ["gt-gastown-refinery", who("refinery", { rig: "gastown" })],
      ["gt-gastown-crew-slack_decisions", who("crew", { rig: "gastown", name: "slack_decisions" })],
      ["gt-beads-witness", who("witness", { rig: "beads" })],
      ["gt-beads-refinery", who("refinery", { rig: "beads" })],
      ["hq-gt12-mayor", who("mayor", { town: "gt12" })],
      ["hq-gt12-boot", who("boot", { town: "gt12" })],
      ["hq-gt12-deacon", who("deacon", { town: "gt12" })],
      ["gt-newrig-witness", who("witness", { rig: "newrig" })],
      ["gt-newrig-refinery", who("refinery", { rig: "newrig" })],
    ];
    expect(table.map(([name]) => parseSessionName(name))).toEqual(
      table.map(([, identity]) => ({ ...identity, legacy: false })),
    );
    expect(["hq-mayor", "hq-deacon", "gt-boot"].map((name) => parseSessionName(name))).toEqual([
      { ...who("mayor"), legacy: true },
      { ...who("deacon"), legacy: true },
      { ...who("boot"), legacy: true },
    ]);
  });

  test("S1-28: a role nobody knows is a clear error with exit code 2", () => {
    const error = refusal(() => parseSessionName("hq-gt11-foo"));
    expect(error).toMatchObject({
      code: "BAD_NAME",
      why: '"foo" is not a role of a town; these are mayor, deacon, boot, overseer, and dogs with a name',
    });
    expect(new BosunError(error).exitCode).toBe(2);
  });

  test("S1-29: a town with hyphens is read back whole", () => {
    expect(["my-town", "a-b-c", "gt11-deacon"].map((town) => parseSessionName(mayorSessionName(town)).town)).toEqual([
      "my-town",
      "a-b-c",
      "gt11-deacon",
    ]);
  });

  test("S1-31: a town's sessions are Mayor, Boot, Deacon, in this order", () => {
    expect(townSessions("gt11")).toEqual([
      { label: "Mayor", name: "hq-gt11-mayor" },
      { label: "Boot", name: "hq-gt11-boot" },
      { label: "Deacon", name: "hq-gt11-deacon" },
    ]);
  });

  test("where the legacy is refused, old names are nobody's", () => {
    const strict = schemeOf({ preset: "gastown", legacy: "refuse" });
    expect(["hq-mayor", "hq-deacon", "gt-boot"].map((name) => parseName(strict, name))).toEqual([null, null, null]);
    expect(parseName(strict, "hq-gt11-mayor")).toEqual({ ...who("mayor", { town: "gt11" }), legacy: false });
  });
});

describe("names that would mean two things", () => {
  const ambiguous: [string, Identity, string][] = [
    ["polecat named witness", who("polecat", { rig: "a", name: "witness" }), "is a role of this scheme"],
    ["polecat named refinery", who("polecat", { rig: "a", name: "refinery" }), "is a role of this scheme"],
    ["polecat named boot", who("polecat", { rig: "a", name: "boot" }), "is a role of this scheme"],
    ["polecat named crew", who("polecat", { rig: "a", name: "crew" }), "is a role of this scheme"],
    ["polecat named crew-max", who("polecat", { rig: "a", name: "crew-max" }), 'is read as crew "max" of rig a'],
    ["polecat named b-witness", who("polecat", { rig: "a", name: "b-witness" }), "is read as witness of rig a-b"],
    ["polecat with a hyphen", who("polecat", { rig: "a", name: "b-c" }), 'is read as polecat "c" of rig a-b'],
    [
      "polecat of a rig called a-crew",
      who("polecat", { rig: "a-crew", name: "max" }),
      'is read as crew "max" of rig a',
    ],
    ["crew named old-witness", who("crew", { rig: "a", name: "old-witness" }), "is read as witness of rig a-crew-old"],
    ["crew named crew-max", who("crew", { rig: "a", name: "crew-max" }), 'is read as crew "max" of rig a-crew'],
    ["view of a user called ops", who("view", { name: "ops" }), "is a role of this scheme"],
    ["view of two towns", who("view", { town: "gt11", name: "steve" }), "two of them would share one name"],
    ["witness with a town", who("witness", { town: "gt11", rig: "a" }), "two of them would share one name"],
    ["mayor without a town", who("mayor"), "mayor needs a town"],
  ];
  test.each(ambiguous)("S1-30: refused with the reason: %s", (_, identity, why) => {
    const scheme = identity.role === "view" ? floor : gastown;
    expect(refusal(() => formatName(scheme, identity))).toMatchObject({
      code: "BAD_NAME",
      why: expect.stringContaining(why),
      fix: expect.any(String),
    });
  });

  test("a hyphen is fine in a rig and in a crew name", () => {
    const names = [who("witness", { rig: "my-rig" }), who("polecat", { rig: "my-rig", name: "nux" })];
    expect(names.map((identity) => formatName(gastown, identity))).toEqual(["gt-my-rig-witness", "gt-my-rig-nux"]);
    expect(formatName(gastown, who("crew", { rig: "beads", name: "code-review" }))).toBe("gt-beads-crew-code-review");
  });

  const schemes = {
    gastown,
    floor,
    ship,
    own: schemeOf({ lead: "<town>-lead", worker: "<town>_<rig>-w-<name>", desk: "desk-<instrument|lower>-<town>" }),
    extended: schemeOf({ preset: "gastown", dog: "hq-<town>-dog-<name>" }),
  };
  /** Words that look like the separators and roles of the schemes, and anything else. */
  const word = fc.oneof(
    fc.constantFrom(
      "",
      "a",
      "b-c",
      "crew",
      "crew-x",
      "witness",
      "b-witness",
      "boot",
      "mayor",
      "hq",
      "gt",
      "moo",
      "ops",
    ),
    fc.constantFrom(
      "SPX",
      "spx",
      "a_b",
      "_",
      "-",
      "x-",
      "session",
      "w",
      "a.b",
      "a:b",
      "*",
      "=x",
      "é",
      "lead",
      "dog-rex",
    ),
    fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/),
    fc
      .array(fc.constantFrom("a", "crew", "witness", "w", "dog", "lead", "_"), { minLength: 1, maxLength: 4 })
      .map((words) => words.join("-")),
  );
  const identityIn = (scheme: Scheme): fc.Arbitrary<Identity> =>
    fc
      .record({ role: fc.constantFrom(...Object.keys(scheme.templates)), town: word, rig: word, name: word })
      // Blank fields a role does not use, most of the time: otherwise nearly everything is refused for that alone.
      .chain((drawn) =>
        fc.constantFrom(drawn, identityOf(scheme, drawn.role, drawn), identityOf(scheme, drawn.role, drawn)),
      );
  const accepted = (scheme: Scheme, identity: Identity): string | null => {
    try {
      return formatName(scheme, identity);
    } catch (error) {
      if (error instanceof BosunError && error.code === "BAD_NAME" && error.body.why) return null;
      throw error;
    }
  };

  test.each(Object.entries(schemes))("S1-30 S1-55: whatever is accepted in %s is read back as itself", (_, scheme) => {
    let count = 0;
    fc.assert(
      fc.property(identityIn(scheme), (identity) => {
        const name = accepted(scheme, identity);
        if (name === null) return;
        count++;
        expect(parseName(scheme, name)).toEqual({ ...identity, legacy: false });
        expect(tmuxRewrites(name)).toBe(name);
      }),
      { numRuns: 2000 },
    );
    expect(count).toBeGreaterThan(100);
  });

  test.each(Object.entries(schemes))("S1-30: in %s two identities never share a name", (_, scheme) => {
    fc.assert(
      fc.property(fc.array(identityIn(scheme), { minLength: 2, maxLength: 30 }), (identities) => {
        const owners = new Map<string, string>();
        for (const identity of identities) {
          const name = accepted(scheme, identity);
          if (name === null) continue;
          const owner = JSON.stringify(identity);
          expect(owners.get(name) ?? owner).toBe(owner);
          owners.set(name, owner);
        }
      }),
      { numRuns: 300 },
    );
  });

  test.each(Object.entries(schemes))("whatever is read in %s is written the same, old names aside", (_, scheme) => {
    const text = fc.oneof(
      fc
        .tuple(fc.constantFrom("hq-", "gt-", "moo-", "agents-", "desk-", ""), word, fc.constantFrom("-", "_", ""), word)
        .map((parts) => parts.join("")),
      fc.string(),
    );
    fc.assert(
      fc.property(text, (name) => {
        const read = parseName(scheme, name);
        if (!read || read.legacy) return;
        const { legacy: _legacy, ...identity } = read;
        expect(formatName(scheme, identity)).toBe(name);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("names a person reads on a floor or a ship", () => {
  test("S0-58: SPX runs in agents-spx, and agents-spx is SPX", () => {
    const spx = who("agents", { name: "SPX" });
    expect(thereAndBack(floor, spx)).toEqual(["agents-spx", { ...spx, legacy: false }]);
    expect(refusal(() => formatName(floor, who("agents", { name: "Spx" }))).why).toContain("upper case here (SPX)");
    expect(parseName(floor, "agents-SPX")).toBeNull();
  });

  test("people have moo-<user>, operations moo-ops", () => {
    expect([thereAndBack(floor, who("view", { name: "steve" })), thereAndBack(floor, who("ops"))]).toEqual([
      ["moo-steve", { ...who("view", { name: "steve" }), legacy: false }],
      ["moo-ops", { ...who("ops"), legacy: false }],
    ]);
  });

  test("a crew's function may hold underscores; a name without a function is nobody's", () => {
    expect(["clod_bridge", "astra_sovereign_loop", "sisters"].map((name) => parseName(ship, name))).toEqual([
      { ...who("crew-function", { rig: "clod", name: "bridge" }), legacy: false },
      { ...who("crew-function", { rig: "astra", name: "sovereign_loop" }), legacy: false },
      null,
    ]);
  });

  test("S2-36: names that say nothing are refused, names that say something are not", () => {
    const generic = ["session-0", "session-1", "0", "7", "window-1", "session", "Session_2", "pane 3", "tmux", ""];
    expect(generic.filter((name) => !isGenericName(name))).toEqual([]);
    const telling = ["clod_bridge", "sisters", "session-store", "planner-001", "moo-ops", "windows"];
    expect(telling.filter(isGenericName)).toEqual([]);
    expect(["session-0", "0"].map(whyBadName)).toEqual(Array(2).fill("it does not tell what lives inside"));
    expect(refusal(() => formatName(ship, who("crew-function", { rig: "session", name: "0" }))).code).toBe("BAD_NAME");
  });
});

describe("names tmux would change or misread", () => {
  const refused: [string, string][] = [
    ["a.b", 'tmux would change it to "a_b"'],
    ["a:b", 'tmux would change it to "a_b"'],
    ["", "empty"],
    ["-a", "taken for an option"],
    ["=a", "exact match"],
    ["$1", "an id"],
    ["@1", "an id"],
    ["%1", "an id"],
    ["a*", "patterns"],
    ["a?", "patterns"],
    ["a[b]", "patterns"],
    ["a b", "not allowed"],
    ["a\tb", "not allowed"],
    ["a#{pid}", "not allowed"],
    ["café", "é is not allowed"],
    ["a".repeat(65), "65 characters"],
  ];
  test.each(refused)("S1-64: %j is refused with the reason", (name, why) => {
    expect(whyBadName(name)).toContain(why);
    expect(parseName(schemeOf({ any: "<name>" }), name)).toBeNull();
    expect(refusal(() => formatName(schemeOf({ any: "<name>" }), who("any", { name })))).toMatchObject({
      code: "BAD_NAME",
      why: expect.any(String),
    });
  });

  test("S1-64: a town whose name tmux would change is refused, never silently changed", () => {
    expect(refusal(() => mayorSessionName("gt.12")).why).toContain('tmux would change it to "gt_12"');
  });

  test("two names that are one session in tmux are found, with everybody who asked for it", () => {
    expect(
      findClashes([
        { name: "gt-gt.12", label: "gt.12" },
        { name: "moo-steve", label: "view of steve" },
        { name: "gt-gt_12", label: "gt_12" },
        { name: "gt-gt:12", label: "gt:12" },
      ]),
    ).toEqual([{ name: "gt-gt_12", labels: ["gt.12", "gt_12", "gt:12"] }]);
  });
});

describe("templates of one's own", () => {
  test("a role of one's own may stand beside a preset's", () => {
    const scheme = schemeOf({ preset: "gastown", dog: "hq-<town>-dog-<name>" });
    const rex = who("dog", { town: "gt11", name: "rex" });
    expect(thereAndBack(scheme, rex)).toEqual(["hq-gt11-dog-rex", { ...rex, legacy: false }]);
    expect(parseName(scheme, "hq-mayor")).toEqual({ ...who("mayor"), legacy: true });
  });

  test("<role> stands for the role", () => {
    expect(formatName(schemeOf({ lead: "hq-<town>-<role>" }), who("lead", { town: "acme" }))).toBe("hq-acme-lead");
  });

  const bad: [string, string | Record<string, string>, string][] = [
    ["an unknown preset", "gaston", "floor, gastown, ship"],
    ["an unknown word", { a: "x-<planet>" }, "<planet> is not one of"],
    ["an open bracket", { a: "x-<town" }, "outside of <…>"],
    ["a character tmux changes", { a: "x.<town>" }, "outside of <…>"],
    ["two words side by side", { a: "<town><rig>" }, "side by side"],
    ["one word twice", { a: "<town>-<town>" }, "the same part"],
    ["three free words", { a: "<crew>_<function>_<user>" }, "the same part"],
    ["an unknown modifier", { a: "<name|upper>" }, "|upper"],
    ["nothing", { a: "" }, "empty"],
    ["a role with capitals", { Lead: "<town>" }, "a role is lower-case"],
    ["two equal templates", { a: "x-<name>", b: "x-<user>" }, 'are read as a "N3"'],
    ["a template that reads everything before it", { any: "<name>", lead: "lead-<town>" }, "are read as any"],
    ["a beginning that is an option", { a: "-<name>" }, "option"],
    ["an unknown word for legacy", { a: "x-<name>", legacy: "maybe" }, "accept or refuse"],
  ];
  test.each(bad)("refused when the plan is read: %s", (_, names, why) => {
    expect(refusal(() => schemeOf(names))).toMatchObject({
      code: "PLAN_INVALID",
      why: expect.stringContaining(why),
      fix: expect.any(String),
    });
  });
});

interface VectorRow {
  id: string;
  op: string;
  input: string & { role: string; town?: string; legacy?: boolean };
  expect: unknown;
}

describe("what the first multi-town design states", () => {
  const file = resolve(import.meta.dirname, "../../test/vectors/names-seed001.json");
  const rows: VectorRow[] = JSON.parse(readFileSync(file, "utf8")).rows;
  /** docs/decisions/names-vectors.md says why. */
  const different: Record<string, unknown> = {
    GN024: { role: "mayor", town: "my-town" },
    GN025: { role: "mayor", town: "a-b-c" },
    GN029: "error",
  };
  /** The answer in the spelling of the rows: empty fields left out, any error is "error". */
  const answer = ({ op, input }: VectorRow): unknown => {
    try {
      if (op === "town-sessions") return townSessions(input).map(({ name }) => name);
      if (op === "town-from-path") return townOfRoot(input);
      if (op === "format-session")
        return input.legacy
          ? legacyMayorSessionName()
          : formatName(gastown, who(input.role, { town: input.town ?? "" }));
      const { legacy: _, ...identity } = parseSessionName(input);
      return Object.fromEntries(Object.entries(identity).filter(([, value]) => value !== ""));
    } catch (error) {
      if (error instanceof BosunError) return "error";
      throw error;
    }
  };

  test.each(rows)("$id $op $input", (row) => {
    const stated = typeof row.expect === "object" && row.expect && "error" in row.expect ? "error" : row.expect;
    expect(answer(row)).toEqual(different[row.id] ?? stated);
    if (row.id in different) expect(different[row.id]).not.toEqual(stated);
  });

  test("every row is tried", () => {
    expect(rows.length).toBe(28);
  });
});
