import { inTimeOrder } from "../messages/decide.ts";
import { inboxAt, unreadOf, unreadPlaces } from "../messages/projection.ts";
import type { Town } from "../town.ts";
import type { Handing } from "./handing.ts";

/** Of a mailbox that holds thousands, so many are looked at: the line names who wrote, not all of them. */
const MOST = 100;

/** Senders that the line names. */
const NAMED = 3;

/**
 * One line for an agent at a moment when its program can be told something, or null when there is nothing it was not told
 * already. It holds no word of a sender: nobody gets to speak to a program this way.
 */
export function newsFor(town: Town, handing: Handing, who: string): string | null {
  const { views } = town.ledger;
  const reader = { who, epoch: town.registry.epochOf(who), nowMs: town.now() };
  const rows = inboxAt(views, who, inTimeOrder(unreadPlaces(views, reader, {}, 0, MOST), MOST));
  const fresh = rows.filter((row) => row.state === "queued");
  if (fresh.length === 0) return null;
  handing.told(fresh, who, "hook");
  const { unread, urgent } = unreadOf(views, reader);
  const senders = [...new Set(fresh.map((row) => row.from))];
  const others = senders.length > NAMED ? ` and ${senders.length - NAMED} others` : "";
  return `bosun: ${unread} unread ${unread === 1 ? "message" : "messages"}${urgent > 0 ? `, ${urgent} of them urgent` : ""}, from ${senders.slice(0, NAMED).join(", ")}${others}. Read with the inbox tool, or: bosun inbox --bodies`;
}
