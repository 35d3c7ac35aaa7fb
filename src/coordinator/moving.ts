import type { z } from "zod";
import type { Event } from "../protocol/event.ts";
import { hubImport, ImportedAgent, ImportedMemory, ImportedMessage } from "../protocol/hub.ts";
import { MAX_VALUE_BYTES } from "../protocol/memory.ts";
import { MAX_BODY_BYTES, MAX_DATA_BYTES } from "../protocol/message.ts";
import { LEASE_S } from "../protocol/registry.ts";
import { type Dispatch, once } from "./dispatch.ts";
import type { Ledger } from "./log/ledger.ts";
import { placeOfValue, valueRow } from "./memory/projection.ts";
import { messageRow } from "./messages/projection.ts";
import { agentRow, allAgentIds } from "./registry/projection.ts";
import type { Town } from "./town.ts";

type Views = Ledger["views"];

/** A record that cannot be taken over, and why. */
class Unfit extends Error {}

interface Move {
  events: Event[];
  imported: { agents: number; messages: number; memory: number };
  known: number;
  refused: { what: string; why: string }[];
}

/** Records of another system moving in, with their own times and ids. */
export function registerMoving(dispatch: Dispatch, town: Town): void {
  dispatch.handle(hubImport, async (input, call) => {
    const { result } = await town.ledger.write({
      actor: call.actor.name,
      ...once(call),
      decide: (views) => {
        const move: Move = { events: [], imported: { agents: 0, messages: 0, memory: 0 }, known: 0, refused: [] };
        const agents = new Agents(town, views);
        const messages = new Messages(views, agents);
        const memory = new Values(views, town.now());
        for (const each of input.agents ?? []) take(move, "agents", each, (record) => agents.event(record));
        for (const each of input.messages ?? []) take(move, "messages", each, (record) => messages.event(record));
        for (const each of input.memory ?? []) take(move, "memory", each, (record) => memory.event(record));
        const { events, ...told } = move;
        return { events, result: told };
      },
    });
    return result;
  });
}

function take(
  move: Move,
  kind: keyof Move["imported"],
  record: Record<string, unknown>,
  eventOf: (record: Record<string, unknown>) => Event | null,
): void {
  try {
    const event = eventOf(record);
    if (!event) {
      move.known++;
      return;
    }
    move.events.push(event);
    move.imported[kind]++;
  } catch (thrown) {
    if (!(thrown instanceof Unfit)) throw thrown;
    const name = String(record.id ?? record.key ?? "?").slice(0, 80);
    move.refused.push({ what: `${kind.replace(/s$/, "")} ${name}`, why: thrown.message });
  }
}

/** The record with its shape checked. Throws Unfit. */
function checked<T extends z.ZodType>(schema: T, record: unknown): z.output<T> {
  const result = schema.safeParse(record);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new Unfit(`${issue.path.join(".") || "record"}: ${issue.message}`);
}

/** The system that most come from writes times of UTC without saying so. */
function timeOf(text: string): number {
  const ms = Date.parse(/(Z|[+-]\d{2}:?\d{2})$/i.test(text) ? text : `${text}Z`);
  if (Number.isNaN(ms)) throw new Unfit(`at: "${text.slice(0, 40)}" is no time`);
  return ms;
}

class Agents {
  readonly #town: Town;
  readonly #views: Views;
  readonly #taken = new Set<string>();

  constructor(town: Town, views: Views) {
    this.#town = town;
    this.#views = views;
  }

  /** Offline until it calls: nobody has seen it here. */
  event(record: unknown): Event | null {
    const { at, ...agent } = checked(ImportedAgent, record);
    if (agentRow(this.#views, agent.id) || this.#taken.has(agent.id)) return null;
    const reserved = this.#town.registry.reserved(agent.id);
    if (reserved !== null) throw new Unfit(`the id belongs to ${reserved}`);
    const startedAtMs = timeOf(at);
    this.#taken.add(agent.id);
    return {
      type: "agent.registered",
      data: {
        agent: agent.id,
        name: agent.name,
        agentType: agent.type,
        user: agent.user ?? null,
        capabilities: [...new Set(agent.capabilities ?? [])],
        location: agent.location ?? null,
        metadata: agent.metadata ?? {},
        groups: [],
        task: agent.task ?? null,
        epoch: this.#town.registry.epochOf(agent.id) + 1,
        leaseS: LEASE_S,
        session: null,
        status: "offline",
        startedAtMs,
      },
    };
  }

  all(): string[] {
    return [...new Set([...allAgentIds(this.#views), ...this.#taken])];
  }
}

class Messages {
  readonly #views: Views;
  readonly #agents: Agents;
  /** Threads of those that move in with this call. */
  readonly #threads = new Map<string, string>();

  constructor(views: Views, agents: Agents) {
    this.#views = views;
    this.#agents = agents;
  }

  event(record: unknown): Event | null {
    const { id, from, to, type, subject, body, at, data, inReplyTo = null } = checked(ImportedMessage, record);
    if (messageRow(this.#views, id) || this.#threads.has(id)) return null;
    const sentAtMs = timeOf(at);
    const dataJson = data === undefined ? null : JSON.stringify(data);
    if (Buffer.byteLength(body) > MAX_BODY_BYTES) throw new Unfit(`body: more than ${MAX_BODY_BYTES} bytes`);
    if (Buffer.byteLength(dataJson ?? "") > MAX_DATA_BYTES) throw new Unfit(`data: more than ${MAX_DATA_BYTES} bytes`);
    // An answer to itself, or to what is not there, is the beginning of a thread.
    const before = inReplyTo === null || inReplyTo === id ? null : this.#threadOf(inReplyTo);
    const thread = before ?? id;
    this.#threads.set(id, thread);
    const recipients = to === null ? this.#agents.all().filter((agent) => agent !== from) : [to];
    return {
      type: "message.sent",
      data: {
        id,
        thread,
        from,
        to: recipients,
        type,
        subject,
        body,
        dataJson,
        priority: "normal",
        inReplyTo: before === null ? null : inReplyTo,
        addressed: [to ?? "*"],
        human: false,
        ack: false,
        expiresAtMs: null,
        task: null,
        sentAtMs,
      },
    };
  }

  #threadOf(id: string): string | null {
    return this.#threads.get(id) ?? messageRow(this.#views, id)?.thread ?? null;
  }
}

class Values {
  readonly #views: Views;
  readonly #nowMs: number;
  readonly #taken = new Set<string>();

  constructor(views: Views, nowMs: number) {
    this.#views = views;
    this.#nowMs = nowMs;
  }

  event(record: unknown): Event | null {
    const { id, key, value, type, by, at, ttlS, tags, metadata } = checked(ImportedMemory, record);
    if (placeOfValue(this.#views, id) !== null || this.#taken.has(id)) return null;
    const setAtMs = timeOf(at);
    const valueJson = JSON.stringify(value);
    if (Buffer.byteLength(valueJson) > MAX_VALUE_BYTES) throw new Unfit(`value: more than ${MAX_VALUE_BYTES} bytes`);
    const standing = valueRow(this.#views, key, this.#nowMs);
    if (standing && standing.atMs > setAtMs)
      throw new Unfit(`${key} has a newer value here, of revision ${standing.position}`);
    this.#taken.add(id);
    return {
      type: "memory.set",
      data: {
        id,
        key,
        valueJson,
        type,
        tags: [...new Set(tags ?? [])],
        by,
        expiresAtMs: ttlS == null ? null : setAtMs + Math.round(ttlS * 1000),
        metadata: metadata ?? {},
        setAtMs,
      },
    };
  }
}
