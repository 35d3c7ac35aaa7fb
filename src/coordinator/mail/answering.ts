import { BosunError } from "../../protocol/error.ts";
import type { Event, MessageSent } from "../../protocol/event.ts";
import { timedId } from "../../protocol/id.ts";
import type { MemoryEntry } from "../../protocol/memory.ts";
import { MAX_DATA_BYTES, messagePing, messagePong } from "../../protocol/message.ts";
import type { OutputOf } from "../../protocol/operation.ts";
import type { AgentInfo } from "../../protocol/registry.ts";
import { type Actor, type Call, type Dispatch, once } from "../dispatch.ts";
import { deliveryOf, inboxPage, unreadOf } from "../messages/projection.ts";
import { tasksPage } from "../tasks/projection.ts";
import type { Town } from "../town.ts";
import type { Addresses } from "./addressing.ts";
import type { Afterwards, Posted, Sending } from "./sending.ts";
import { taskInfo } from "./tasks.ts";
import type { MailWatch } from "./watch.ts";

/** A program that follows its mail answers in a millisecond or not at all; a busy machine is given the benefit. */
const PONG_WITHIN_MS = 2_000;

/** Pings of which we remember when they were sent; older ones are timed by their entries in the log. */
const PINGS_KEPT = 1_000;

interface Snapshot {
  session: AgentInfo | null;
  unread: number;
  urgent: number;
  /** Requests and offers that wait for its answer. */
  open: { id: string; type: string; from: string; subject: string }[];
  /** Its own, and those it could accept. */
  tasks: ReturnType<typeof taskInfo>[];
  /** What it wrote last; `value` is left out where all of it would be too much. */
  memory: { key: string; type: string; rev: number; value?: unknown }[];
}

/** Of each kind, in the snapshot that answers a sync; the newest matter. */
const SNAPSHOT_ENTRIES = 50;

type Pinged = OutputOf<typeof messagePing>;

interface Pong {
  id: string;
  rttMs: number;
}

/**
 * What is answered without anybody reading mail: pings, by the agent's own program where it follows its mail, else by what is
 * known of it; and requests for a snapshot. Answers are messages from the one who was asked, in the log by whoever gave them.
 */
export class Answering implements Afterwards {
  readonly #town: Town;
  readonly #dispatch: Dispatch;
  readonly #addresses: Addresses;
  readonly #watch: MailWatch;
  readonly #sentAtMs = new Map<string, number>();
  readonly #pongs = new Map<string, Pong>();
  readonly #awaited = new Map<string, (pong: Pong) => void>();

  constructor(town: Town, dispatch: Dispatch, addresses: Addresses, watch: MailWatch) {
    this.#town = town;
    this.#dispatch = dispatch;
    this.#addresses = addresses;
    this.#watch = watch;
  }

  register(sending: Sending): void {
    this.#dispatch.handle(messagePing, (input, call) => this.#ping(sending, input.to, input.timeoutMs, call));
    this.#dispatch.handle(messagePong, async ({ ping }, call) => {
      const { result } = await this.#town.ledger.write({
        actor: call.actor.name,
        ...once(call),
        decide: (views) => {
          const asked = deliveryOf(views, ping, call.actor.id);
          if (asked?.type !== "ping") throw noPing(call.actor, ping);
          if (asked.state === "acked") return { events: [], result: null };
          const rttMs = this.#rttMs(asked);
          const data = JSON.stringify({ by: "agent", rtt_ms: rttMs });
          const pong = answerTo(asked, asked.from, call.actor.id, "Pong", "It answers itself.", data);
          const acked: Event = {
            type: "delivery.acked",
            data: { messages: [ping], to: call.actor.id, outcome: "done", note: null },
          };
          return { events: [acked, pong.event], result: { id: pong.id, rttMs } };
        },
      });
      if (result) this.#arrived(ping, result);
      return { accepted: result !== null };
    });
  }

  /** Answers for those whose program does not follow its mail. */
  async pinged(ping: Posted, from: string): Promise<void> {
    remember(this.#sentAtMs, ping.id, performance.now());
    const silent = ping.recipients.filter((who) => !this.#watch.listens(who));
    await this.#answerFor(ping, from, silent);
  }

  /** Gives the id of the first answer. Asked again for the same sync it writes nothing new. */
  async synced(sync: Posted, from: string): Promise<string | null> {
    const states = await Promise.all(
      sync.recipients.map(async (who) => ({ who, data: fitted(await this.#snapshot(who)) })),
    );
    const { result } = await this.#town.ledger.write({
      actor: "coordinator",
      key: `sync:${sync.id}`,
      decide: () => {
        const answers = states.map(({ who, data }) => answerTo(sync, from, who, "State", `State of ${who}.`, data));
        return { events: answers.map((each) => each.event), result: answers[0]?.id ?? null };
      },
    });
    return result;
  }

  async #ping(sending: Sending, address: string, timeoutMs = PONG_WITHIN_MS, call: Call): Promise<Pinged> {
    const who = this.#addresses.whoIs(address);
    const sent = await sending.send(call, () => ({ to: [who], subject: "Ping", body: "", type: "ping" }));
    const { id, thread, signal } = sent;
    const own = this.#watch.listens(who) ? await this.#pongWithin(id, timeoutMs) : null;
    const { alive, evidence, seenMs: seen_ms } = this.#town.registry.alive(who);
    const about = { id, thread, signal, seen_ms };
    if (own) {
      return { ...about, alive: true, by: "agent", rtt_ms: own.rttMs, evidence: "it answered itself", pong: own.id };
    }
    const silent = this.#watch.listens(who) ? `, and did not answer within ${timeoutMs} ms` : "";
    if (silent !== "") await this.#answerFor(sent, call.actor.id, [who]);
    const pong = this.#pongs.get(id);
    return {
      ...about,
      alive,
      by: alive === null ? null : "coordinator",
      rtt_ms: pong?.rttMs ?? null,
      evidence: evidence + silent,
      pong: pong?.id ?? null,
    };
  }

  /** The coordinator's word for those that are alive; nobody answers for the dead. */
  async #answerFor(ping: Pick<Posted, "id" | "thread">, from: string, whom: readonly string[]): Promise<void> {
    const alive = whom.filter((who) => this.#town.registry.alive(who).alive === true);
    if (alive.length === 0) return;
    const rttMs = this.#rttMs(ping);
    const { result } = await this.#town.ledger.write({
      actor: "coordinator",
      decide: () => {
        const pongs = alive.map((who) => {
          const { evidence, seenMs } = this.#town.registry.alive(who);
          const data = { by: "coordinator", rtt_ms: rttMs, seen_ms: seenMs, evidence };
          return answerTo(ping, from, who, "Pong", evidence, JSON.stringify(data));
        });
        return { events: pongs.map((pong) => pong.event), result: pongs.map((pong) => pong.id) };
      },
    });
    this.#arrived(ping.id, { id: result[0]!, rttMs });
  }

  #arrived(ping: string, pong: Pong): void {
    remember(this.#pongs, ping, pong);
    this.#awaited.get(ping)?.(pong);
  }

  #pongWithin(ping: string, timeoutMs: number): Promise<Pong | null> {
    const there = this.#pongs.get(ping);
    if (there) return Promise.resolve(there);
    return new Promise((resolve) => {
      const done = (pong: Pong | null): void => {
        clearTimeout(timer);
        this.#awaited.delete(ping);
        resolve(pong);
      };
      const timer = setTimeout(() => done(null), timeoutMs);
      this.#awaited.set(ping, done);
    });
  }

  #rttMs(ping: { id: string; atMs?: number }): number {
    const sentAtMs = this.#sentAtMs.get(ping.id);
    const ms =
      sentAtMs === undefined ? this.#town.now() - (ping.atMs ?? this.#town.now()) : performance.now() - sentAtMs;
    return Math.max(0, Math.round(ms * 1000) / 1000);
  }

  /** What one would want to know to work on together: who it is, its tasks, what waits for it, what it last wrote down. */
  async #snapshot(who: string): Promise<Snapshot> {
    const { views } = this.#town.ledger;
    const reader = { who, epoch: this.#town.registry.epochOf(who), nowMs: this.#town.now() };
    const memory = await this.#dispatch.ask<{ entries: MemoryEntry[] }>("memory.search", {
      session: who,
      limit: SNAPSHOT_ENTRIES,
    });
    return {
      session: this.#town.registry.info(who),
      ...unreadOf(views, reader),
      open: inboxPage(views, reader, { open: true }, 0, SNAPSHOT_ENTRIES).map(({ id, type, from, subject }) => ({
        id,
        type,
        from,
        subject,
      })),
      tasks: [
        ...tasksPage(views, { owner: who, states: ["accepted"] }, "", SNAPSHOT_ENTRIES),
        ...tasksPage(views, { offeredTo: who, states: ["offered"] }, "", SNAPSHOT_ENTRIES),
      ].map(taskInfo),
      memory: memory.entries.map(({ key, value, type, rev }) => ({ key, value, type, rev })),
    };
  }
}

/** A response from `who`, and the event that says so. */
function answerTo(
  asked: { id: string; thread: string },
  to: string,
  who: string,
  subject: string,
  body: string,
  dataJson: string,
): { id: string; event: Event } {
  const id = timedId(crypto.randomUUID(), Date.now());
  const data: MessageSent = {
    id,
    thread: asked.thread,
    from: who,
    to: [to],
    type: "response",
    subject,
    body,
    dataJson,
    priority: "normal",
    inReplyTo: asked.id,
    addressed: [to],
    human: false,
    ack: false,
    expiresAtMs: null,
    task: null,
    sentAtMs: null,
  };
  return { id, event: { type: "message.sent", data } };
}

/** As JSON that a message may carry: values of memory go first, then the longer lists. */
function fitted(snapshot: Snapshot): string {
  const shorter: Snapshot[] = [
    snapshot,
    { ...snapshot, memory: snapshot.memory.map(({ key, type, rev }) => ({ key, type, rev })) },
    { ...snapshot, memory: [], open: snapshot.open.slice(0, 10), tasks: snapshot.tasks.slice(0, 10) },
  ];
  const texts = shorter.map((each) => JSON.stringify(each));
  return texts.find((text) => Buffer.byteLength(text) <= MAX_DATA_BYTES) ?? JSON.stringify({ unread: snapshot.unread });
}

/** The newest only. */
function remember<T>(kept: Map<string, T>, ping: string, value: T): void {
  kept.set(ping, value);
  if (kept.size > PINGS_KEPT) kept.delete(kept.keys().next().value!);
}

function noPing(actor: Actor, ping: string): BosunError {
  return new BosunError({
    code: "NOT_FOUND",
    what: `${actor.id} has no ping ${ping}`,
    fix: "bosun inbox --type ping   lists them",
  });
}
