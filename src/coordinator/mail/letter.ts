import type { InboxMessage } from "../../protocol/message.ts";
import { formatSignal } from "../../protocol/signal.ts";
import { cutTo } from "../messages/decide.ts";
import type { InboxRow, MessageRow } from "../messages/projection.ts";
import { rfc3339 } from "../registry.ts";
import { shownId } from "./far.ts";

export interface Wish {
  bodies: boolean;
  maxChars?: number | undefined;
}

/** What `who` sees of a message: as they have it when it is theirs, else as far as it has come with the last recipient. */
export type Shown = MessageRow & Pick<InboxRow, "state"> & Partial<Pick<InboxRow, "to" | "outcome" | "epoch">>;

/** A message as the doors give it. `epoch` is the run that reads: mail handed to an earlier one counts as handed anew. */
export function letter(row: Shown, { bodies, maxChars }: Wish, epoch = 0): InboxMessage {
  const { body, dataJson } = row;
  const text = maxChars === undefined ? body : cutTo(body, maxChars);
  return {
    id: row.id,
    seq: row.position,
    from: shownId(row.from),
    human: row.human,
    to: row.to === undefined ? row.addressed.join(", ") : shownId(row.to),
    type: row.type as InboxMessage["type"],
    subject: row.subject,
    priority: row.priority as InboxMessage["priority"],
    thread: row.thread,
    in_reply_to: row.inReplyTo,
    ts: rfc3339(row.atMs),
    state: row.state,
    outcome: row.outcome ?? null,
    ack: row.ack,
    redelivered: row.ack && row.state === "presented" && row.epoch !== undefined && row.epoch < epoch,
    expires: row.expiresAtMs === null ? null : rfc3339(row.expiresAtMs),
    open: row.open,
    task: row.task,
    signal: signalOf(row),
    ...(bodies && { body: text, ...(text.length < body.length && { cut: true }) }),
    ...(bodies && dataJson !== null && { data: JSON.parse(dataJson) as unknown, data_json: dataJson }),
  };
}

/** One line for people. Entries of before addresses were kept have recipients only. */
export function signalOf(message: {
  type: string;
  from: string;
  to?: string | readonly string[];
  addressed?: readonly string[];
  subject: string;
}): string {
  const { type, from, subject, to = [] } = message;
  const addressed = (message.addressed ?? [to].flat()).map(shownId);
  const everybody = addressed.length === 1 && addressed[0] === "*";
  return formatSignal({ type, from: shownId(from), subject, to: everybody ? null : addressed.join(", ") });
}
