import { BosunError } from "../../protocol/error.ts";
import type { Actor } from "../dispatch.ts";
import { type InboxRow, mailboxRow, type Reader } from "../messages/projection.ts";
import type { Town } from "../town.ts";
import { runsFloor } from "./sending.ts";

/** How somebody was told that there is mail: they followed their mailbox, or a hook of their program said it. */
type Route = "watch" | "hook";

/** Being told that there is mail is no news worth an fsync of its own: many are written down together. */
const NOTICE_AFTER_MS = 50;

/** Ids of one entry; a mailbox of 100,000 is not one line of the log. */
const MOST_IDS = 1_000;

/**
 * Whose mail, as of now. A mailbox is open to its owner and to those who run the floor. Throws REFUSED, or UNKNOWN_AGENT for
 * somebody who is nowhere and has no mail.
 */
export function readerOf(town: Town, who: string | undefined, actor: Actor): Reader {
  const nowMs = town.now();
  if (who === undefined || who === actor.id) return { who: actor.id, epoch: actor.epoch, nowMs };
  if (!runsFloor(actor)) {
    throw new BosunError({
      code: "REFUSED",
      what: `${actor.id} may not read the mail of ${who}`,
      why: "a mailbox is open to its owner and to operators",
      fix: "leave the name away to read your own",
    });
  }
  if (!town.registry.known(who) && mailboxRow(town.ledger.views, who).received === 0) throw town.registry.unknown(who);
  return { who, epoch: town.registry.epochOf(who), nowMs };
}

/** Writes down how far mail has come with its owner: told that it is there, or handed the bodies. */
export class Handing {
  readonly #town: Town;
  readonly #notices = new Map<string, { to: string; route: Route; messages: string[] }>();
  #timer: NodeJS.Timeout | null = null;

  constructor(town: Town) {
    this.#town = town;
  }

  /** These bodies go to their owner; gives how many of them for the first time, or for the first time to this run. */
  async present(rows: readonly InboxRow[], { who, epoch }: Pick<Reader, "who" | "epoch">): Promise<number> {
    const due = rows.filter((row) => isDue(row, epoch)).map((row) => row.id);
    if (due.length === 0) return 0;
    await this.#town.ledger.write({
      actor: "coordinator",
      decide: () => ({
        events: portions(due).map((messages) => ({ type: "delivery.presented", data: { messages, to: who, epoch } })),
        result: null,
      }),
    });
    return due.length;
  }

  /** Its owner has been told of these, soon in the log. */
  told(rows: readonly InboxRow[], to: string, route: Route): void {
    const ids = rows.filter((row) => row.state === "queued").map((row) => row.id);
    if (ids.length === 0) return;
    const notice = this.#notices.get(`${route} ${to}`) ?? { to, route, messages: [] };
    notice.messages.push(...ids);
    this.#notices.set(`${route} ${to}`, notice);
    this.#timer ??= setTimeout(() => void this.flush(), NOTICE_AFTER_MS);
  }

  /** Never rejects. */
  async flush(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const notices = [...this.#notices.values()];
    this.#notices.clear();
    if (notices.length === 0) return;
    const written = this.#town.ledger.write({
      actor: "coordinator",
      decide: () => ({
        events: notices.flatMap(({ to, route, messages: ids }) =>
          portions(ids).map((messages) => ({ type: "delivery.notified" as const, data: { messages, to, route } })),
        ),
        result: null,
      }),
    });
    await written.catch((error: unknown) => this.#town.log.warn({ err: error }, "notices cannot be written down"));
  }
}

/** Not handed over yet, or to a run that ended without acknowledging it. */
function isDue(row: InboxRow, epoch: number): boolean {
  if (row.state === "presented") return row.ack && row.epoch < epoch;
  return row.state !== "acked";
}

function portions(ids: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(ids.length / MOST_IDS) }, (_, index) =>
    ids.slice(index * MOST_IDS, (index + 1) * MOST_IDS),
  );
}
