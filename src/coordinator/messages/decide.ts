import { LOUD_BEFORE_OLDEST } from "../../protocol/message.ts";

/** A message that waits, as the order needs it. */
export interface Waiting {
  /** Place in the log: smaller is older. */
  position: number;
}

/**
 * The order in which mail is worked through. `streams` are the waiting messages by priority, loudest first, each oldest first.
 * Loud ones overtake; but every eleventh place goes to the oldest of all, so that none waits for ever. `handed` is how many
 * messages this recipient has been given before: the count goes on from there, however small the portions.
 */
export function inPriorityOrder<T extends Waiting>(
  streams: readonly (readonly T[])[],
  handed: number,
  limit: number,
): T[] {
  const next = streams.map(() => 0);
  const order: T[] = [];
  for (let place = handed; order.length < limit; place++) {
    const heads = streams.flatMap((stream, rank) => {
      const head = stream[next[rank]!];
      return head === undefined ? [] : [{ rank, head }];
    });
    if (heads.length === 0) break;
    const chosen =
      place % (LOUD_BEFORE_OLDEST + 1) === LOUD_BEFORE_OLDEST
        ? heads.reduce((oldest, each) => (each.head.position < oldest.head.position ? each : oldest))
        : heads[0]!;
    next[chosen.rank]!++;
    order.push(chosen.head);
  }
  return order;
}

/** Oldest first, whatever the priority. */
export function inTimeOrder<T extends Waiting>(streams: readonly (readonly T[])[], limit: number): T[] {
  return streams
    .flat()
    .sort((a, b) => a.position - b.position)
    .slice(0, limit);
}

/** `Re: …`, once, and never longer than a subject may be. */
export function replySubject(subject: string): string {
  return `Re: ${subject.replace(/^(re:\s*)+/i, "")}`.slice(0, 512);
}

/** The first `maxChars` of a text, no character cut in half. */
export function cutTo(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  const last = text.charCodeAt(maxChars - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? maxChars - 1 : maxChars);
}
