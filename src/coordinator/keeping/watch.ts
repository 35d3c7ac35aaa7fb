import type { Event } from "../../protocol/event.ts";
import { agentAt, type Plan, type PlanSession } from "../../protocol/plan.ts";
import { sessionReset, sessionWhy } from "../../protocol/session.ts";
import { type Actor, COORDINATOR, type Dispatch } from "../dispatch.ts";
import { ghostRows } from "../ghosts/projection.ts";
import { declaredPanes } from "../plan/diff.ts";
import { layoutOf, restartRows, type SessionRow, sessionRow, sessionRows } from "../sessions/projection.ts";
import { respawnPane } from "../starting.ts";
import { statuses } from "../status.ts";
import { adoption } from "../taking-over.ts";
import type { TmuxPane, TmuxSession, World } from "../tmux/port.ts";
import type { Town } from "../town.ts";
import type { Reconcile } from "../up.ts";
import { afterEnd, decideRestart, type Ends, type RestartDecision, rulesOf } from "./restart.ts";

/** Several notices of one change come within a few ms; one look answers them all. */
const LOOK_AFTER_MS = 10;

/** tmux tells most things; layouts, attached people and lost events are found by looking. One look costs about 1 ms. */
const LOOK_EVERY_MS = 5_000;

/** A session at which something is being done is done with in a moment. */
const BUSY_AGAIN_MS = 30;

/** A session that cannot be brought back is tried again after a second, then after twice as long each time, then left. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 60_000;
const MOST_ATTEMPTS = 10;

/** Ends of one pane (or of a whole session, slot "*") since the coordinator knows it. */
interface History extends Ends {
  epoch: number;
  /** Process id whose end has been dealt with. */
  dealtWith: number | null;
  timer: NodeJS.Timeout | null;
}

/**
 * Keeps the town's picture of tmux current and acts on what changed by itself: an ended pane or a vanished session becomes
 * an event, its room is marked stale, and its restart policy is followed. A failed look changes nothing.
 */
export class Watch {
  readonly #town: Town;
  readonly #reconcile: Reconcile;
  readonly #histories = new Map<string, History>();
  readonly #stale = new Map<string, { room: string; label: string }>();
  readonly #layouts = new Map<string, string>();
  #comparing: Promise<void> = Promise.resolve();
  #looking: NodeJS.Timeout | null = null;
  #every: NodeJS.Timeout | null = null;
  readonly #retries = new Set<NodeJS.Timeout>();
  #stopped = false;
  /** Whether the world was compared with the plan since this process started. */
  #compared = false;

  constructor(town: Town, reconcile: Reconcile) {
    this.#town = town;
    this.#reconcile = reconcile;
  }

  register(dispatch: Dispatch): void {
    dispatch.handle(sessionReset, async (input, { actor }) => {
      const sessions = input.sessions.flatMap((text) => this.#town.meant(text));
      for (const session of sessions) await this.reset(session, actor);
      return { reset: sessions.map((session) => session.id) };
    });
    dispatch.handle(sessionWhy, ({ session: text }) => {
      const declared = this.#town.declared(text);
      const status = statuses(this.#town).find((each) => each.id === declared.id)!;
      return {
        session: declared.id,
        state: status.state,
        evidence: status.evidence,
        policy: declared.restart.policy,
        ends: restartRows(this.#town.ledger.views, declared.id).map((row) => ({
          pane: row.pane,
          at: new Date(row.atMs).toISOString(),
          exit: row.exit,
          decided: row.do,
          because: row.because,
          next_at: row.nextAtMs === null ? null : new Date(row.nextAtMs).toISOString(),
          streak: row.streak,
          failures: row.failedAtMs.length,
        })),
      };
    });
  }

  start(): void {
    this.#town.tmux.on((notice) => {
      if (notice.kind === "connection")
        this.#town.log.info({ state: notice.state, because: notice.because }, "tmux connection");
      if (notice.kind !== "output") this.#lookSoon();
    });
    this.#town.on("world", (world) => {
      // One after the other: each must see what the one before it wrote, or an end would be told twice.
      this.#comparing = this.#comparing
        .then(() => this.#compare(world))
        .catch((error: unknown) => this.#town.log.error({ err: error }, "comparing the world with the plan failed"));
    });
    this.#every = setInterval(() => {
      this.#lookSoon();
      this.#leaveIfEmpty();
    }, LOOK_EVERY_MS);
    this.#every.unref();
    this.#lookSoon();
  }

  /** A server on which nothing runs any more, and nothing of ours is meant to. */
  #leaveIfEmpty(): void {
    const { world, ledger, log } = this.#town;
    if (world?.sessions.length !== 0 || sessionRows(ledger.views).some((row) => row.wanted === "running")) return;
    this.#reconcile.leaveIfEmpty().catch((error: unknown) => log.warn({ err: error }, "tmux cannot be left"));
  }

  stop(): void {
    this.#stopped = true;
    if (this.#looking) clearTimeout(this.#looking);
    if (this.#every) clearInterval(this.#every);
    for (const retry of this.#retries) clearTimeout(retry);
    for (const history of this.#histories.values()) if (history.timer) clearTimeout(history.timer);
  }

  #lookSoon(): void {
    if (this.#stopped || this.#looking) return;
    this.#looking = setTimeout(() => {
      this.#looking = null;
      this.#town.look().catch((error: unknown) => this.#town.log.warn({ err: error }, "tmux cannot be asked"));
    }, LOOK_AFTER_MS);
  }

  async #compare(world: World | null): Promise<void> {
    const { plan } = this.#town;
    if (!plan || this.#stopped) return;
    const found = new Map(
      (world?.sessions ?? [])
        .filter((session) => session.marks?.town === plan.town)
        .map((session) => [session.marks!.id, session]),
    );
    const events: Event[] = [];
    const vanished: PlanSession[] = [];
    for (const declared of plan.sessions) {
      if (this.#town.busy.has(declared.id)) continue;
      const session = found.get(declared.id);
      if (session) this.#compareFound(plan, declared, session, world!, events);
      else if (this.#vanished(declared, events)) vanished.push(declared);
    }
    this.#noteStrangers(world, plan, events);
    this.#compared = true;
    if (events.length > 0)
      await this.#town.ledger.write({ actor: COORDINATOR.name, decide: () => ({ events, result: null }) });
    if (vanished.length > 0) void this.#bringBack(vanished);
  }

  #compareFound(plan: Plan, declared: PlanSession, session: TmuxSession, world: World, events: Event[]): void {
    const row = sessionRow(this.#town.ledger.views, declared.id);
    if (row?.state !== "started" || row.epoch !== session.marks!.epoch) {
      if (row?.wanted === "stopped") return;
      events.push(...adoption(declared, session, world.server, "found again after the coordinator was away"));
    }
    for (const pane of declaredPanes(session)) {
      const history = this.#historyOf(declared.id, pane.slot!, session.marks!.epoch);
      if (!pane.dead) this.#paneLives(declared, pane, history);
      else if (history.dealtWith === pane.pid) continue;
      else if (!this.#takeUp(plan, declared, pane, history))
        this.#paneEnded(plan, declared, session, pane, history, events);
    }
    if (declared.kind === "view") this.#noteLayouts(declared, session, events);
  }

  /** An end that was decided about before we were last started: what was to come then comes now. */
  #takeUp(plan: Plan, declared: PlanSession, pane: TmuxPane, history: History): boolean {
    const decided = restartRows(this.#town.ledger.views, declared.id).find((each) => each.pane === pane.slot);
    if (decided?.pid !== pane.pid) return false;
    history.dealtWith = pane.pid;
    const afterMs = decided.nextAtMs === null ? null : Math.max(0, decided.nextAtMs - this.#town.now());
    this.#startLater(plan, declared, pane.slot!, history, {
      afterMs,
      attempt: decided.streak,
      because: decided.because,
    });
    return true;
  }

  #paneLives(declared: PlanSession, pane: TmuxPane, history: History): void {
    if (history.dealtWith !== null) {
      history.startedAtMs = this.#town.now();
      history.dealtWith = null;
    }
    if (declared.room) this.#setLive(`${declared.id} ${pane.slot}`);
    this.#setLive(`${declared.id} *`);
  }

  #paneEnded(
    plan: Plan,
    declared: PlanSession,
    session: TmuxSession,
    pane: TmuxPane,
    history: History,
    events: Event[],
  ): void {
    const exit = pane.exit ?? "ended";
    const agent = agentAt(declared, pane.slot!);
    history.dealtWith = pane.pid;
    events.push({
      type: "pane.exited",
      data: { session: declared.id, epoch: session.marks!.epoch, pane: pane.slot!, agent, exit },
    });
    if (declared.room && agent) this.#setStale(`${declared.id} ${pane.slot}`, declared.room, agent, exit);
    const decision = this.#decide(declared, pane.slot!, exit, history, pane.pid, events);
    this.#town.log.info({ session: declared.id, pane: pane.slot, agent, exit, decision }, "a pane's process ended");
    this.#startLater(plan, declared, pane.slot!, history, decision);
  }

  /** By its policy and rules; what was decided, and from what, stands in the log, so that no restart of ours forgets it. */
  #decide(
    declared: PlanSession,
    slot: string,
    exit: string,
    history: History,
    pid: number | null,
    events: Event[],
  ): RestartDecision {
    const nowMs = this.#town.now();
    const isView = declared.kind === "view";
    const policy = isView ? (slot === "*" ? "never" : "always") : declared.restart.policy;
    const decision = decideRestart(policy, rulesOf(declared.restart), exit, history, nowMs, `${declared.id} ${slot}`);
    Object.assign(history, afterEnd(history, decision, nowMs));
    const { failedAtMs, streak, exhausted, startedAtMs } = history;
    events.push({
      type: "restart.decided",
      data: {
        session: declared.id,
        epoch: history.epoch,
        pane: slot,
        exit,
        do: decision.do,
        because: decision.because,
        nextAtMs: decision.afterMs === null ? null : nowMs + decision.afterMs,
        failedAtMs,
        streak,
        exhausted,
        pid,
        startedAtMs,
      },
    });
    return decision;
  }

  #startLater(
    plan: Plan,
    declared: PlanSession,
    slot: string,
    history: History,
    { afterMs, attempt, because }: Pick<RestartDecision, "afterMs" | "attempt" | "because">,
  ): void {
    if (afterMs === null) return;
    if (history.timer) clearTimeout(history.timer);
    history.timer = setTimeout(() => {
      history.timer = null;
      void this.#respawn(plan, declared, slot, attempt, because).then((againMs) => {
        if (againMs !== null && !this.#stopped && history.timer === null)
          this.#startLater(plan, declared, slot, history, { afterMs: againMs, attempt, because });
      });
    }, afterMs);
  }

  /** Null: it is done, or not wanted any more; else when to try again. */
  async #respawn(
    plan: Plan,
    declared: PlanSession,
    slot: string,
    attempt: number,
    because: string,
  ): Promise<number | null> {
    const town = this.#town;
    try {
      const world = await town.look();
      const session = world?.sessions.find((each) => each.marks?.town === plan.town && each.marks.id === declared.id);
      const pane = session && declaredPanes(session).find((each) => each.slot === slot);
      const wanted = sessionRow(town.ledger.views, declared.id)?.wanted === "running";
      if (this.#stopped || !session || !pane?.dead || !wanted) return null;
      // Another pane of it is just being started.
      if (town.busy.has(declared.id)) return BUSY_AGAIN_MS;
      await respawnPane(town, plan, declared, session, slot, pane.id, attempt, because, COORDINATOR.name);
      await town.look();
      await this.#restartGroup(plan, declared);
      return null;
    } catch (error) {
      town.log.error({ err: error, session: declared.id, slot }, "starting a pane again failed");
      this.#lookSoon();
      return RETRY_MS;
    }
  }

  /** Others that start again with it, as its plan says; what somebody uses, or is protected, is left. */
  async #restartGroup(plan: Plan, declared: PlanSession): Promise<void> {
    const others = groupOf(plan.sessions, declared).filter(
      (each) => sessionRow(this.#town.ledger.views, each.id)?.wanted === "running",
    );
    if (others.length === 0) return;
    const { held } = await this.#reconcile.restart({ sessions: others.map((each) => each.id) }, COORDINATOR);
    this.#town.log.info(
      { session: declared.id, others: others.map((each) => each.id), held: held.map((step) => step.session) },
      "its group starts again with it",
    );
  }

  /** True when a session we want is gone and its policy says to bring it back. */
  #vanished(declared: PlanSession, events: Event[]): boolean {
    const row = sessionRow(this.#town.ledger.views, declared.id);
    if (row?.wanted === "running" && row.state !== "started" && !this.#compared)
      return this.#interrupted(declared, row);
    if (row?.wanted !== "running" || row.state !== "started") {
      if (declared.room && row)
        this.#setStale(
          `${declared.id} *`,
          declared.room,
          declared.name,
          row.wanted === "stopped" ? "stopped" : "not running",
        );
      return false;
    }
    events.push({
      type: "session.exited",
      data: {
        session: declared.id,
        name: declared.name,
        epoch: row.epoch,
        exit: "gone",
        because:
          this.#town.world?.server === row.server
            ? "its tmux session is gone and we did not end it"
            : "its tmux server has gone",
      },
    });
    if (declared.room) this.#setStale(`${declared.id} *`, declared.room, declared.name, "its session is gone");
    // With its server everything went: that is one incident, and no session's failure.
    if (this.#town.world?.server !== row.server) {
      this.#town.log.warn({ session: declared.id }, "a session is gone with its tmux server");
      return declared.kind !== "view" && declared.restart.policy !== "never";
    }
    const history = this.#historyOf(declared.id, "*", row.epoch);
    const decision = this.#decide(declared, "*", "gone", history, null, events);
    this.#town.log.warn({ session: declared.id, decision }, "a session is gone");
    return decision.do === "restart" || decision.do === "again";
  }

  /** True when we were ended ourselves between the end of a session and its next start: the wish for it is in the log. */
  #interrupted(declared: PlanSession, row: SessionRow): boolean {
    if (declared.kind === "view" || declared.start !== "boot") return false;
    const decided = restartRows(this.#town.ledger.views, declared.id).find((each) => each.pane === "*");
    const isLast = decided !== undefined && decided.atMs >= row.sinceMs;
    if (isLast) return decided.do === "restart" || decided.do === "again";
    return row.state !== "exited" || declared.restart.policy !== "never";
  }

  /** All that went together come back together; what does not start then is tried again, later and later, for as long as it is wanted. */
  async #bringBack(sessions: readonly PlanSession[], attempt = 1): Promise<void> {
    const { ledger } = this.#town;
    let failed: { session: string; error: string }[];
    try {
      // What is left of the one before would run beside the next.
      const left = await this.#town.tmux.reap(sessions.map((session) => session.id));
      if (left > 0) this.#town.log.warn({ processes: left }, "what was left of sessions that are gone is ended");
      ({ failed } = await this.#reconcile.up(
        { sessions: sessions.map((session) => session.id), stay: true },
        COORDINATOR,
        null,
      ));
    } catch (error) {
      this.#town.log.error({ err: error }, "bringing sessions back failed");
      failed = sessions.map(({ name }) => ({
        session: name,
        error: error instanceof Error ? error.message : String(error),
      }));
    }
    const left = sessions.filter(({ name }) => failed.some((each) => each.session === name));
    const { plan } = this.#town;
    for (const session of sessions)
      if (plan && !left.includes(session))
        await this.#restartGroup(plan, session).catch((error: unknown) =>
          this.#town.log.error({ err: error, session: session.id }, "its group does not start again"),
        );
    if (left.length === 0 || this.#stopped) return;
    await ledger.write({
      actor: COORDINATOR.name,
      decide: () => ({
        events: left.map(
          ({ id, name }): Event => ({
            type: "session.failed",
            data: { session: id, name, attempt, because: failed.find((each) => each.session === name)!.error },
          }),
        ),
        result: null,
      }),
    });
    if (attempt >= MOST_ATTEMPTS) return;
    const timer = setTimeout(
      () => {
        this.#retries.delete(timer);
        const wanted = left.filter(({ id }) => sessionRow(ledger.views, id)?.wanted === "running");
        if (wanted.length > 0 && !this.#stopped) void this.#bringBack(wanted, attempt + 1);
      },
      Math.min(RETRY_MS * 2 ** (attempt - 1), RETRY_MAX_MS),
    );
    this.#retries.add(timer);
  }

  /** Somebody has looked into it: its count begins again, and what was given up is started. */
  async reset(session: PlanSession, actor: Actor): Promise<void> {
    await this.#town.ledger.write({
      actor: actor.name,
      decide: () => ({ events: [{ type: "restart.reset", data: { session: session.id } }], result: null }),
    });
    const { plan } = this.#town;
    const found = this.#town.world?.sessions.find(
      (each) => each.marks?.town === plan?.town && each.marks?.id === session.id,
    );
    for (const [key, history] of this.#histories) {
      if (!key.startsWith(`${session.id} `)) continue;
      // The end that was dealt with stays so: it is not told, or counted, a second time.
      Object.assign(history, { failedAtMs: [], streak: 0, exhausted: false });
      const pane = found && declaredPanes(found).find((each) => key === `${session.id} ${each.slot}`);
      if (plan && pane?.dead)
        this.#startLater(plan, session, pane.slot!, history, { afterMs: 0, attempt: 0, because: "reset by a person" });
    }
    // Gone as a whole, it has no pane to start: it is brought back.
    if (!found && sessionRow(this.#town.ledger.views, session.id)?.wanted === "running")
      void this.#bringBack([session]);
    this.#lookSoon();
  }

  #historyOf(session: string, slot: string, epoch: number): History {
    const key = `${session} ${slot}`;
    const known = this.#histories.get(key);
    // What was gone as a whole comes back with a new epoch by itself: its count goes on.
    if (known && (known.epoch === epoch || slot === "*")) return known;
    if (known?.timer) clearTimeout(known.timer);
    const decided = restartRows(this.#town.ledger.views, session).find(
      (each) => each.pane === slot && (each.epoch === epoch || slot === "*"),
    );
    const fresh: History = {
      epoch,
      failedAtMs: decided?.failedAtMs ?? [],
      startedAtMs: decided?.nextAtMs ?? decided?.startedAtMs ?? this.#town.now(),
      streak: decided?.streak ?? 0,
      exhausted: decided?.exhausted ?? false,
      dealtWith: null,
      timer: null,
    };
    this.#histories.set(key, fresh);
    return fresh;
  }

  #setStale(key: string, room: string, label: string, because: string): void {
    if (this.#stale.has(key)) return;
    this.#stale.set(key, { room, label });
    this.#town.rooms.setStale(room, label, new Date(this.#town.now()).toISOString(), because);
  }

  #setLive(key: string): void {
    const stale = this.#stale.get(key);
    if (!stale) return;
    this.#stale.delete(key);
    this.#town.rooms.setLive(stale.room, stale.label);
  }

  /** A person's own arrangement is kept for the next time; what we arranged at birth is not news. */
  #noteLayouts(declared: PlanSession, session: TmuxSession, events: Event[]): void {
    for (const window of session.windows) {
      const place = declared.windows.find((each) => each.name === window.name);
      if (!place || place.panes.length < 2 || window.linked > 1) continue;
      const key = `${session.id} ${window.id}`;
      const known = this.#layouts.get(key);
      this.#layouts.set(key, window.layout);
      if (known === undefined || known === window.layout || session.attached === 0) continue;
      if (layoutOf(this.#town.ledger.views, declared.id, window.name) === window.layout) continue;
      events.push({ type: "view.layout", data: { session: declared.id, window: window.name, layout: window.layout } });
    }
  }

  #noteStrangers(world: World | null, plan: Plan, events: Event[]): void {
    if (!world) return;
    const known = ghostRows(this.#town.ledger.views, world.server);
    for (const session of world.sessions) {
      if (session.marks !== null || known.has(session.id)) continue;
      events.push({
        type: "session.unknown",
        data: {
          name: session.name,
          tmuxId: session.id,
          server: world.server,
          evidence: `tmux has it since ${new Date(session.createdAtS * 1000).toISOString()}, the plan of ${plan.town} does not`,
        },
      });
    }
  }
}

/**
 * Who starts again with a session (OTP's strategies, by what stands on what): `rest` those that stand on it, `all` those and what
 * it stands on itself.
 */
export function groupOf(sessions: readonly PlanSession[], session: PlanSession): PlanSession[] {
  if (session.groupStrategy === "one") return [];
  const found = new Set<string>();
  const up = (id: string): void => {
    for (const each of sessions)
      if (each.after.includes(id) && !found.has(each.id)) {
        found.add(each.id);
        up(each.id);
      }
  };
  const down = (id: string): void => {
    for (const below of sessions.find((each) => each.id === id)?.after ?? [])
      if (!found.has(below)) {
        found.add(below);
        down(below);
      }
  };
  up(session.id);
  if (session.groupStrategy === "all") down(session.id);
  found.delete(session.id);
  return sessions.filter((each) => found.has(each.id));
}
