import { z } from "zod";
import { BosunError } from "../../protocol/error.ts";
import type { Event, MessageSent } from "../../protocol/event.ts";
import { timedId } from "../../protocol/id.ts";
import { messageCarry, OUTCOMES, type Outcome } from "../../protocol/message.ts";
import type { InputOf, OutputOf } from "../../protocol/operation.ts";
import { type Dispatch, once } from "../dispatch.ts";
import type { Ledger } from "../log/ledger.ts";
import {
  deliveriesOf,
  deliveryOf,
  type InboxRow,
  inboxAt,
  messageRow,
  recipientsWaiting,
  unreadPlaces,
} from "../messages/projection.ts";
import type { Town } from "../town.ts";
import type { Addresses } from "./addressing.ts";
import type { Neighbours } from "./neighbours.ts";
import type { Quotas } from "./quotas.ts";

type Views = Ledger["views"];
type Carried = InputOf<typeof messageCarry>;

/** A town that could not be asked is asked again after this. */
const AGAIN_AFTER_MS = 2_000;

/** Messages of one recipient that are looked at in one turn. */
const PORTION = 100;

/** A town says these for good; anything else is tried again. */
const FINAL = new Set(["UNKNOWN_AGENT", "REFUSED", "TOO_LARGE", "USAGE"]);

/** What an acknowledgement says on its way home. */
const Receipt = z.object({ acknowledged: z.string(), outcome: z.enum(OUTCOMES), note: z.string().nullable() });

/**
 * Mail between the towns of a machine. A message for another town waits in the sender's log, under its address there, until that
 * town has it in its own log; then it counts as handed over. It keeps its id and thread, so answers find it, and is stored
 * once however often it is carried. What the other town refuses comes back to the sender with the reason.
 */
export class Carrying {
  readonly #town: Town;
  readonly #addresses: Addresses;
  readonly #quotas: Quotas;
  readonly #neighbours: Neighbours;
  /** Recipients in other towns that have mail waiting here. */
  readonly #waiting = new Map<string, Set<string>>();
  readonly #underWay = new Map<string, Promise<void>>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #leave: () => void;
  #closed = false;

  constructor(town: Town, addresses: Addresses, quotas: Quotas, neighbours: Neighbours) {
    this.#town = town;
    this.#addresses = addresses;
    this.#quotas = quotas;
    this.#neighbours = neighbours;
    this.#leave = town.ledger.tail(({ event }) => {
      if (event.type === "message.sent") for (const who of event.data.to) this.#wait(who);
    });
    // The plan decides which ids are somebody's here; it is in force a moment after the start.
    setTimeout(() => {
      if (!this.#closed) for (const who of recipientsWaiting(town.ledger.views)) this.#wait(who);
    }, 0).unref();
  }

  register(dispatch: Dispatch): void {
    dispatch.handle(messageCarry, async (input, call) => {
      const { result } = await this.#town.ledger.write({
        actor: call.actor.name,
        ...once(call),
        decide: (views) => this.#taken(views, input),
      });
      return result;
    });
  }

  /** Whether somebody in another town would get it. What their town refuses is thrown; one that does not run takes it later. */
  async check(address: string, sender: string): Promise<void> {
    const far = this.#addresses.farRecipient(address);
    if (!far) return;
    const probe = { ...EMPTY, town: this.#town.name.name, from: sender, to: [far.address], dry: true };
    const answer = await this.#ask(far.town, probe);
    const refused = answer?.refused[0];
    if (refused && FINAL.has(refused.code)) {
      throw new BosunError({
        code: refused.code as "UNKNOWN_AGENT",
        what: `the town ${far.town} says: ${refused.what}`,
        ...(refused.why && { why: refused.why }),
        fix: `bosun --town ${far.town} ls   shows who is there`,
      });
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#leave();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#neighbours.close();
    await Promise.all(this.#underWay.values());
  }

  #wait(recipient: string): void {
    const far = this.#addresses.farRecipient(recipient);
    if (!far) return;
    const waiting = this.#waiting.get(far.town) ?? new Set();
    this.#waiting.set(far.town, waiting.add(recipient));
    this.#set(far.town, 0);
  }

  #set(town: string, afterMs: number): void {
    if (this.#closed || this.#timers.has(town) || this.#underWay.has(town)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(town);
      const turn = this.#carryTo(town)
        .catch((error: unknown) => {
          this.#town.log.warn({ err: error, town }, "mail cannot be carried");
          return false;
        })
        .then((done) => {
          this.#underWay.delete(town);
          if (!done || (this.#waiting.get(town)?.size ?? 0) > 0) this.#set(town, done ? 0 : AGAIN_AFTER_MS);
        });
      this.#underWay.set(town, turn);
    }, afterMs);
    timer.unref();
    this.#timers.set(town, timer);
  }

  /** Everything that waits for that town, oldest first. False: it cannot be asked now. */
  async #carryTo(town: string): Promise<boolean> {
    for (const [id, rows] of this.#messagesFor(town)) {
      if (this.#closed) return true;
      const answer = await this.#ask(town, this.#carried(rows));
      if (!answer) return false;
      if (answer.refused.some((each) => !FINAL.has(each.code))) return false;
      await this.#settle(id, rows, answer);
    }
    return true;
  }

  /** By message: its deliveries there that nobody has taken over. What has none left waits no longer. */
  #messagesFor(town: string): Map<string, InboxRow[]> {
    const { views } = this.#town.ledger;
    const recipients = this.#waiting.get(town) ?? new Set();
    const rows = [...recipients].flatMap((who) => {
      const places = unreadPlaces(views, { who, epoch: 0, nowMs: this.#town.now() }, {}, 0, PORTION).flat();
      if (places.length === 0) recipients.delete(who);
      return inboxAt(views, who, places);
    });
    return Map.groupBy(
      rows.sort((a, b) => a.position - b.position),
      (row) => row.id,
    );
  }

  #carried(rows: readonly InboxRow[]): Carried {
    const [row] = rows as [InboxRow];
    const { id, thread, subject, body, dataJson, inReplyTo, human, ack, expiresAtMs, atMs: sentAtMs, from } = row;
    const { type, priority } = row as Pick<Carried, "type" | "priority">;
    const to = rows.map((row) => this.#addresses.farRecipient(row.to)!.address);
    const about = { id, thread, type, subject, body, dataJson, priority, inReplyTo, human, ack, expiresAtMs, sentAtMs };
    return { ...about, town: this.#town.name.name, from, to };
  }

  /** Null: the town cannot be asked now. */
  async #ask(town: string, carried: Carried): Promise<OutputOf<typeof messageCarry> | null> {
    try {
      return (await this.#neighbours.call(town, "message.carry", carried)) as OutputOf<typeof messageCarry>;
    } catch (error) {
      if (!(error instanceof BosunError)) throw error;
      if (error.code !== "UNREACHABLE") this.#town.log.warn({ err: error, town }, "mail cannot be carried");
      return null;
    }
  }

  async #settle(id: string, rows: readonly InboxRow[], answer: OutputOf<typeof messageCarry>): Promise<void> {
    const refusals = new Map(answer.refused.map((each) => [each.to, each]));
    await this.#town.ledger.write({
      actor: "coordinator",
      key: `carried:${id}:${rows.map((row) => row.to).join(",")}`,
      decide: () => ({
        events: rows.flatMap((row): Event[] => {
          const refused = refusals.get(this.#addresses.farRecipient(row.to)!.address);
          if (!refused) return [{ type: "delivery.presented", data: { messages: [id], to: row.to, epoch: 0 } }];
          const note = refused.why ? `${refused.what}: ${refused.why}` : refused.what;
          const acked = { messages: [id], to: row.to, outcome: "declined" as const, note };
          return [
            { type: "delivery.acked", data: acked },
            { type: "message.sent", data: this.#bounce(row, note) },
          ];
        }),
        result: null,
      }),
    });
  }

  #bounce(row: InboxRow, note: string): MessageSent {
    return {
      id: timedId(crypto.randomUUID(), this.#town.now()),
      thread: row.thread,
      from: "coordinator",
      to: [row.from],
      type: "notification",
      subject: `Not delivered to ${row.to}: ${row.subject}`.slice(0, 512),
      body: note,
      dataJson: null,
      priority: "important",
      inReplyTo: row.id,
      addressed: [row.from],
      human: false,
      ack: false,
      expiresAtMs: null,
      task: null,
      sentAtMs: null,
    };
  }

  /** What another town brings. */
  #taken(views: Views, input: Carried): { events: Event[]; result: OutputOf<typeof messageCarry> } {
    const from = this.#addresses.farId({ town: input.town, address: input.from });
    const known = input.dry ? null : messageRow(views, input.id);
    if (known) {
      const recipients = deliveriesOf(views, known.id).map((each) => each.to);
      return { events: [], result: { recipients, refused: [], duplicate: true } };
    }
    const receipt = receiptOf(input);
    if (receipt && !input.dry) return { events: this.#received(views, from, receipt), result: NOTHING };
    const recipients = new Set<string>();
    const refused: OutputOf<typeof messageCarry>["refused"] = [];
    for (const to of input.to) {
      try {
        const addressed = this.#addresses.resolve([to], from, false);
        const far = addressed.recipients.find((who) => this.#addresses.farRecipient(who));
        if (far) throw notHere(to, this.#town.name.name);
        for (const who of this.#quotas.withRoom(views, addressed).recipients) recipients.add(who);
      } catch (error) {
        if (!(error instanceof BosunError)) throw error;
        refused.push({ to, code: error.code, what: error.body.what, why: error.body.why ?? null });
      }
    }
    const result = { recipients: [...recipients], refused, duplicate: false };
    if (input.dry || recipients.size === 0) return { events: [], result };
    const { id, thread, type, subject, body, dataJson, priority, human, ack, expiresAtMs, sentAtMs } = input;
    const inReplyTo = input.inReplyTo !== null && messageRow(views, input.inReplyTo) ? input.inReplyTo : null;
    const about = { id, thread, type, subject, body, dataJson, priority, human, ack, expiresAtMs, sentAtMs };
    const sent: MessageSent = { ...about, from, to: [...recipients], inReplyTo, addressed: [...input.to], task: null };
    return { events: [{ type: "message.sent", data: sent }], result };
  }

  #received(views: Views, from: string, { acknowledged, outcome, note }: z.output<typeof Receipt>): Event[] {
    const delivery = deliveryOf(views, acknowledged, from);
    if (!delivery || delivery.state === "acked") return [];
    return [{ type: "delivery.acked", data: { messages: [acknowledged], to: from, outcome, note } }];
  }
}

const NOTHING = { recipients: [], refused: [], duplicate: false };

const EMPTY: Omit<Carried, "town" | "from" | "to"> = {
  id: "probe",
  thread: "probe",
  type: "notification",
  subject: "",
  body: "",
  dataJson: null,
  priority: "normal",
  inReplyTo: null,
  human: false,
  ack: false,
  expiresAtMs: null,
  sentAtMs: 0,
};

/** The data of a message that brings an acknowledgement to the town it was sent from. */
export function receiptData(message: string, outcome: Outcome, note: string | null): string {
  return JSON.stringify({ acknowledged: message, outcome, note } satisfies z.output<typeof Receipt>);
}

function receiptOf({ type, dataJson }: Carried): z.output<typeof Receipt> | null {
  if (type !== "notification" || dataJson === null) return null;
  return Receipt.safeParse(JSON.parse(dataJson)).data ?? null;
}

function notHere(address: string, town: string): BosunError {
  return new BosunError({
    code: "REFUSED",
    what: `${address} is in another town than ${town}`,
    why: "mail is carried from one town to the next, and not on",
    fix: "write to that town itself",
  });
}
