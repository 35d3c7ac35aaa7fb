import { BosunError } from "../../protocol/error.ts";
import { MAX_UNREAD } from "../../protocol/plan.ts";
import type { Ledger } from "../log/ledger.ts";
import { unreadOf } from "../messages/projection.ts";
import type { Town } from "../town.ts";
import type { Addressed } from "./addressing.ts";

/** How much mail a sender may send and a mailbox may hold. */
export class Quotas {
  readonly #town: Town;
  /** When each sender's messages of the last minute were sent; only where the plan limits them. */
  readonly #sent = new Map<string, number[]>();

  constructor(town: Town) {
    this.#town = town;
  }

  /** Leaves out members whose mailboxes are full; somebody named as such is refused. Throws OVER_QUOTA. */
  withRoom(views: Ledger["views"], { recipients, direct }: Addressed): { recipients: string[]; skipped: string[] } {
    const most = this.#town.plan?.limits.unread ?? MAX_UNREAD;
    const skipped = recipients.filter(
      (who) => unreadOf(views, { who, epoch: 0, nowMs: this.#town.now() }).unread >= most,
    );
    const full = skipped.find((who) => direct.has(who));
    if (full !== undefined) {
      throw new BosunError({
        code: "OVER_QUOTA",
        what: `the mailbox of ${full} is full`,
        why: `it holds ${most} unread messages; limits.unread of the floor plan says how many it may`,
        fix: `bosun inbox ${full}   shows them; send again when some have been read`,
        retryAfterMs: 60_000,
      });
    }
    return {
      recipients: skipped.length === 0 ? recipients : recipients.filter((who) => !skipped.includes(who)),
      skipped,
    };
  }

  /** Counts a message of `sender`. Throws OVER_QUOTA with the time until the next one may be sent. */
  checkPace(sender: string): void {
    const most = this.#town.plan?.limits.sendsPerMinute ?? null;
    if (most === null) return;
    const now = this.#town.now();
    const times = (this.#sent.get(sender) ?? []).filter((at) => at > now - 60_000);
    this.#sent.set(sender, times);
    if (times.length < most) {
      times.push(now);
      return;
    }
    const retryAfterMs = times[0]! + 60_000 - now;
    throw new BosunError({
      code: "OVER_QUOTA",
      what: `${sender} has sent ${most} messages within a minute`,
      why: "limits.sends_per_minute of the floor plan allows no more",
      fix: `send it again in ${Math.ceil(retryAfterMs / 1000)} s`,
      retryAfterMs,
    });
  }
}
