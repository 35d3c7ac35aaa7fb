import type { z } from "zod";
import { BosunError } from "../../protocol/error.ts";
import {
  type InboxMessage,
  MESSAGE_TYPES,
  messageDead,
  messageInbox,
  messageList,
  messageShow,
  messageStats,
  messageThread,
} from "../../protocol/message.ts";
import type { OutputOf } from "../../protocol/operation.ts";
import type { Actor, Call, Dispatch } from "../dispatch.ts";
import { inPriorityOrder, inTimeOrder } from "../messages/decide.ts";
import {
  deadCount,
  deadPage,
  deliveriesOf,
  deliveryOf,
  type InboxFilter,
  type InboxRow,
  inboxAt,
  inboxEnd,
  inboxPage,
  mailboxRow,
  mailCounts,
  messagesPage,
  type Reader,
  slowestState,
  takesPart,
  threadOf,
  threadPage,
  unreadOf,
  unreadPlaces,
  unreadTotal,
} from "../messages/projection.ts";
import { rfc3339 } from "../registry.ts";
import type { Town } from "../town.ts";
import { shownId, storedId } from "./far.ts";
import { type Handing, readerOf } from "./handing.ts";
import { letter } from "./letter.ts";
import { runsFloor, visible } from "./sending.ts";
import type { Strays } from "./strays.ts";
import type { MailWatch } from "./watch.ts";

/** Messages of one page unless asked for more. */
const PAGE = 100;

type InboxWish = z.output<(typeof messageInbox)["input"]>;

/** Reading mail. Only handing over a body to its owner counts as presented: whoever looks over a shoulder changes nothing. */
export class Mailboxes {
  readonly #town: Town;
  readonly #handing: Handing;
  readonly #watch: MailWatch;
  readonly #strays: Strays;

  constructor(town: Town, handing: Handing, watch: MailWatch, strays: Strays) {
    this.#town = town;
    this.#strays = strays;
    this.#handing = handing;
    this.#watch = watch;
  }

  register(dispatch: Dispatch): void {
    dispatch.handle(messageInbox, (input, call) => this.#inbox(input, call));
    dispatch.handle(messageShow, ({ id }, call) => this.#show(id, call.actor));
    dispatch.handle(messageThread, ({ id, after = 0, limit = PAGE, maxChars }, call) =>
      this.#thread(id, call.actor, after, limit, maxChars),
    );
    dispatch.handle(messageList, ({ type, after = 0, limit = PAGE }) => {
      const { views } = this.#town.ledger;
      const page = pageOf(messagesPage(views, type, after, limit + 1), limit);
      return {
        messages: page.rows.map((row) =>
          letter({ ...row, state: slowestState(views, row.position) }, { bodies: true }),
        ),
        next: page.next,
      };
    });
    dispatch.handle(messageDead, ({ after = 0, limit = PAGE }) => this.#dead(after, limit));
    dispatch.handle(messageStats, () => this.#stats());
  }

  async #inbox(input: InboxWish, call: Call): Promise<OutputOf<typeof messageInbox>> {
    const first = readerOf(this.#town, input.who, call.actor);
    if (input.waitMs && this.#page(first, input).rows.length === 0) {
      await this.#watch.mailFor(first.who, input.waitMs, call.stream);
    }
    const reader = { ...first, nowMs: this.#town.now() };
    const { rows, next } = this.#page(reader, input);
    const bodies = input.bodies ?? true;
    const handed = bodies && reader.who === call.actor.id ? await this.#handing.present(rows, reader) : 0;
    const order = orderOf(input);
    return {
      who: reader.who,
      ...unreadOf(this.#town.ledger.views, reader),
      messages: rows.map((row) => letter(row, { bodies, maxChars: input.maxChars }, reader.epoch)),
      // What was handed over is no longer unread: the rest begins at the start again.
      next: next !== null && order === "priority" && handed > 0 ? 0 : next,
    };
  }

  #page(reader: Reader, input: InboxWish): { rows: InboxRow[]; next: number | null } {
    const { views } = this.#town.ledger;
    const { after = 0, limit = input.last ?? PAGE } = input;
    const from = input.from !== undefined && !this.#town.registry.known(input.from) ? storedId(input.from) : input.from;
    const filter: InboxFilter = { types: input.type, from, priorities: input.priority, open: input.open };
    if (!input.unread) {
      if (input.last !== undefined && input.after === undefined) {
        return { rows: inboxEnd(views, reader, filter, input.last), next: null };
      }
      return pageOf(inboxPage(views, reader, filter, after, limit + 1), limit);
    }
    if (orderOf(input) === "time") {
      const places = inTimeOrder(unreadPlaces(views, reader, filter, after, limit + 1), limit + 1);
      return pageOf(inboxAt(views, reader.who, places), limit);
    }
    // In this order a cursor is a number of places.
    const streams = unreadPlaces(views, reader, filter, 0, after + limit + 1);
    const order = inPriorityOrder(streams, mailboxRow(views, reader.who).handed, after + limit + 1);
    const rows = inboxAt(views, reader.who, order.slice(after, after + limit));
    return { rows, next: order.length > after + limit ? after + limit : null };
  }

  async #show(id: string, actor: Actor): Promise<OutputOf<typeof messageShow>> {
    const { views } = this.#town.ledger;
    const row = visible(views, id, actor);
    const mine = deliveryOf(views, id, actor.id);
    if (mine) await this.#handing.present([mine], { who: actor.id, epoch: actor.epoch });
    const deliveries = deliveriesOf(views, id);
    const shown = deliveries.find((each) => each.to === actor.id) ?? {
      ...row,
      state: slowestState(views, row.position),
    };
    return {
      message: letter(shown, { bodies: true }, actor.epoch),
      deliveries: deliveries.map(({ to, state, outcome, note, notifiedAtMs, presentedAtMs, ackedAtMs }) => ({
        to: shownId(to),
        state,
        outcome,
        note,
        notified_at: at(notifiedAtMs),
        presented_at: at(presentedAtMs),
        acked_at: at(ackedAtMs),
      })),
    };
  }

  async #thread(
    id: string,
    actor: Actor,
    after: number,
    limit: number,
    maxChars: number | undefined,
  ): Promise<OutputOf<typeof messageThread>> {
    const { views } = this.#town.ledger;
    const thread = threadOf(views, id);
    if (thread === null || !(runsFloor(actor) || takesPart(views, thread, actor.id))) {
      throw new BosunError({
        code: "NOT_FOUND",
        what: `there is no thread ${id}`,
        why: "or none of its messages is yours",
        fix: "bosun inbox   lists yours, each with its thread",
      });
    }
    const { rows, next } = pageOf(threadPage(views, thread, after, limit + 1), limit);
    const mine = rows.flatMap((row) => deliveryOf(views, row.id, actor.id) ?? []);
    await this.#handing.present(mine, { who: actor.id, epoch: actor.epoch });
    const messages = rows.map((row): InboxMessage => {
      const shown = deliveryOf(views, row.id, actor.id) ?? { ...row, state: slowestState(views, row.position) };
      return letter(shown, { bodies: true, maxChars }, actor.epoch);
    });
    return { thread, messages, next };
  }

  #dead(after: number, limit: number): OutputOf<typeof messageDead> {
    const now = this.#town.now();
    const { views } = this.#town.ledger;
    const page = deadPage(views, this.#strays.all(), now, after, limit);
    return {
      messages: page.rows.map((row) => ({ message: letter(row, { bodies: true }), reason: this.#reason(row, now) })),
      next: page.next,
    };
  }

  #reason(row: InboxRow, now: number): "expired" | "unregistered" | "unknown" {
    if (row.expiresAtMs !== null && row.expiresAtMs <= now) return "expired";
    return this.#town.registry.epochOf(row.to) > 0 ? "unregistered" : "unknown";
  }

  #stats(): OutputOf<typeof messageStats> {
    const { views } = this.#town.ledger;
    const now = this.#town.now();
    const byType = mailCounts(views, "type");
    return {
      total_messages: Object.values(byType).reduce((sum, n) => sum + n, 0),
      by_type: { ...Object.fromEntries(MESSAGE_TYPES.map((type) => [type, 0])), ...byType },
      by_priority: { critical: 0, important: 0, normal: 0, low: 0, ...mailCounts(views, "priority") },
      unread: unreadTotal(views, now),
      open_requests: mailCounts(views, "open").request ?? 0,
      dead: deadCount(views, this.#strays.all(), now),
    };
  }
}

function orderOf({ order, unread }: InboxWish): "time" | "priority" {
  if (!unread && order === "priority") {
    throw new BosunError({
      code: "USAGE",
      what: "only unread mail has an order of priority",
      fix: "ask for unread mail, or for the order of time",
    });
  }
  return order ?? (unread ? "priority" : "time");
}

function pageOf<Row extends { position: number }>(rows: Row[], limit: number): { rows: Row[]; next: number | null } {
  return { rows: rows.slice(0, limit), next: rows.length > limit ? rows[limit - 1]!.position : null };
}

function at(ms: number | null): string | null {
  return ms === null ? null : rfc3339(ms);
}
