import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BosunError } from "../../protocol/error.ts";
import { readPlan } from "../plan/read.ts";
import { ANN, Clock, openFloor } from "../registry.fixture.ts";
import { Addresses } from "./addressing.ts";
import { farOf } from "./far.ts";
import { NO_NEIGHBOURS } from "./neighbours.ts";

const PLAN = `version: 1
town: gt11
names: gastown
users: { steve: {} }
groups: { builders: [planner] }
sessions:
  mayor: { role: mayor, run: sleep 9 }
  deacon: { role: deacon, run: sleep 9 }
  boot: { role: boot, run: sleep 9 }
  alpha: { role: dog, run: sleep 9 }
  desk: { windows: [{ name: main, panes: [{ run: sleep 9, agent: { id: planner, type: Claude } }, { run: sleep 9, agent: { id: coder, type: Codex } }] }] }
rigs:
  gastown:
    sessions:
      witness: { role: witness, run: sleep 9 }
      refinery: { role: refinery, run: sleep 9 }
      max: { role: crew, run: sleep 9, agent: { id: crew-max, type: Claude } }
      worker: { role: polecat, name: max, run: sleep 9 }
      joe: { role: crew, run: sleep 9 }
      nux: { role: polecat, run: sleep 9 }
  gt12:
    sessions:
      witness: { role: witness, run: sleep 9 }
      mayor_aide: { role: crew, run: sleep 9 }
`;

let folder: string;
let floor: ReturnType<typeof openFloor>;
let addresses: Addresses;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "bosun-addresses-"));
  floor = openFloor(folder, new Clock());
  const plan = readPlan({
    text: PLAN,
    file: join(folder, "floorplan.yaml"),
    town: undefined,
    readFile: () => "",
    env: {},
  });
  Object.assign(floor.town, { name: { name: "gt11", from: "plan" }, plan });
  await floor.register("toast", { location: "gastown" }, ANN);
  await floor.register("stranger", {}, ANN);
  addresses = new Addresses(floor.town, { ...NO_NEIGHBOURS, towns: () => ["gt12", "gt13"] });
});

afterEach(async () => {
  await floor.close();
  rmSync(folder, { recursive: true });
});

function read(address: string): string {
  try {
    return addresses.whoIs(address);
  } catch (error) {
    if (!(error instanceof BosunError)) throw error;
    return `${error.code} ${error.body.fix ?? ""}`;
  }
}

describe("one of them", () => {
  test.each([
    ["mayor", "mayor"],
    ["mayor/", "mayor"],
    ["gt11/mayor", "mayor"],
    ["gt11/mayor/", "mayor"],
    ["hq-gt11-mayor", "mayor"],
    ["hq-mayor", "mayor"],
    ["gt-boot", "boot"],
    ["deacon/boot", "boot"],
    ["deacon/dogs/alpha", "alpha"],
    ["dog/alpha", "alpha"],
    ["gastown/witness", "gastown/witness"],
    ["gastown/witness/", "gastown/witness"],
    ["gt11/gastown/witness", "gastown/witness"],
    ["gt-gastown-witness", "gastown/witness"],
    ["witness (rig: gastown)", "gastown/witness"],
    ["gastown/crew/max", "crew-max"],
    ["gastown/crew-max", "crew-max"],
    ["crew max (rig: gastown)", "crew-max"],
    ["gt-gastown-crew-max", "crew-max"],
    ["crew-max", "crew-max"],
    ["gastown/polecats/max", "gastown/worker"],
    ["gastown/polecat/max", "gastown/worker"],
    ["gastown/joe", "gastown/joe"],
    ["crew joe (rig: gastown)", "gastown/joe"],
    ["gastown/nux", "gastown/nux"],
    ["gastown/toast", "toast"],
    ["planner", "planner"],
    ["steve", "steve"],
    ["gt11/steve", "steve"],
    ["//gt11/mayor", "mayor"],
    // Other towns.
    ["gt13/mayor", "//gt13/mayor"],
    ["gt13/gastown/crew/max", "//gt13/gastown/crew/max"],
    ["gt13/@witnesses", "//gt13/@witnesses"],
    ["//gt12/mayor", "//gt12/mayor"],
    ["gt12/mayor", "//gt12/mayor"],
  ])("%s is %s", (address, who) => {
    expect(read(address)).toBe(who);
  });

  test.each([
    ["mayorville"],
    ["mayorville/x"],
    ["mayorvill"],
    ["mayor/x"],
    ["hq-mayorville"],
    ["hq-gt12-mayor"],
    ["gastow/nux"],
    ["gastownx/nux"],
    ["nosuchrig/nux"],
    ["nux"],
    ["gastown/planner"],
    ["gastown/stranger"],
    ["gastown/nuxx"],
    ["gastown"],
    ["gastown//nux"],
    ["/nux"],
    ["/"],
    ["//"],
    ["//gt11/nobody"],
    ["gt14/mayor"],
    ["gt11/gt11/mayor"],
    ["crew max (rig: beads)"],
    ["Mayor"],
  ])("%s is nobody, and lands at nobody's door", (address) => {
    expect(read(address)).toMatch(/^UNKNOWN_AGENT/);
  });

  test("what can be read in two ways is refused with a way to write each, and each of them works", () => {
    const written = (address: string): string[] => [...read(address).matchAll(/"([^"]+)"/g)].map(([, text]) => text!);
    expect(read("gastown/max")).toBe('REFUSED write "gastown/crew/max" or "gastown/polecat/max"');
    expect(written("gastown/max").map(read)).toEqual(["crew-max", "gastown/worker"]);
    expect(read("desk")).toBe('REFUSED write "planner" or "coder"');
    // A rig that is called like another town.
    expect(written("gt12/witness").map(read)).toEqual(["gt12/witness", "//gt12/witness"]);
  });

  test("an address that somebody made up is somebody that the plan has, or nobody; never an exception", () => {
    const word = fc.constantFrom(
      "mayor",
      "gastown",
      "gt11",
      "gt12",
      "crew",
      "max",
      "witness",
      "",
      "x",
      "@town",
      "..",
      "deacon",
      "dogs",
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 5 }), fc.constantFrom("/", " ", "//"), (words, between) => {
        const who = read(words.join(between));
        if (/^(UNKNOWN_AGENT|REFUSED)/.test(who)) return;
        const far = farOf(who);
        expect(far !== null || floor.registry.known(who)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("several of them", () => {
  const members = (address: string): string[] => addresses.resolve([address], "mayor", false).recipients.sort();

  test("groups by place and role: @town, @rig/x, @crew/x, @witnesses", () => {
    expect(members("@town")).toEqual(
      [
        ...["alpha", "boot", "coder", "crew-max", "deacon", "gastown/joe", "gastown/nux", "gastown/refinery"],
        ...["gastown/witness", "gastown/worker", "gt12/mayor_aide", "gt12/witness", "planner"],
      ].sort(),
    );
    expect(members("@rig/gt12")).toEqual(["gt12/mayor_aide", "gt12/witness"]);
    expect(members("@crew/gastown")).toEqual(["crew-max", "gastown/joe"]);
    expect(members("@polecats/gastown")).toEqual(["gastown/nux", "gastown/worker"]);
    expect(members("@witnesses")).toEqual(["gastown/witness", "gt12/witness"]);
    expect(members("@refineries")).toEqual(["gastown/refinery"]);
    expect(members("@dogs")).toEqual(["alpha"]);
    expect(members("@builders")).toEqual(["planner"]);
    expect(members("@overseer")).toHaveLength(1);
  });

  test.each(["@rig/nosuch", "@crew/nosuch", "@rig", "@town/gastown", "@nobody", "@witness/gastown/x", "@view"])(
    "%s is no group",
    (address) => {
      expect(() => members(address)).toThrow(expect.objectContaining({ code: "UNKNOWN_AGENT" }));
    },
  );
});
