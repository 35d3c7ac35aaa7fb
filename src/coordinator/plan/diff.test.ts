import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Plan, PlanSession } from "../../protocol/plan.ts";
import type { SessionId, TmuxSession, World } from "../tmux/port.ts";
import {
  type DiffOptions,
  diff,
  type Former,
  type PlannedStep,
  type Remembered,
  startOrder,
  startWaves,
  stopWaves,
} from "./diff.ts";

const ALL: DiffOptions = { only: null, restart: true, yes: true };
const CAREFUL: DiffOptions = { only: null, restart: false, yes: false };

function declared(id: string, change: Partial<PlanSession> = {}): PlanSession {
  return {
    id,
    name: id,
    was: [],
    kind: "agents",
    about: "",
    role: null,
    rig: null,
    member: null,
    room: null,
    headless: false,
    protect: false,
    access: null,
    start: "boot",
    schedule: null,
    restart: { policy: "never", spec: {} },
    idleMs: null,
    documented: {},
    health: null,
    chapter: null,
    chat: null,
    after: [],
    needs: [],
    instance: null,
    groupStrategy: "one",
    stop: { signal: null, graceMs: 1_000, last: "SIGKILL", scope: "tree" },
    startTimeoutMs: 60_000,
    host: null,
    worktree: false,
    shell: "/bin/sh",
    windows: [],
    shape: "s",
    at: { line: 1, column: 1 },
    ...change,
  };
}

function planOf(sessions: PlanSession[]): Plan {
  return {
    version: 1,
    town: "t",
    file: "/f",
    digest: "d",
    about: {},
    names: { preset: "floor", templates: {}, legacy: "accept" },
    tmux: { socket: "x", config: null, size: { columns: 80, rows: 24 } },
    rooms: [],
    sessions,
    rigs: [],
    users: [],
    groups: {},
    limits: { sendsPerMinute: null, unread: 100_000, sessions: 10, disk: 0.95 },
    services: [],
    jobs: [],
    alerts: { P0: [], P1: [], P2: [], P3: [], P4: [] },
    hosts: {},
    broker: null,
    notes: [],
  };
}

let nextId = 0;
function found(
  name: string,
  marks: Partial<NonNullable<TmuxSession["marks"]>> | null,
  change: Partial<TmuxSession> = {},
): TmuxSession {
  return {
    id: `$${nextId++}` as SessionId,
    name,
    createdAtS: 0,
    attached: 0,
    marks: marks && { town: "t", id: name, epoch: 1, shape: "s", ...marks },
    windows: [],
    ...change,
  };
}

const worldOf = (sessions: TmuxSession[]): World => ({
  server: "1:1",
  serverPid: 1,
  version: "3.3a",
  atMs: 0,
  sessions,
});
const NOTHING: ReadonlyMap<string, Remembered> = new Map();

/** What applying the steps would leave: tmux as a list. */
function apply(world: TmuxSession[], steps: PlannedStep[]): TmuxSession[] {
  let now = world;
  for (const step of steps) {
    if (step.needs !== null) continue;
    if (step.do === "stop" || step.do === "restart") now = now.filter((session) => session.id !== step.found!.id);
    if (step.do === "create" || step.do === "restart")
      now = [...now, found(step.name, { id: step.session, epoch: 9, shape: step.declared!.shape })];
    if (step.do === "rename")
      now = now.map((session) => (session.id === step.found!.id ? { ...session, name: step.name } : session));
  }
  return now;
}

const ids = fc.constantFrom("a", "b", "c", "d", "e");
const anySession = fc.record({
  name: fc.constantFrom("a", "b", "c", "d", "e", "x", "y"),
  marks: fc.option(
    fc.record({
      town: fc.constantFrom("t", "t", "t", "other"),
      id: fc.constantFrom("a", "b", "c", "d", "e", "gone"),
      epoch: fc.integer({ min: 1, max: 4 }),
      shape: fc.constantFrom("s", "old"),
    }),
  ),
  attached: fc.constantFrom(0, 0, 1),
});
/** tmux allows a name once; ours bear their own name, or one of before that no plan uses any more. */
const anyWorld = fc
  .array(anySession, { maxLength: 7 })
  .map((sessions) =>
    sessions.map((one) =>
      one.marks?.town === "t" && !["x", "y"].includes(one.name) ? { ...one, name: one.marks.id } : one,
    ),
  )
  .map((sessions) => [
    ...new Map(sessions.map((one) => [one.name, found(one.name, one.marks, { attached: one.attached })])).values(),
  ]);
const anyPlan = fc
  .uniqueArray(ids, { minLength: 1 })
  .map((names) => planOf(names.map((id) => declared(id, { protect: id === "e" }))));

describe("whatever is found", () => {
  test("each declared session ends up running exactly once, unless a stranger has its name", () => {
    fc.assert(
      fc.property(anyPlan, anyWorld, (plan, world) => {
        let now = world;
        for (let round = 0; round < 4; round++) now = apply(now, diff(plan, worldOf(now), NOTHING, ALL).steps);
        for (const { id, name } of plan.sessions) {
          const running = now.filter((session) => session.marks?.town === "t" && session.marks.id === id);
          const blocked = now.some(
            (session) => session.name === name && (session.marks?.town !== "t" || session.marks.id !== id),
          );
          if (blocked) expect(running.length).toBeLessThanOrEqual(1);
          else expect(running.map((session) => [session.name, session.marks!.shape])).toEqual([[name, "s"]]);
        }
        expect(now.filter((session) => session.marks?.town === "t" && session.marks.id === "gone")).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test("nothing is done to what does not carry our mark", () => {
    fc.assert(
      fc.property(anyPlan, anyWorld, fc.constantFrom(ALL, CAREFUL), (plan, world, options) => {
        const { steps, strangers } = diff(plan, worldOf(world), NOTHING, options);
        const foreign = new Set(world.filter((session) => session.marks?.town !== "t").map((session) => session.id));
        for (const step of steps)
          if (step.found && foreign.has(step.found.id)) expect([step.do, step.needs]).toEqual(["none", "name-taken"]);
        expect(strangers.map((session) => session.id).sort()).toEqual([...foreign].sort());
      }),
    );
  });

  test("without consent nothing that runs is ended but a double, and nobody who is attached is disturbed", () => {
    fc.assert(
      fc.property(anyPlan, anyWorld, (plan, world) => {
        for (const step of diff(plan, worldOf(world), NOTHING, CAREFUL).steps) {
          if (step.needs !== null || !step.destructive) continue;
          expect(step.why).toMatch(/second session with the same id/);
          expect([
            step.found!.attached,
            plan.sessions.find((one) => one.id === step.session)?.protect ?? false,
          ]).toEqual([0, false]);
        }
      }),
    );
  });
});

test("what is as declared and remembered so takes no step", () => {
  const remembered = new Map([["a", { id: "a", wanted: "running" as const, epoch: 1 }]]);
  expect(
    diff(planOf([declared("a")]), worldOf([found("a", {})]), remembered, CAREFUL).steps.map((step) => step.do),
  ).toEqual(["none"]);
});

test("order follows after, and those that wait for nobody start side by side", () => {
  const sessions = [
    declared("boot", { after: ["deacon"] }),
    declared("deacon"),
    declared("mayor"),
    declared("late", { after: ["boot", "mayor"] }),
  ];
  expect(startOrder(sessions)).toEqual(["deacon", "boot", "mayor", "late"]);
  expect(startWaves(sessions).map((wave) => wave.map((one) => one.id))).toEqual([
    ["deacon", "mayor"],
    ["boot"],
    ["late"],
  ]);
});

describe("the order in which sessions end", () => {
  const of = (id: string, role: string | null, rig: string | null = null, after: string[] = []) => ({
    id,
    role,
    rig,
    after,
  });

  test("S1-31, S1-41: workers, then Mayor, Boot, Deacon", () => {
    const sessions = [
      of("deacon", "deacon"),
      of("mayor", "mayor"),
      of("boot", "boot", null, ["deacon"]),
      of("gastown/witness", "witness", "gastown"),
      of("gastown/max", "crew", "gastown", ["gastown/witness"]),
      of("logs", null),
    ];
    expect(stopWaves(sessions).map((wave) => wave.map(({ id }) => id).sort())).toEqual([
      ["gastown/max"],
      ["gastown/witness", "logs"],
      ["mayor"],
      ["boot"],
      ["deacon"],
    ]);
  });

  test("what the plan says of it counts more", () => {
    const sessions = [of("mayor", "mayor", null, ["db"]), of("db", null), of("deacon", "deacon")];
    expect(stopWaves(sessions).map((wave) => wave.map(({ id }) => id))).toEqual([["mayor"], ["db"], ["deacon"]]);
  });
});

describe("what ran before bosun did", () => {
  const plan = planOf([declared("new", { was: ["old"] })]);
  const steps = (sessions: TmuxSession[], former: Partial<Former> & { session: TmuxSession }) =>
    diff(plan, worldOf(sessions), NOTHING, {
      ...CAREFUL,
      formers: new Map([["new", { proof: "GT_ROOT=/gt", named: true, ...former }]]),
    }).steps.map(({ do: what, why, needs, found: at }) => [what, why, needs, at?.name]);
  const old = found("old", null);

  test("is taken over when the plan gives its name and something proves whose it is, whenever it would start", () => {
    const adopted = [["adopt", "it runs as old (GT_ROOT=/gt)", null, "old"]];
    expect(steps([old], { session: old })).toEqual(adopted);
    plan.sessions[0]!.start = "manual";
    expect(steps([old], { session: old })).toEqual(adopted);
    plan.sessions[0]!.start = "boot";
  });

  test("holds the declared one back until a person decides, where the plan or the proof is missing", () => {
    expect(steps([old], { session: old, proof: null })).toMatchObject([
      ["none", expect.stringContaining("nothing shows"), expect.stringContaining("bosun adopt old"), "old"],
    ]);
    expect(steps([old], { session: old, named: false })).toMatchObject([["adopt", expect.any(String), null, "old"]]);
    expect(steps([old], { session: old, named: false, proof: null })).toMatchObject([
      ["create", expect.any(String), null, undefined],
    ]);
  });

  test("never takes the place of a stranger with the declared name", () => {
    const stranger = found("new", null);
    expect(steps([old, stranger], { session: old })).toMatchObject([["none", expect.any(String), "name-taken", "new"]]);
    // Itself under that name it is taken over, and unproven it is such a stranger.
    expect(steps([stranger], { session: stranger })).toMatchObject([["adopt", expect.any(String), null, "new"]]);
    expect(steps([stranger], { session: stranger, proof: null })).toMatchObject([
      ["none", expect.any(String), "name-taken", "new"],
    ]);
  });
});
