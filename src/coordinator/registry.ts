import { join } from "node:path";
import { CATALOGUE } from "../protocol/catalogue.ts";
import { BosunError } from "../protocol/error.ts";
import type { Event, StoredEvent } from "../protocol/event.ts";
import { nearest } from "../protocol/nearest.ts";
import { agentsOf, type PlacedAgent, type Plan, type PlanAgent } from "../protocol/plan.ts";
import type { AgentInfo, AgentStatus } from "../protocol/registry.ts";
import { owner } from "./credentials.ts";
import type { Actor, Stream } from "./dispatch.ts";
import type { Ledger } from "./log/ledger.ts";
import { unreadOf } from "./messages/projection.ts";
import { declaredPanes } from "./plan/diff.ts";
import { COORDINATOR, factsOf, mayReturn, registrationOf, statusEvent } from "./registry/decide.ts";
import {
  type AgentRow,
  agentEpoch,
  agentIdsFrom,
  agentRow,
  agentsPage,
  type GroupKind,
  groupsOf,
  housedAgents,
  lastEpoch,
  membersOf,
  presentAgents,
} from "./registry/projection.ts";
import { Signs } from "./registry/signs.ts";
import { isEnrolled, sessionRow } from "./sessions/projection.ts";
import type { TmuxPane, World } from "./tmux/port.ts";

/** How the reason begins when nothing but silence speaks for it. */
const SILENCE = "no sign of life";

/** How often silence is looked for; whoever asks in between is told exactly all the same. */
const SWEEP_EVERY_MS = 1_000;

/** A crash loses at most this much of what was last seen of agents; leases count from the start anyway. */
const SAVE_EVERY_MS = 30_000;

/** Agents whose status is written in one turn; the rest follow in the next, and others get theirs in between. */
const WRITE_LIMIT = 500;

/** So many of those who can do something are compared. */
const CANDIDATES = 100;

/** Better to give work to an earlier one. */
const WORK_ORDER: readonly AgentStatus[] = ["idle", "active", "waiting", "working"];

/** Other agents shown to somebody who mistyped a name, and among how many registered ones they are looked for. */
const NEAR = 5;
const LOOKED_AT = 500;

/** What the registry needs of its town. */
export interface Floor {
  readonly ledger: Ledger;
  readonly cradle: { readonly stateFolder: string };
  readonly log: { warn(detail: object, message: string): void };
  readonly now: () => number;
  /** The plan in force, or null. */
  readonly plan: Plan | null;
  /** Why the last look at tmux failed, or null. */
  readonly blind: string | null;
  /** Sessions being started or stopped right now. */
  readonly busy: ReadonlySet<string>;
  on(event: "world", listener: (world: World | null) => void): unknown;
  on(event: "plan", listener: (plan: Plan) => void): unknown;
}

/**
 * Who is there. Facts come from the log, signs of life from memory: pings, calls of the agents themselves, panes seen alive.
 *
 * A status in the log lags behind the clock by the time a write takes. What is read here never does: who has just fallen
 * silent reads as offline, who has just called reads as active, and the event follows.
 */
export class Registry {
  readonly #town: Floor;
  readonly #heard = new Map<string, number>();
  readonly #signs: Signs;
  /** Overdue or ended, and not yet offline in the log; with what says so. */
  readonly #silent = new Map<string, string>();
  /** Seen again, and still offline in the log; with what was seen. */
  readonly #reviving = new Map<string, string>();
  /** Streams that agents follow, each with the epoch it was opened in. */
  readonly #streams = new Map<string, Set<{ epoch: number; stream: Stream }>>();
  #placed: { plan: Plan | null; byId: Map<string, PlacedAgent> } = { plan: null, byId: new Map() };
  readonly #timers: NodeJS.Timeout[];
  readonly #leave: () => void;
  #settling: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(town: Floor) {
    this.#town = town;
    this.#signs = new Signs(join(town.cradle.stateFolder, "presence.json"), town.now());
    for (const { id, leaseS } of presentAgents(town.ledger.views)) this.#signs.await(id, leaseS * 1000);
    this.#leave = town.ledger.tail((entry) => this.#follow(entry));
    let plan: Plan | null = town.plan;
    town.on("world", (world) => this.#lookedAt(world));
    town.on("plan", (next) => {
      if (plan) this.#followPlan(plan, next);
      plan = next;
    });
    this.#timers = [
      setInterval(() => void this.settle(), SWEEP_EVERY_MS),
      setInterval(() => this.#save(), SAVE_EVERY_MS),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  /** Registered, declared in the plan, or a person of the town: mail to it has somebody to read it. */
  known(id: string): boolean {
    const { views } = this.#town.ledger;
    return agentEpoch(views, id) !== null || this.reserved(id) !== null || isEnrolled(views, id);
  }

  /** What of the plan has this id, in words, or null: such an id is nobody's to register. */
  reserved(id: string): string | null {
    const { plan } = this.#town;
    if (this.declared(id)) return "an agent of the floor plan";
    if (plan?.users.some((user) => user.id === id)) return "a user of the floor plan";
    if (plan?.sessions.some((session) => session.id === id)) return "a session of the floor plan";
    if (id === owner().id) return "the person who owns this town";
    return id === COORDINATOR ? "the coordinator itself" : null;
  }

  /** An agent of the plan and its place, or null. */
  declared(id: string): PlacedAgent | null {
    const { plan } = this.#town;
    if (this.#placed.plan !== plan) {
      const placed = agentsOf(plan?.sessions ?? []);
      this.#placed = { plan, byId: new Map(placed.map((each) => [each.agent.id, each])) };
    }
    return this.#placed.byId.get(id) ?? null;
  }

  /** Null when nobody is registered under this id. */
  info(id: string): AgentInfo | null {
    this.#hear();
    const row = agentRow(this.#town.ledger.views, id);
    return row ? this.describe(row) : null;
  }

  /** Throws UNKNOWN_AGENT with names near to it. */
  row(id: string): AgentRow {
    const row = agentRow(this.#town.ledger.views, id);
    if (!row) throw this.unknown(id);
    return row;
  }

  unknown(id: string): BosunError {
    const near = this.near(id);
    return new BosunError({
      code: "UNKNOWN_AGENT",
      what: `nobody is registered as "${id}"`,
      ...(near.length > 0 ? { why: `near it: ${near.join(", ")}` } : {}),
      fix: "bosun list --all   shows who is registered; bosun register ID NAME TYPE adds one",
    });
  }

  /** Ids one could have meant, registered or declared: the likeliest first, a few. */
  near(id: string): string[] {
    const registered = agentIdsFrom(this.#town.ledger.views, id.slice(0, 1), LOOKED_AT);
    const declared = agentsOf(this.#town.plan?.sessions ?? []).map((placed) => placed.agent.id);
    const users = (this.#town.plan?.users ?? []).map((user) => user.id);
    const known = [...new Set([...registered, ...declared, ...users])];
    const best = nearest(id, known);
    const alike = known.filter((each) => each.startsWith(id.slice(0, 3)));
    return [...new Set([...(best === null ? [] : [best]), ...alike])].slice(0, NEAR);
  }

  /** Ids of all agents that are registered and not offline. */
  present(): string[] {
    this.#hear();
    const ids = presentAgents(this.#town.ledger.views)
      .map((row) => row.id)
      .filter((id) => !this.#silent.has(id));
    return this.#reviving.size === 0 ? ids : [...new Set([...ids, ...this.#reviving.keys()])].sort();
  }

  /**
   * Ids of present agents that have all of these, the best to give work to first: idle, active, waiting, working; then least unread.
   * Some hundred of them at most: enough to choose from, whatever else is registered.
   */
  withCapabilities(capabilities: string[]): string[] {
    const { views } = this.#town.ledger;
    this.#hear();
    // Those who just came back are still offline in the log.
    const back = [...this.#reviving.keys()].flatMap((id) => agentRow(views, id) ?? []);
    const found = back.filter((row) => capabilities.every((each) => row.capabilities.includes(each)));
    for (const status of WORK_ORDER) {
      if (found.length >= CANDIDATES) break;
      found.push(...agentsPage(views, [status], { capabilities }, "", CANDIDATES));
    }
    return found
      .map((row) => ({ id: row.id, rank: WORK_ORDER.indexOf(this.statusOf(row)), unread: this.#unread(row) }))
      .filter(({ rank }) => rank >= 0)
      .sort((a, b) => a.rank - b.rank || a.unread - b.unread)
      .map(({ id }) => id);
  }

  /** Members of a group or topic at this moment, those of the plan included; null when there is no such group. */
  members(kind: "group" | "topic", name: string): string[] | null {
    const declared = this.declaredMembers(kind, name);
    const joined = membersOf(this.#town.ledger.views, kind, name);
    if (!declared && joined.length === 0) return null;
    return [...new Set([...(declared ?? []), ...joined])].sort();
  }

  /** By the floor plan; null when it has no such group. */
  declaredMembers(kind: GroupKind, name: string): string[] | null {
    const groups = this.#town.plan?.groups ?? {};
    return kind === "group" && Object.hasOwn(groups, name) ? groups[name]! : null;
  }

  /** 0 for somebody who was never registered. */
  epochOf(id: string): number {
    return lastEpoch(this.#town.ledger.views, id)?.epoch ?? 0;
  }

  /** `alive` null: nobody can tell. */
  alive(id: string): { alive: boolean | null; evidence: string; seenMs: number | null } {
    this.#hear();
    const row = agentRow(this.#town.ledger.views, id);
    if (!row) return { alive: null, evidence: "nobody has registered it", seenMs: null };
    const seenMs = Math.max(0, this.#town.now() - this.#lastSeenMs(row));
    return { alive: this.statusOf(row) !== "offline", evidence: this.#evidence(row), seenMs };
  }

  /** It called, or was seen: counts as a sign of life. `what` is one line that says which. */
  seen(id: string, what = "its own call"): void {
    this.#hear();
    // Awaited: registered and not offline. Nothing but its clock changes.
    if (this.#signs.awaits(id)) {
      this.#signs.note(id, this.#town.now(), what);
      return;
    }
    const row = agentRow(this.#town.ledger.views, id);
    if (!row) return;
    this.#signs.note(id, this.#town.now(), what);
    this.#silent.delete(id);
    if (row.status !== "offline") this.#signs.await(id, row.leaseS * 1000);
    else if (mayReturn(row) && !this.#reviving.has(id)) {
      this.#reviving.set(id, what);
      void this.settle();
    }
  }

  /** Somebody's credential counted. A ping tells what the agent was before, so it counts itself. */
  called(actor: Actor, operation: string, stream: Stream): void {
    if (actor.kind !== "agent") return;
    if (actor.via === undefined) this.#heard.set(actor.id, this.#town.now());
    if (CATALOGUE.get(operation)?.streams) this.#follows(actor, stream);
    if (operation === "agent.ping") return;
    this.seen(actor.id, actor.via === undefined ? "its own call" : `a call of ${actor.via} as it`);
  }

  /** When it last called by itself, milliseconds since 1970; null = not since we were started. */
  heardAt(id: string): number | null {
    return this.#heard.get(id) ?? null;
  }

  /** Whoever follows something says nothing for hours; that it is there is seen by its connection. */
  #follows({ id, epoch }: Actor, stream: Stream): void {
    const streams = this.#streams.get(id) ?? new Set();
    this.#streams.set(id, streams);
    const mine = { epoch, stream };
    streams.add(mine);
    stream.onClose(() => {
      streams.delete(mine);
      if (streams.size === 0 && this.#streams.get(id) === streams) this.#streams.delete(id);
      if (!this.#closed && epoch === this.epochOf(id)) this.seen(id, "it was listening");
    });
  }

  /** What is said to an agent is not said to runs of it that have ended. */
  #endStreams(id: string, before: number): void {
    for (const { epoch, stream } of [...(this.#streams.get(id) ?? [])]) {
      if (epoch < before) stream.end(`this run of ${id} has ended: its credential does not count any more`);
    }
  }

  /** What it is at this moment, whatever the log has heard so far. */
  statusOf(row: AgentRow): AgentStatus {
    this.#hear();
    if (this.#silent.has(row.id)) return "offline";
    return this.#reviving.has(row.id) ? "active" : row.status;
  }

  #unread(row: AgentRow): number {
    return unreadOf(this.#town.ledger.views, { who: row.id, epoch: row.epoch, nowMs: this.#town.now() }).unread;
  }

  describe(row: AgentRow): AgentInfo {
    const status = this.statusOf(row);
    const declared = Object.entries(this.#town.plan?.groups ?? {}).filter(([, members]) => members.includes(row.id));
    const joined = groupsOf(this.#town.ledger.views, row.id);
    return {
      session_id: row.id,
      agent_name: row.name,
      agent_type: row.type,
      status,
      started_at: rfc3339(row.startedAtMs),
      last_ping: rfc3339(this.#lastSeenMs(row)),
      human_user: row.user,
      location: row.location,
      capabilities: row.capabilities,
      current_task: row.task,
      metadata: row.metadata as AgentInfo["metadata"],
      groups: [...new Set([...declared.map(([name]) => name), ...joined])].sort(),
      epoch: row.epoch,
      lease_s: row.leaseS,
      session: row.session,
      since: rfc3339(status === row.status ? row.sinceMs : this.#lastSeenMs(row)),
      evidence: this.#evidence(row),
      unread: this.#unread(row),
    };
  }

  /** Reads from now on show in the log, too, what the clock says: who fell silent, who came back. Never rejects. */
  settle(): Promise<void> {
    this.#hear();
    if (this.#silent.size + this.#reviving.size === 0) return this.#settling;
    this.#settling = this.#settling.then(() => this.#write());
    return this.#settling;
  }

  /**
   * The registration of an agent whose pane is about to be started, one epoch above its last; to be appended before the
   * start, together with its credential, so that its first call already comes from a registered agent.
   */
  housed(agent: PlanAgent, session: string, sessionEpoch: number): Event {
    const epoch = Math.max(this.epochOf(agent.id) + 1, sessionEpoch);
    return registrationOf(agent, session, epoch);
  }

  close(): void {
    this.#closed = true;
    this.#leave();
    for (const timer of this.#timers) clearInterval(timer);
    this.#save();
  }

  /** What is remembered of an agent follows what the log says of it, whoever wrote that. */
  #follow({ event, actor }: StoredEvent): void {
    if (event.type === "agent.registered") {
      const { agent, epoch, leaseS, session, startedAtMs, status } = event.data;
      this.#endStreams(agent, epoch);
      const what = session === null ? `registered by ${actor}` : "its pane was started";
      // Moved in from elsewhere it has not been seen here.
      if (startedAtMs === null) this.#signs.note(agent, this.#town.now(), what);
      this.#settled(agent, status, leaseS);
    } else if (event.type === "agent.status") {
      const { agent, status, because } = event.data;
      const row = agentRow(this.#town.ledger.views, agent);
      if (!row) return;
      const said = actor === `agent:${agent}` ? "its own call" : because;
      if (actor !== COORDINATOR && status !== "offline") this.#signs.note(agent, this.#town.now(), said);
      this.#settled(agent, status, row.leaseS);
    } else if (event.type === "agent.unregistered") {
      this.#endStreams(event.data.agent, Number.POSITIVE_INFINITY);
      this.#settled(event.data.agent, "offline", 0);
      this.#signs.forget(event.data.agent);
    }
  }

  /** The log says the status. */
  #settled(id: string, status: AgentStatus, leaseS: number): void {
    this.#silent.delete(id);
    this.#reviving.delete(id);
    if (status === "offline") this.#signs.release(id);
    else this.#signs.await(id, leaseS * 1000);
  }

  /** Takes notice of leases that have ended by now. */
  #hear(): void {
    for (const id of this.#signs.takeOverdue(this.#town.now())) {
      const row = agentRow(this.#town.ledger.views, id);
      if (!row || row.status === "offline") continue;
      if (this.#streams.has(id)) {
        this.#signs.note(id, this.#town.now(), "it is listening");
        this.#signs.await(id, row.leaseS * 1000);
        continue;
      }
      // While tmux cannot be asked, the silence of a pane of ours means nothing.
      if (row.session !== null && this.#town.blind !== null && this.declared(id)) {
        this.#signs.defer(id, row.leaseS * 1000, this.#town.now());
      } else this.#silent.set(id, `${SILENCE} for ${row.leaseS} s`);
    }
  }

  async #write(): Promise<void> {
    const silent = [...this.#silent].slice(0, WRITE_LIMIT);
    const reviving = [...this.#reviving].slice(0, WRITE_LIMIT);
    if (this.#closed || silent.length + reviving.length === 0) return;
    try {
      await this.#town.ledger.write({
        actor: COORDINATOR,
        decide: (views) => {
          const gone = silent
            .map(([id, because]) => ({ row: this.#silent.has(id) ? agentRow(views, id) : null, because }))
            .flatMap(({ row, because }) =>
              row && row.status !== "offline" ? statusEvent(row, "offline", because) : [],
            );
          const back = reviving
            .map(([id, what]) => ({ row: this.#reviving.has(id) ? agentRow(views, id) : null, what }))
            .flatMap(({ row, what }) =>
              row && mayReturn(row) ? statusEvent(row, "active", `seen again: ${what}`) : [],
            );
          return { events: [...gone, ...back], result: null };
        },
      });
    } catch (error) {
      // They stay as they are in memory; the next sweep tries again.
      this.#town.log.warn({ err: error }, "the status of silent agents cannot be written");
      return;
    }
    // Those without an event, because the log said so already.
    for (const [id] of silent) this.#silent.delete(id);
    for (const [id] of reviving) this.#reviving.delete(id);
    await this.#write();
  }

  /** Agents of the plan are there while the processes of their panes are. What is started or stopped right now is no news. */
  #lookedAt(world: World | null): void {
    const { plan, busy, ledger } = this.#town;
    if (!plan || this.#closed) return;
    const panes = panesOf(world, plan.town);
    const housed = new Map(housedAgents(ledger.views).map((row) => [row.id, row]));
    const unheardOf: PlacedAgent[] = [];
    for (const placed of agentsOf(plan.sessions)) {
      const { agent, session, slot } = placed;
      if (busy.has(session.id)) continue;
      const pane = panes.get(`${session.id} ${slot}`);
      const row = housed.get(agent.id);
      if (pane && !pane.dead) {
        if (row) this.seen(agent.id, `pane ${pane.id} lives, pid ${pane.pid}`);
        else unheardOf.push(placed);
      } else if (row?.session === session.id && this.statusOf(row) !== "offline") {
        this.#signs.release(row.id);
        this.#silent.set(row.id, pane ? `pane ${pane.id} ended: ${pane.exit ?? "?"}` : "its session does not run");
      }
    }
    void this.settle();
    this.#append(
      (views) => unheardOf.flatMap((placed) => this.#found(views, placed)),
      unheardOf.length,
      "found agents",
    );
  }

  /** It was started before there was a registry; whoever else has the id lost it to the plan. */
  #found(views: Ledger["views"], { agent, session }: PlacedAgent): Event[] {
    if (agentRow(views, agent.id)?.session) return [];
    return [this.housed(agent, session.id, sessionRow(views, session.id)?.epoch ?? 1)];
  }

  /** Another plan says other things of agents that run on: they are registered with them, in the same epoch. */
  #followPlan(before: Plan, next: Plan): void {
    const old = new Map(agentsOf(before.sessions).map(({ agent, session }) => [agent.id, factsOf(agent, session.id)]));
    const events = agentsOf(next.sessions).flatMap(({ agent, session }): Event[] => {
      const row = agentRow(this.#town.ledger.views, agent.id);
      if (!row || row.session === null || old.get(agent.id) === factsOf(agent, session.id)) return [];
      const registration = registrationOf(agent, session.id, row.epoch);
      return [{ ...registration, data: { ...registration.data, status: row.status, task: row.task } }];
    });
    this.#append(() => events, events.length, "what another plan says of agents");
  }

  #append(decide: (views: Ledger["views"]) => Event[], expected: number, what: string): void {
    if (expected === 0) return;
    this.#town.ledger
      .write({ actor: COORDINATOR, decide: (views) => ({ events: decide(views), result: null }) })
      .catch((error: unknown) => this.#town.log.warn({ err: error }, `${what} cannot be written`));
  }

  #lastSeenMs(row: AgentRow): number {
    return Math.max(this.#signs.last(row.id)?.atMs ?? 0, row.registeredAtMs);
  }

  #evidence(row: AgentRow): string {
    const sign = this.#signs.last(row.id);
    const seen = sign?.what ? `${sign.what}, ${ageOf(this.#town.now() - sign.atMs)}` : null;
    if (this.statusOf(row) !== "offline") {
      return seen ?? `registered by ${row.registeredBy}, last seen ${rfc3339(this.#lastSeenMs(row))}`;
    }
    const because =
      this.#silent.get(row.id) ?? (row.statusBy === COORDINATOR ? row.because : `${row.statusBy} said so`);
    return because.startsWith(SILENCE) ? `${SILENCE} since ${rfc3339(this.#lastSeenMs(row))}` : because;
  }

  #save(): void {
    try {
      this.#signs.save();
    } catch (error) {
      this.#town.log.warn({ err: error }, "signs of life cannot be kept over a restart");
    }
  }
}

/** Panes of this town's sessions, by session id and slot. */
function panesOf(world: World | null, town: string): Map<string, TmuxPane> {
  return new Map(
    (world?.sessions ?? [])
      .filter((session) => session.marks?.town === town)
      .flatMap((session) => declaredPanes(session).map((pane) => [`${session.marks!.id} ${pane.slot}`, pane] as const)),
  );
}

export function rfc3339(atMs: number): string {
  return new Date(atMs).toISOString();
}

function ageOf(ms: number): string {
  return ms < 1000 ? "just now" : `${Math.round(ms / 1000)} s ago`;
}
