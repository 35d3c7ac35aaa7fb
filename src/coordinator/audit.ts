import type { MessageSent, StoredEvent } from "../protocol/event.ts";
import { auditVerify, coordinatorStop, eventList, logRebuild } from "../protocol/session.ts";
import type { Actor, Dispatch } from "./dispatch.ts";
import { signalOf } from "./mail/letter.ts";
import { runsFloor } from "./mail/sending.ts";
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
  dispatch.handle(auditVerify, () => ({ ...town.ledger.verify() }));
  dispatch.handle(logRebuild, () => ({ ...town.ledger.rebuild() }));
  dispatch.handle(coordinatorStop, (_input, call) => {
    setImmediate(() => stop(`asked by ${call.actor.id}`));
    return { pid: process.pid };
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
