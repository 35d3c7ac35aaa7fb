import { BosunError } from "../protocol/error.ts";
import type { MessageSent, StoredEvent } from "../protocol/event.ts";
import { auditProve } from "../protocol/hub.ts";
import { auditVerify, coordinatorStop, eventList, logRebuild } from "../protocol/session.ts";
import type { Actor, Dispatch } from "./dispatch.ts";
import { signalOf } from "./mail/letter.ts";
import { runsFloor } from "./mail/sending.ts";
import { placeOfValue } from "./memory/projection.ts";
import { messageRow } from "./messages/projection.ts";
import type { Town } from "./town.ts";

export function registerAudit(dispatch: Dispatch, town: Town, stop: (because: string) => void): void {
  dispatch.handle(eventList, (input, call) => {
    const head = town.ledger.head().position;
    const after = input.after ?? Math.max(0, head - (input.last ?? 100));
    const of = (entry: StoredEvent): boolean =>
      input.session === undefined || (entry.event.data as { session?: string }).session === input.session;
    const events = town.ledger.read(after, 10_000).filter(of);
    if (input.follow) {
      const leave = town.ledger.tail((entry) => {
        if (of(entry)) call.stream.push(JSON.stringify(shown(entry, call.actor)));
      });
      call.stream.onClose(leave);
    }
    return { events: events.map((entry) => shown(entry, call.actor)), next: events.at(-1)?.position ?? head };
  });
  dispatch.handle(auditVerify, async () => ({ ...(await town.ledger.verifySlowly()) }));
  dispatch.handle(auditProve, ({ id }) => ({ ...town.ledger.prove(placeOf(town, id)) }));
  dispatch.handle(logRebuild, () => ({ ...town.ledger.rebuild() }));
  dispatch.handle(coordinatorStop, (_input, call) => {
    setImmediate(() => stop(`asked by ${call.actor.id}`));
    return { pid: process.pid };
  });
}

/** Number of an entry, or where a message or value of this id stands. Throws NOT_FOUND. */
function placeOf(town: Town, id: string): number {
  if (/^\d{1,15}$/.test(id)) return Number(id);
  const { views } = town.ledger;
  const place = messageRow(views, id)?.position ?? placeOfValue(views, id);
  if (place !== null) return place;
  throw new BosunError({
    code: "NOT_FOUND",
    what: `nothing in the log is called ${id}`,
    why: "it is neither the number of an entry nor the id of a message or of a value",
    fix: "bosun events -n 20   shows the newest entries with their numbers",
  });
}

/**
 * An entry as people and scripts see it. The `type` of a message or memory value is its `kind`: the entry has one of its own.
 * What a message says is for those it was written to, and for those who run the floor; everybody sees its signal.
 */
export function shown(entry: StoredEvent, reader: Actor) {
  const { type: kind, ...data } = entry.event.data as { type?: string };
  return {
    ...data,
    ...(kind === undefined ? {} : { kind }),
    ...(entry.event.type === "message.sent" && { signal: signalOf(entry.event.data) }),
    ...(entry.event.type === "message.sent" && !mayRead(entry.event.data, reader) && { body: null, dataJson: null }),
    seq: entry.position,
    at: new Date(entry.atMs).toISOString(),
    actor: entry.actor,
    type: entry.event.type,
    hash: entry.hash,
  };
}

function mayRead(message: MessageSent, reader: Actor): boolean {
  return runsFloor(reader) || message.from === reader.id || message.to.includes(reader.id);
}
