import type { StoredEvent } from "../protocol/event.ts";
import { auditVerify, coordinatorStop, eventList, logRebuild } from "../protocol/session.ts";
import type { Dispatch } from "./dispatch.ts";
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
        if (of(entry)) call.stream.push(JSON.stringify(shown(entry)));
      });
      call.stream.onClose(leave);
    }
    return { events: events.map(shown), next: events.at(-1)?.position ?? head };
  });
  dispatch.handle(auditVerify, () => ({ ...town.ledger.verify() }));
  dispatch.handle(logRebuild, () => ({ ...town.ledger.rebuild() }));
  dispatch.handle(coordinatorStop, (_input, call) => {
    setImmediate(() => stop(`asked by ${call.actor.id}`));
    return { pid: process.pid };
  });
}

/** An entry as people and scripts see it. The `type` of a message or memory value is its `kind`: the entry has one of its own. */
function shown(entry: StoredEvent) {
  const { type: kind, ...data } = entry.event.data as { type?: string };
  return {
    ...data,
    ...(kind === undefined ? {} : { kind }),
    seq: entry.position,
    at: new Date(entry.atMs).toISOString(),
    actor: entry.actor,
    type: entry.event.type,
    hash: entry.hash,
  };
}
