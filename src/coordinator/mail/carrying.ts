import { BosunError, type ErrorCode } from "../../protocol/error.ts";
import type { Event, MessageSent } from "../../protocol/event.ts";
import { timedId } from "../../protocol/id.ts";
import { type CarriedType, messageCarry, OUTCOMES, type Outcome } from "../../protocol/message.ts";
import type { InputOf, OutputOf } from "../../protocol/operation.ts";
import { owner } from "../credentials.ts";
import { type Actor, type Dispatch, once } from "../dispatch.ts";
import type { Ledger } from "../log/ledger.ts";
import {
  deliveriesOf,
  deliveryOf,
  type InboxRow,
  type MessageRow,
  messageAt,
  messageRow,
  recipientsWaiting,
  unreadPlaces,
} from "../messages/projection.ts";
import type { Town } from "../town.ts";
import type { Addresses } from "./addressing.ts";
import { farId, farOf, shownId } from "./far.ts";
import type { Neighbours } from "./neighbours.ts";
import type { Quotas } from "./quotas.ts";

type Views = Ledger["views"];
type Carried = InputOf<typeof messageCarry>;
type Answer = OutputOf<typeof messageCarry>;

/** A town that could not be asked is asked again after this, and then half as often each time. */
const AGAIN_AFTER_MS = 2_000;
const AGAIN_AT_MOST_MS = 60_000;

/** Somebody waits for the word whether an address is good. */
const CHECK_WITHIN_MS = 2_000;
const CARRY_WITHIN_MS = 10_000;

/** Places of one recipient that are looked at in one turn; bodies are read one by one. */
const PORTION = 1_000;

/** A town says these for good; anything else is tried again. */
const FINAL: ReadonlySet<string> = new Set<ErrorCode>(["UNKNOWN_AGENT", "REFUSED", "TOO_LARGE"]);

/** The messages that bring acknowledgements home: nobody can send one, and nobody reads one. */
export const RECEIPT: CarriedType = "receipt";

interface Receipt {
  /** The address the message came under. */
  as: string | null;
  outcome: Outcome;
  note: string | null;
}

/** One other town, and how far mail to it has come. */
class Route {
  readonly recipients = new Set<string>();
  timer: NodeJS.Timeout | null = null;
  underWay: Promise<void> | null = null;
  failures = 0;
  /** Why it failed last: told once. */
  why = "";
}

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
  readonly #routes = new Map<string, Route>();
  readonly #leave: () => void;
  #closed = false;

  constructor(town: Town, addresses: Addresses, quotas: Quotas, neighbours: Neighbours) {
    this.#town = town;
    this.#addresses = addresses;
    this.#quotas = quotas;
    this.#neighbours = neighbours;
    for (const who of recipientsWaiting(town.ledger.views)) this.#wait(who);
    this.#leave = town.ledger.tail(({ event }) => {
      if (event.type === "message.sent") for (const who of event.data.to) this.#wait(who);
    });
  }

  register(dispatch: Dispatch): void {
    dispatch.handle(messageCarry, async (input, call) => {
      this.#checkBearer(input.town, call.actor);
      if (input.dry) return this.#readers(this.#town.ledger.views, input);
      const { result } = await this.#town.ledger.write({
        actor: call.actor.name,
        ...once(call),
        decide: (views) => this.#taken(views, input),
      });
      return result;
    });
  }

  /** Whether somebody in another town would get it. What their town refuses is thrown; one that does not run takes it later. */
  async check(recipient: string, sender: string): Promise<void> {
    const far = farOf(recipient);
    if (!far) return;
    const probe = { ...PROBE, town: this.#town.name.name, from: sender, to: [far.address] };
    const answer = await this.#ask(far.town, probe, CHECK_WITHIN_MS);
    const refused = answer?.refused[0];
    if (!refused || !FINAL.has(refused.code)) return;
    throw new BosunError({
      code: refused.code as ErrorCode,
      what: `the town ${far.town} says: ${refused.what}`,
      ...(refused.why && { why: refused.why }),
      fix: `bosun --town ${far.town} ls   shows who is there`,
    });
  }

  /** The word of a recipient here about a message from another town, on its way there. */
  receipt(message: MessageRow, who: string, outcome: Outcome, note: string | null): Event {
    const data: Receipt = { as: this.#cameAs(message, who), outcome, note };
    const about = { thread: message.thread, inReplyTo: message.id, dataJson: JSON.stringify(data) };
    return this.#own({
      ...about,
      from: who,
      to: message.from,
      type: RECEIPT,
      subject: `Re: ${message.subject}`,
      body: "",
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#leave();
    this.#neighbours.close();
    for (const { timer } of this.#routes.values()) if (timer) clearTimeout(timer);
    await Promise.all([...this.#routes.values()].map((route) => route.underWay));
  }

  #wait(recipient: string): void {
    const far = farOf(recipient);
    if (!far) return;
    const route = this.#routes.get(far.town) ?? new Route();
    this.#routes.set(far.town, route);
    route.recipients.add(recipient);
    this.#set(far.town, route, 0);
  }

  #set(town: string, route: Route, afterMs: number): void {
    if (this.#closed || route.underWay) return;
    if (route.timer) clearTimeout(route.timer);
    route.timer = setTimeout(() => {
      route.timer = null;
      route.underWay = this.#carryTo(town, route)
        .catch((error: unknown) => {
          this.#complain(town, error);
          return false;
        })
        .then((done) => {
          route.underWay = null;
          route.failures = done ? 0 : route.failures + 1;
          if (route.recipients.size === 0) return;
          this.#set(town, route, done ? 0 : Math.min(AGAIN_AT_MOST_MS, AGAIN_AFTER_MS * 2 ** (route.failures - 1)));
        });
    }, afterMs);
    route.timer.unref();
  }

  /** Everything that waits for that town, oldest first. False: some of it has to be tried again. */
  async #carryTo(town: string, route: Route): Promise<boolean> {
    let done = true;
    for (const position of this.#placesFor(route)) {
      if (this.#closed) return true;
      const { views } = this.#town.ledger;
      const message = messageAt(views, position)!;
      // All that wait for it there: the town takes a message once.
      const rows = deliveriesOf(views, message.id).filter((row) => farOf(row.to)?.town === town && this.#waits(row));
      if (rows.length === 0) continue;
      const answer = await this.#ask(town, this.#carried(views, message, rows), CARRY_WITHIN_MS);
      if (!answer) return false;
      if (answer.refused.some((each) => !FINAL.has(each.code))) done = false;
      else await this.#settle(message, rows, answer);
    }
    return done;
  }

  /** Where there is mail for it in the log. A recipient with none left waits no longer. */
  #placesFor({ recipients }: Route): number[] {
    const { views } = this.#town.ledger;
    const places = new Set<number>();
    for (const who of recipients) {
      const found = unreadPlaces(views, { who, epoch: 0, nowMs: this.#town.now() }, {}, 0, PORTION).flat();
      if (found.length === 0) recipients.delete(who);
      for (const { position } of found) places.add(position);
    }
    return [...places].sort((a, b) => a - b);
  }

  #waits({ state, expiresAtMs }: InboxRow): boolean {
    return (state === "queued" || state === "notified") && (expiresAtMs === null || expiresAtMs > this.#town.now());
  }

  #carried(views: Views, message: MessageRow, rows: readonly InboxRow[]): Carried {
    const { id, thread, subject, body, dataJson, inReplyTo, human, ack, expiresAtMs, atMs: sentAtMs, from } = message;
    const { type, priority } = message as unknown as Pick<Carried, "type" | "priority">;
    const before = inReplyTo === null ? null : messageRow(views, inReplyTo);
    return {
      ...{ id, thread, type, subject, body, dataJson, priority, inReplyTo, human, ack, expiresAtMs, sentAtMs, from },
      town: this.#town.name.name,
      to: rows.map((row) => farOf(row.to)!.address),
      answersAs: before && farOf(before.from) ? this.#cameAs(before, from) : null,
    };
  }

  /** The address under which a message from another town came to `who`, as it was written there. */
  #cameAs({ addressed }: MessageRow, who: string): string | null {
    if (addressed.length === 1) return addressed[0]!;
    return addressed.find((address) => this.#resolved(address, "").recipients.includes(who)) ?? null;
  }

  /** Null: the town cannot be asked now. */
  async #ask(town: string, carried: Carried, withinMs: number): Promise<Answer | null> {
    try {
      const answer = (await this.#neighbours.call(town, "message.carry", carried, withinMs)) as Answer;
      const route = this.#routes.get(town);
      if (route) route.why = "";
      return answer;
    } catch (error) {
      if (!(error instanceof BosunError)) throw error;
      // It is not there just now: nothing to complain about.
      if (error.code !== "UNREACHABLE") this.#complain(town, error);
      return null;
    }
  }

  #complain(town: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    const route = this.#routes.get(town);
    if (route?.why === why) return;
    if (route) route.why = why;
    this.#town.log.warn({ err: error, town }, "mail cannot be carried; it is tried again");
  }

  async #settle({ id }: MessageRow, rows: readonly InboxRow[], { refused }: Answer): Promise<void> {
    const refusals = new Map(refused.map((each) => [each.to, each]));
    await this.#town.ledger.write({
      actor: "coordinator",
      decide: (views) => ({
        events: rows.flatMap((row): Event[] => {
          if (!this.#waits(deliveryOf(views, id, row.to)!)) return [];
          const refusal = refusals.get(farOf(row.to)!.address);
          if (!refusal) return [{ type: "delivery.presented", data: { messages: [id], to: row.to, epoch: 0 } }];
          const note = refusal.why ? `${refusal.what}: ${refusal.why}` : refusal.what;
          const acked: Event = {
            type: "delivery.acked",
            data: { messages: [id], to: row.to, outcome: "declined", note },
          };
          return row.type === RECEIPT ? [acked] : [acked, this.#bounce(row, note)];
        }),
        result: null,
      }),
    });
  }

  #bounce({ id, thread, from, to, subject }: InboxRow, note: string): Event {
    const about = { thread, inReplyTo: id, from: "coordinator", to: from, body: note, dataJson: null };
    return this.#own({ ...about, type: "notification", subject: `Not delivered to ${shownId(to)}: ${subject}` });
  }

  #own(
    given: Pick<MessageSent, "thread" | "from" | "type" | "subject" | "body" | "dataJson" | "inReplyTo"> & {
      to: string;
    },
  ): Event {
    const data: MessageSent = {
      ...given,
      id: timedId(crypto.randomUUID(), this.#town.now()),
      to: [given.to],
      subject: given.subject.slice(0, 512),
      priority: "important",
      addressed: [given.to],
      human: false,
      ack: false,
      expiresAtMs: null,
      task: null,
      sentAtMs: null,
    };
    return { type: "message.sent", data };
  }

  /** Only the owner's own coordinators carry mail, each for its own town. Throws REFUSED. */
  #checkBearer(town: string, actor: Actor): void {
    const known = town !== this.#town.name.name && this.#neighbours.towns().includes(town);
    if (known && actor.name === owner().name && actor.via === undefined) return;
    throw new BosunError({
      code: "REFUSED",
      what: known
        ? `${actor.id} may not bring mail from the town ${town}`
        : `"${town}" is no other town of this machine`,
      why: "mail between towns is carried by their coordinators; who sends is known to the sender's",
      fix: "bosun send TOWN/NAME …   in the sender's town",
    });
  }

  /** What another town brings. */
  #taken(views: Views, input: Carried): { events: Event[]; result: Answer } {
    const from = farId({ town: input.town, address: input.from });
    if (input.type === RECEIPT) return { events: this.#received(views, input), result: NOTHING };
    const answer = this.#readers(views, input);
    const known = messageRow(views, input.id);
    if (known) {
      // It came before, and its answer was lost.
      const stored = new Set(deliveriesOf(views, known.id).map((each) => each.to));
      return { events: [], result: { ...answer, recipients: [...stored], duplicate: true } };
    }
    // Taken whole or not yet: what could be taken later must not be left out for good.
    const later = answer.refused.some((each) => !FINAL.has(each.code));
    if (later || answer.recipients.length === 0) return { events: [], result: { ...answer, recipients: [] } };
    const { id, thread, subject, body, dataJson, priority, human, ack, expiresAtMs, sentAtMs, answersAs, type } = input;
    const inReplyTo = input.inReplyTo !== null && messageRow(views, input.inReplyTo) ? input.inReplyTo : null;
    const sent: MessageSent = {
      ...{ id, thread, from, type, subject, body, dataJson, priority, human, ack, expiresAtMs, sentAtMs, inReplyTo },
      to: answer.recipients,
      addressed: [...input.to],
      task: null,
      ...(answersAs !== null && { answersFor: farId({ town: input.town, address: answersAs }) }),
    };
    return { events: [{ type: "message.sent", data: sent }], result: answer };
  }

  /** Who would get it here, and who of those addressed would not. */
  #readers(views: Views, { to, from: sender, town }: Carried): Answer {
    const from = farId({ town, address: sender });
    const recipients = new Set<string>();
    const refused: Answer["refused"] = [];
    for (const address of to) {
      try {
        for (const who of this.#quotas.withRoom(views, this.#resolved(address, from)).recipients) recipients.add(who);
      } catch (error) {
        if (!(error instanceof BosunError)) throw error;
        refused.push({ to: address, code: error.code, what: error.body.what, why: error.body.why ?? null });
      }
    }
    return { recipients: [...recipients], refused, duplicate: false };
  }

  /** Here, and nowhere else. */
  #resolved(address: string, sender: string) {
    const addressed = this.#addresses.resolve([address], sender, false);
    if (addressed.recipients.some((who) => farOf(who))) throw notHere(address, this.#town.name.name);
    return addressed;
  }

  #received(views: Views, { town, from, inReplyTo, dataJson }: Carried): Event[] {
    const { as, outcome, note } = JSON.parse(dataJson ?? "{}") as Partial<Receipt>;
    if (inReplyTo === null || !OUTCOMES.includes(outcome!)) return [];
    const delivery = [as, from]
      .flatMap((address) => (address ? [deliveryOf(views, inReplyTo, farId({ town, address }))] : []))
      .find((each) => each !== null);
    if (!delivery || delivery.state === "acked") return [];
    const data = { messages: [inReplyTo], to: delivery.to, outcome: outcome!, note: note ?? null };
    return [{ type: "delivery.acked", data }];
  }
}

const NOTHING: Answer = { recipients: [], refused: [], duplicate: false };

const PROBE: Omit<Carried, "town" | "from" | "to"> = {
  id: "probe",
  thread: "probe",
  type: "notification",
  subject: "",
  body: "",
  dataJson: null,
  priority: "normal",
  inReplyTo: null,
  answersAs: null,
  human: false,
  ack: false,
  expiresAtMs: null,
  sentAtMs: 0,
  dry: true,
};

function notHere(address: string, town: string): BosunError {
  return new BosunError({
    code: "REFUSED",
    what: `${address} is in another town than ${town}`,
    why: "mail is carried from one town to the next, and not on",
    fix: "write to that town itself",
  });
}
