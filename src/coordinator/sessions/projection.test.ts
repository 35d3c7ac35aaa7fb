import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import type { Event, StoredEvent } from "../../protocol/event.ts";
import {
  credentialByHash,
  credentialInForce,
  credentialsOf,
  currentPlan,
  layoutOf,
  planRevisions,
  sessionRow,
  sessionRows,
  sessionsProjection,
  shareRows,
} from "./projection.ts";

/** The views after these facts, one a second from 1000 ms on, caused by `person:ann`. */
function after(...events: Event[]): DatabaseSync {
  const db = new DatabaseSync(":memory:");
  sessionsProjection.create(db);
  events.forEach((event, index) => {
    const entry: StoredEvent = { position: index + 1, atMs: (index + 1) * 1000, actor: "person:ann", event, hash: "" };
    sessionsProjection.apply(db, entry);
  });
  return db;
}

const wanted = (state: "running" | "stopped"): Event => ({
  type: "session.wanted",
  data: { session: "spx", name: "agents-spx", wanted: state, because: "up" },
});
const started = (epoch: number, adopted = false): Event => ({
  type: "session.started",
  data: { session: "spx", name: "agents-spx", epoch, tmuxId: `$${epoch}`, server: "default", shape: "abc", adopted },
});
const exited = (epoch: number): Event => ({
  type: "session.exited",
  data: { session: "spx", name: "agents-spx", epoch, exit: "signal 9", because: "killed" },
});
const stopped = (epoch: number): Event => ({
  type: "session.stopped",
  data: { session: "spx", name: "agents-spx", epoch, because: "down" },
});

test("a session shows its intent, its run and how the last run ended", () => {
  const db = after(wanted("running"), started(1), exited(1), started(2), {
    type: "session.renamed",
    data: { session: "spx", from: "agents-spx", to: "spx2" },
  });
  const expected = {
    id: "spx",
    name: "spx2",
    wanted: "running",
    wantedBecause: "up",
    wantedAtMs: 1000,
    state: "started",
    sinceMs: 4000,
    epoch: 2,
    restarts: 1,
    tmuxId: "$2",
    server: "default",
    shape: "abc",
    adopted: false,
    lastExit: "signal 9",
    lastExitBecause: "killed",
    former: "agents-spx",
    lastExitAtMs: 3000,
  };
  expect([sessionRow(db, "spx"), sessionRows(db), sessionRow(db, "qqq")]).toEqual([expected, [expected], null]);
});

test("restarts count starts after an exit and respawned panes, not adoption, and begin anew with `up` after `down`", () => {
  const respawned: Event = {
    type: "pane.respawned",
    data: { session: "spx", epoch: 2, pane: "%1", agent: null, because: "exit 1", attempt: 1 },
  };
  const run = [wanted("running"), started(1), exited(1), started(2), respawned, exited(2), started(2, true)];
  const stop = [wanted("stopped"), stopped(2)];
  const restarts = (...events: Event[]) => sessionRow(after(...events), "spx")!.restarts;
  expect([restarts(...run), restarts(...run, ...stop), restarts(...run, wanted("running"))]).toEqual([2, 2, 2]);
  expect(restarts(...run, ...stop, wanted("running"), started(3))).toBe(0);
});

test("what was stopped stays wanted stopped, whatever is seen of it afterwards", () => {
  const row = sessionRow(after(wanted("running"), started(1), wanted("stopped"), stopped(1), exited(1)), "spx")!;
  expect([row.wanted, row.tmuxId]).toEqual(["stopped", null]);
});

test("a credential of a run that has ended is stale, and a revoked one says why", () => {
  const issued = (hash: string, epoch: number, session: string | null): Event => ({
    type: "credential.issued",
    data: { hash, actor: `program:${session ?? "out"}`, role: "agent", session, epoch },
  });
  const db = after(
    issued("one", 1, "spx"),
    started(1),
    exited(1),
    issued("two", 2, "spx"),
    issued("out", 0, null),
    started(2),
    {
      type: "credential.revoked",
      data: { hash: "out", because: "lost" },
    },
  );
  const found = ["one", "two", "out"].map((hash) => credentialByHash(db, hash)!);
  expect(found.map(({ stale, revoked, session }) => ({ stale, revoked, session }))).toEqual([
    { stale: true, revoked: null, session: "spx" },
    { stale: false, revoked: null, session: "spx" },
    { stale: false, revoked: "lost", session: null },
  ]);
  expect([credentialByHash(db, "none"), credentialsOf(db, "spx").map(({ hash }) => hash)]).toEqual([
    null,
    ["one", "two"],
  ]);
});

test("an agent has one credential: a newer one ends the older, in the same session and outside; a session's own go on", () => {
  const issued = (hash: string, actor: string, session: string | null): Event => ({
    type: "credential.issued",
    data: { hash, actor, role: "agent", session, epoch: 1 },
  });
  const db = after(
    issued("a1", "agent:ann", "spx"),
    issued("b1", "agent:bob", null),
    issued("p1", "program:spx", "spx"),
    issued("a2", "agent:ann", "spx"),
    issued("b2", "agent:bob", null),
    issued("p2", "program:spx", "spx"),
  );
  const inForce = ["a1", "a2", "b1", "b2", "p1", "p2"].filter((hash) => credentialByHash(db, hash)!.revoked === null);
  expect(inForce).toEqual(["a2", "b2", "p1", "p2"]);
  expect([credentialInForce(db, "agent:ann"), credentialInForce(db, "agent:nobody")]).toEqual(["a2", null]);
});

test("layouts and shares are kept as last said", () => {
  const layout = (text: string): Event => ({
    type: "view.layout",
    data: { session: "view/steve", window: "main", layout: text },
  });
  const share = (view: string, index: number): Event => ({
    type: "view.shared",
    data: { source: "spx", window: "main", view, index, mode: "link" },
  });
  const db = after(layout("a"), layout("b"), share("view/al", 2), share("view/al", 3), share("view/bo", 1), {
    type: "view.unshared",
    data: { source: "spx", window: "main", view: "view/bo" },
  });
  expect([layoutOf(db, "view/steve", "main"), layoutOf(db, "view/steve", "other")]).toEqual(["b", null]);
  const left = {
    source: "spx",
    window: "main",
    view: "view/al",
    index: 3,
    mode: "link",
    by: "person:ann",
    atMs: 4000,
  };
  expect([shareRows(db), shareRows(db, "view/bo")]).toEqual([[left], []]);
});

test("every applied plan is kept, with who, when and why", () => {
  const applied = (digest: string): Event => ({
    type: "plan.applied",
    data: { file: "/town/floorplan.yaml", digest, text: `# ${digest}`, about: { because: "more agents" } },
  });
  const db = after(applied("d1"), applied("d2"));
  const second = {
    revision: 2,
    file: "/town/floorplan.yaml",
    digest: "d2",
    text: "# d2",
    about: { because: "more agents" },
    by: "person:ann",
    atMs: 2000,
  };
  expect(planRevisions(db)).toEqual([{ ...second, revision: 1, digest: "d1", text: "# d1", atMs: 1000 }, second]);
  expect([currentPlan(db), currentPlan(after())]).toEqual([second, null]);
});
