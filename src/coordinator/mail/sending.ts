import { BosunError } from "../../protocol/error.ts";
import type { Event, MessageSent } from "../../protocol/event.ts";
import { timedId } from "../../protocol/id.ts";
import {
  MAX_BODY_BYTES,
  MAX_DATA_BYTES,
  type MessageType,
  messageAck,
  messageReply,
  messageSend,
  type Outcome,
} from "../../protocol/message.ts";
import type { OutputOf } from "../../protocol/operation.ts";
import { checkClaims } from "../credentials.ts";
import { type Actor, type Call, type Dispatch, once } from "../dispatch.ts";
import type { Ledger } from "../log/ledger.ts";
import { replySubject } from "../messages/decide.ts";
import {
  deliveriesOf,
  deliveryOf,
  type InboxRow,
  type MessageRow,
  messageRow,
  takesPart,
} from "../messages/projection.ts";
import { rfc3339 } from "../registry.ts";
import * as work from "../tasks/decide.ts";
import { taskRow, tasksPage } from "../tasks/projection.ts";
import type { Town } from "../town.ts";
import type { Addresses } from "./addressing.ts";
import type { Carrying } from "./carrying.ts";
import { farOf, shownId } from "./far.ts";
import { signalOf } from "./letter.ts";
import type { Quotas } from "./quotas.ts";

/** As the command sees them: with all that was written before it. */
type Views = Ledger["views"];

/** What a sender wants, however it came: sent, replied, or said with an acknowledgement. */
export interface Letter {
  to: readonly string[];
  subject: string;
  body: string;
  type: MessageType;
  priority?: string | undefined;
  dataJson?: string | undefined;
  inReplyTo?: string | undefined;
  task?: string | undefined;
  ttlS?: number | undefined;
  ack?: boolean | undefined;
  queue?: boolean | undefined;
}

/** What came of it. */
export interface Posted {
  id: string;
  thread: string;
  recipients: string[];
  ts: string;
  signal: string;
  task: string | null;
  /** Members of groups whose mailboxes are full: they get nothing. */
  skipped: string[];
}

type Sent = OutputOf<typeof messageSend>;

/** Pings and syncs are answered one by one; more would be a flood. */
const MOST_ANSWERS = 100;

/** What the coordinator itself has a part in does not leave its town. */
const LOCAL_TYPES: ReadonlySet<MessageType> = new Set(["ping", "sync", "task_offer", "task_accept", "handoff"]);

/** Whatever a message of a kind sets in motion once it is durable. */
export interface Afterwards {
  /** Gives the id of the answer, or null. */
  pinged(ping: Posted, from: string): Promise<void>;
  synced(sync: Posted, from: string): Promise<string | null>;
}

/**
 * Messages between addresses: durable before the answer, each with one delivery per recipient, closed by an acknowledgement.
 * Who sends comes from the credential. Recipients are resolved where the message is written, so that of many offers to
 * `any:python` in one moment each finds the next one idle.
 */
export class Sending {
  readonly #town: Town;
  readonly #afterwards: Afterwards;
  readonly #addresses: Addresses;
  readonly #quotas: Quotas;
  readonly #carrying: Carrying;

  constructor(town: Town, by: { addresses: Addresses; quotas: Quotas; carrying: Carrying }, afterwards: Afterwards) {
    this.#town = town;
    this.#addresses = by.addresses;
    this.#quotas = by.quotas;
    this.#carrying = by.carrying;
    this.#afterwards = afterwards;
  }

  register(dispatch: Dispatch): void {
    dispatch.handle(messageSend, async (input, call) => {
      checkClaims(call.actor, input);
      const type = input.type ?? (input.to.length === 1 && input.to[0] === "*" ? "broadcast" : "notification");
      const refused = await this.#refusedElsewhere(input.to, call.actor.id, input.queue ?? false);
      return this.send(call, () => {
        // Decided here: what counted before counts, whatever the other town says now.
        if (refused) throw refused;
        return { ...input, type, dataJson: dataText(input) };
      });
    });
    dispatch.handle(messageReply, (input, call) => {
      checkClaims(call.actor, input);
      return this.send(call, (views) => {
        const before = visible(views, input.to, call.actor);
        // After one's own message a reply goes where that went.
        const to =
          before.from === call.actor.id ? deliveriesOf(views, before.id).map((each) => each.to) : [before.from];
        const { body, priority, ack } = input;
        const type = input.type ?? "response";
        const about = { to, subject: replySubject(before.subject), inReplyTo: before.id, queue: true };
        return { ...about, body, priority, ack, type, dataJson: dataText(input) };
      });
    });
    dispatch.handle(messageAck, async (input, call) => {
      const { result } = await this.#town.ledger.write({
        actor: call.actor.name,
        ...once(call),
        decide: (views) => {
          const outcome = input.outcome ?? "seen";
          const events = [...new Set(input.ids)].flatMap((id) =>
            this.#acknowledge(views, call.actor, id, outcome, input.note ?? null),
          );
          return { events, result: { acked: input.ids } };
        },
      });
      return result;
    });
  }

  /** What another town says against an address in it; null: nothing, or it cannot be asked now. */
  async #refusedElsewhere(to: readonly string[], sender: string, queue: boolean): Promise<BosunError | null> {
    if (queue) return null;
    for (const address of to.filter((each) => each.includes("/") && !/^[@#]/.test(each))) {
      try {
        await this.#carrying.check(this.#addresses.whoIs(address), sender);
      } catch (error) {
        if (error instanceof BosunError) return error;
        throw error;
      }
    }
    return null;
  }

  /** Writes the message a caller wishes for, and does what follows from its type. */
  async send(call: Call, wish: (views: Views) => Letter): Promise<Sent> {
    this.#quotas.checkPace(call.actor.id);
    const { result, position, duplicate } = await this.#town.ledger.write({
      actor: call.actor.name,
      ...once(call),
      decide: (views) => {
        const asked = wish(views);
        const { events, posted } = this.compose(views, call.actor, asked);
        return { events, result: { posted, type: asked.type } };
      },
    });
    const { skipped, ...posted } = result.posted;
    if (result.type === "ping" && !duplicate) await this.#afterwards.pinged(result.posted, call.actor.id);
    const answer = result.type === "sync" ? await this.#afterwards.synced(result.posted, call.actor.id) : null;
    const recipients = posted.recipients.map(shownId);
    return { ...posted, recipients, seq: position, duplicate, answer, ...(skipped.length > 0 && { skipped }) };
  }

  /**
   * The facts of one message, itself the last of them. Throws UNKNOWN_AGENT, NOT_FOUND for a message or task nobody has,
   * CONFLICT for a task that is somebody else's, TOO_LARGE, OVER_QUOTA.
   */
  compose(views: Views, actor: Actor, asked: Letter): { events: Event[]; posted: Posted } {
    checkSizes(asked);
    const now = this.#town.now();
    const addressed = this.#addresses.resolve(asked.to, actor.id, asked.queue ?? false);
    const { recipients, skipped } = this.#quotas.withRoom(views, addressed);
    const before =
      asked.inReplyTo !== undefined
        ? visible(views, asked.inReplyTo, actor)
        : asked.type === "task_accept"
          ? meantOffer(views, actor, asked.task, recipients)
          : null;
    const far = LOCAL_TYPES.has(asked.type) && recipients.find((who) => farOf(who));
    if (far) throw staysHere(asked.type, far);
    if ((asked.type === "ping" || asked.type === "sync") && recipients.length > MOST_ANSWERS) throw tooMany(asked.type);
    const id = timedId(crypto.randomUUID(), now);
    const { task, events } = this.#work(views, actor, asked, before, recipients, id);
    const data: MessageSent = {
      id,
      thread: before?.thread ?? id,
      from: actor.id,
      to: recipients,
      type: asked.type,
      subject: asked.subject,
      body: asked.body,
      dataJson: asked.dataJson ?? null,
      priority: asked.priority ?? "normal",
      inReplyTo: before?.id ?? null,
      addressed: [...asked.to],
      human: actor.kind === "person",
      ack: asked.ack ?? false,
      expiresAtMs: asked.ttlS === undefined ? null : now + Math.round(asked.ttlS * 1000),
      task,
      sentAtMs: null,
    };
    const posted = { id, thread: data.thread, recipients, ts: rfc3339(now), signal: signalOf(data), task, skipped };
    return { events: [...events, { type: "message.sent", data }], posted };
  }

  /** What an offer, an acceptance or a handoff does to its task. */
  #work(
    views: Views,
    actor: Actor,
    asked: Letter,
    before: MessageRow | null,
    recipients: string[],
    message: string,
  ): { task: string | null; events: Event[] } {
    const { type, subject: title } = asked;
    const named = asked.task ?? before?.task ?? null;
    if (type === "task_accept") {
      if (named === null) throw nothingOffered(actor, recipients);
      const note = asked.body || null;
      const accepted = work.accept(taskRow(views, named), named, actor.id, message, note);
      return { task: named, events: [...acceptedOffer(views, actor, before, note), ...accepted] };
    }
    if (type !== "task_offer" && type !== "handoff") return { task: named, events: [] };
    // Answering an offer with another one makes a new task, unless it says which it means.
    const task = asked.task ?? `task-${message.slice(-8)}`;
    const known = taskRow(views, task);
    const one = type === "handoff" && recipients.length === 1 ? recipients[0]! : null;
    const events =
      one === null
        ? work.offer(known, { task, title, by: actor.id, to: recipients, message })
        : work.hand(known, { task, title, from: actor.id, to: one, message });
    return { task, events };
  }

  #acknowledge(views: Views, actor: Actor, id: string, outcome: Outcome, note: string | null): Event[] {
    const mine = deliveryOf(views, id, actor.id);
    if (!mine) throw notYours(actor, id);
    if (mine.state === "acked" && (outcome === "seen" || mine.task === null)) return [];
    const acked: Event = { type: "delivery.acked", data: { messages: [id], to: actor.id, outcome, note } };
    const told = mine.ack && farOf(mine.from) ? [this.#carrying.receipt(mine, actor.id, outcome, note)] : [];
    const events = mine.state === "acked" ? [] : [acked, ...told];
    const settles = outcome !== "seen" && (mine.type === "task_offer" || mine.type === "handoff");
    return settles ? this.#settle(views, actor, mine, outcome, note, events) : events;
  }

  /** The word about a task, and the news of it for whoever gave it. */
  #settle(
    views: Views,
    actor: Actor,
    offer: InboxRow,
    outcome: Exclude<Outcome, "seen">,
    note: string | null,
    acked: Event[],
  ): Event[] {
    const known = taskRow(views, offer.task!);
    if (outcome === "accepted" && known?.state === "accepted" && known.owner === actor.id) return acked;
    const words = { accepted: "Accepted", declined: "Declined", done: "Done" }[outcome];
    const news = this.compose(views, actor, {
      to: [offer.from],
      subject: `${words}: ${known?.title ?? offer.subject}`.slice(0, 512),
      body: note ?? "",
      type: outcome === "accepted" ? "task_accept" : "response",
      inReplyTo: offer.id,
      task: offer.task!,
      queue: true,
    });
    // An acceptance says all of it itself.
    if (outcome === "accepted") return news.events;
    const settled =
      outcome === "declined"
        ? work.decline(known, offer.task!, actor.id, note, news.posted.id)
        : work.finish(known, offer.task!, actor.id, note);
    return [...acked, ...settled, ...news.events];
  }
}

/** A message the caller wrote, received, or has in a thread of theirs; those who run the floor see all. Throws NOT_FOUND. */
export function visible(views: Views, id: string, actor: Actor): MessageRow {
  const row = messageRow(views, id);
  if (row && (runsFloor(actor) || row.from === actor.id || takesPart(views, row.thread, actor.id))) return row;
  throw new BosunError({
    code: "NOT_FOUND",
    what: `there is no message ${id}`,
    why: "or it is none of yours",
    fix: "bosun inbox   lists yours",
  });
}

export function runsFloor(actor: Actor): boolean {
  return actor.role === "operator" || actor.role === "admin";
}

function acceptedOffer(views: Views, actor: Actor, offer: MessageRow | null, note: string | null): Event[] {
  const mine = offer && deliveryOf(views, offer.id, actor.id);
  if (!mine || mine.state === "acked") return [];
  return [{ type: "delivery.acked", data: { messages: [mine.id], to: actor.id, outcome: "accepted", note } }];
}

function dataText({ data, dataJson }: { data?: unknown; dataJson?: string | undefined }): string | undefined {
  if (data !== undefined && dataJson !== undefined) {
    throw new BosunError({ code: "USAGE", what: "data and dataJson are both given", fix: "give one of them" });
  }
  return dataJson ?? (data === undefined ? undefined : JSON.stringify(data));
}

function checkSizes({ body, dataJson = "" }: Letter): void {
  const sizes: [string, string, number][] = [
    ["body", body, MAX_BODY_BYTES],
    ["data", dataJson, MAX_DATA_BYTES],
  ];
  for (const [what, text, most] of sizes) {
    const bytes = Buffer.byteLength(text);
    if (bytes <= most) continue;
    throw new BosunError({
      code: "TOO_LARGE",
      what: `the ${what} has ${bytes} bytes`,
      why: `the ${what} of a message may have ${most}`,
      fix: "put it in a file and send the path",
    });
  }
}

function staysHere(type: MessageType, recipient: string): BosunError {
  return new BosunError({
    code: "REFUSED",
    what: `a ${type} cannot go to ${shownId(recipient)}`,
    why: "tasks and answers of the coordinator belong to one town",
    fix: "send a request there",
  });
}

function tooMany(type: string): BosunError {
  return new BosunError({
    code: "TOO_LARGE",
    what: `a ${type} to more than ${MOST_ANSWERS} recipients`,
    why: "each of them is answered for",
    fix: "address fewer; bosun list tells who is there without asking anybody",
  });
}

/** The offer that an acceptance means which names none: the newest of those it is sent to. */
function meantOffer(
  views: Views,
  actor: Actor,
  task: string | undefined,
  recipients: readonly string[],
): MessageRow | null {
  const known =
    task === undefined
      ? tasksPage(views, { offeredTo: actor.id, states: ["offered"] }, "", 1000)
          .filter((each) => recipients.includes(each.by))
          .sort((a, b) => b.sinceMs - a.sinceMs)[0]
      : taskRow(views, task);
  return known ? messageRow(views, known.message) : null;
}

function nothingOffered(actor: Actor, recipients: readonly string[]): BosunError {
  return new BosunError({
    code: "NOT_FOUND",
    what: `${recipients.join(", ")} has no task on offer for ${actor.id}`,
    why: "an acceptance replies to an offer, names a task, or means the newest that its recipient offers",
    fix: `bosun task list --offered-to ${actor.id}   shows them`,
  });
}

function notYours(actor: Actor, id: string): BosunError {
  return new BosunError({
    code: "NOT_FOUND",
    what: `${actor.id} has no message ${id}`,
    fix: "bosun inbox   lists yours",
  });
}
