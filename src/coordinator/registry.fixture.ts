import { EventEmitter } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Event, EventType } from "../protocol/event.ts";
import { schemeOf } from "../protocol/names.ts";
import { MAX_UNREAD, type Plan, type PlanAgent, type PlanSession } from "../protocol/plan.ts";
import { eventList } from "../protocol/session.ts";
import { Credentials } from "./credentials.ts";
import { type Actor, Dispatch, type Stream } from "./dispatch.ts";
import { registerGroups } from "./groups.ts";
import { Leases } from "./leasing.ts";
import { openLedger } from "./log/ledger.ts";
import { registerMail } from "./mail/mail.ts";
import { memoryProjection } from "./memory/projection.ts";
import { messagesProjection } from "./messages/projection.ts";
import { registerMoving } from "./moving.ts";
import { Refusals } from "./refusals.ts";
import { registerAgents } from "./registering.ts";
import { agentEpoch, registryProjection } from "./registry/projection.ts";
import { Registry } from "./registry.ts";
import { Memory } from "./remember.ts";
import { Search } from "./searching.ts";
import { credentialByHash, sessionsProjection } from "./sessions/projection.ts";
import { tasksProjection } from "./tasks/projection.ts";
import type { TmuxPane, TmuxSession, World } from "./tmux/port.ts";
import type { Town } from "./town.ts";

export const ANN: Actor = { name: "person:ann", id: "ann", kind: "person", role: "admin", session: null, epoch: 0 };

export const agent = (id: string): Actor => ({
  name: `agent:${id}`,
  id,
  kind: "agent",
  role: "agent",
  session: null,
  epoch: 1,
});

/** A clock that stands still until it is told otherwise. */
export class Clock {
  ms = Date.parse("2026-04-21T10:00:00Z");
  #runs = false;
  readonly now = (): number => (this.#runs ? Date.now() : this.ms);

  /** From now on it is the machine's. */
  run(): void {
    this.#runs = true;
  }

  pass(seconds: number): void {
    this.ms += seconds * 1000;
  }
}

/** A registry with its ledger, credentials and dispatch in `folder`; no tmux, no socket. Opened again it is the next run. */
export function openFloor(folder: string, clock: Clock) {
  const stateFolder = join(folder, "town");
  mkdirSync(stateFolder, { recursive: true });
  const ledger = openLedger({
    folder: stateFolder,
    projections: [sessionsProjection, registryProjection, messagesProjection, tasksProjection, memoryProjection],
    now: clock.now,
  });
  const credentials = new Credentials(
    stateFolder,
    (hash) => credentialByHash(ledger.views, hash),
    (id) => agentEpoch(ledger.views, id),
  );
  const refusals = new Refusals(ledger, (error) => {
    throw error;
  });
  const events = new EventEmitter();
  const town = Object.assign(events, {
    ledger,
    name: { name: "floor", from: "flag" },
    cradle: { stateFolder, socketPath: join(folder, "socket"), credentials },
    log: { warn: () => {} },
    now: clock.now,
    plan: null as Plan | null,
    blind: null as string | null,
    busy: new Set<string>(),
  }) as unknown as Town;
  const registry = new Registry(town);
  town.registry = registry;
  const dispatch = new Dispatch(refusals);
  dispatch.onCall = (actor, operation, stream) => registry.called(actor, operation, stream);
  registerAgents(dispatch, town);
  registerGroups(dispatch, town);
  const mail = registerMail(dispatch, town);
  const memory = new Memory(dispatch, town);
  const leases = new Leases(dispatch, town);
  const search = new Search(dispatch, town);
  registerMoving(dispatch, town);
  const closers: (() => void)[] = [];
  const ended: string[] = [];
  const stream: Stream = {
    push: () => true,
    onDrain: () => {},
    onClose: (listener) => closers.push(listener),
    end: (because) => ended.push(because),
  };
  dispatch.handle(eventList, () => ({ events: [], next: 0 }));

  return {
    town,
    dispatch,
    registry,
    ledger,
    credentials,
    /** Why streams were ended. */
    ended,
    /** Everybody with a stream leaves. */
    leave(): void {
      for (const close of closers.splice(0)) close();
    },
    // biome-ignore lint/suspicious/noExplicitAny: a test states what it expects of the answer itself
    call: (actor: Actor | (() => Actor), operation: string, input: unknown = {}, key?: string): Promise<any> =>
      dispatch.enter(typeof actor === "function" ? actor : () => actor, operation, input, { key, stream }),
    register: (id: string, more: Record<string, unknown> = {}, actor: Actor = ANN) =>
      dispatch.enter(
        () => actor,
        "agent.register",
        { id, name: id, type: "Claude", ...more },
        { key: undefined, stream },
      ),
    /** Data of all entries of a kind, oldest first. */
    entries: <T extends EventType>(type: T) =>
      ledger
        .read(0, 100_000)
        .filter((entry) => entry.event.type === type)
        .map((entry) => ({ actor: entry.actor, ...(entry.event.data as Extract<Event, { type: T }>["data"]) })),
    async close() {
      registry.close();
      await mail.close();
      memory.close();
      leases.close();
      search.close();
      await refusals.close();
      await ledger.close();
    },
  };
}

/** A plan of one session `spx` with one pane per agent. */
export function planOf(agents: PlanAgent[], groups: Record<string, string[]> = {}): Plan {
  const panes = agents.map((each) => ({ title: each.id, run: null, cwd: "/", env: {}, agent: each, face: null }));
  const windows = [{ name: "main", layout: null, panes, job: null }];
  const session = {
    id: "spx",
    name: "agents-spx",
    kind: "agents",
    role: null,
    rig: null,
    member: null,
    windows,
  } as unknown as PlanSession;
  return {
    town: "floor",
    names: schemeOf(undefined),
    sessions: [session],
    users: [{ id: "steve", role: "viewer", view: null }],
    groups,
    rigs: [],
    limits: { sendsPerMinute: null, unread: MAX_UNREAD, sessions: 10 },
  } as unknown as Plan;
}

export function planAgent(id: string, more: Partial<PlanAgent> = {}): PlanAgent {
  return { id, type: "Claude", profile: null, capabilities: [], user: null, ask: "auto", ...more };
}

/** A look at tmux that finds the session `spx` with these panes, one per agent. */
export function worldOf(panes: { pid: number; dead?: boolean; exit?: string }[]): World {
  const found = panes.map(
    ({ pid, dead = false, exit = null }, index): TmuxPane => ({
      id: `%${index}` as TmuxPane["id"],
      slot: `0.${index}`,
      pid,
      dead,
      exit,
      title: "",
      inMode: false,
      columns: 80,
      rows: 24,
    }),
  );
  const session = {
    id: "$1",
    name: "agents-spx",
    createdAtS: 0,
    attached: 0,
    marks: { town: "floor", id: "spx", epoch: 1, shape: "" },
    windows: [{ panes: found }],
  } as unknown as TmuxSession;
  return { server: "1:1", serverPid: 1, version: "3.5", atMs: 0, sessions: [session] };
}
