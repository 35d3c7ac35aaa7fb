import { BosunError } from "../../protocol/error.ts";
import type { Event } from "../../protocol/event.ts";
import type { TaskRow } from "./projection.ts";

/**
 * What may happen to a task. `known` is the task as it is, null when there is none of that id. Each gives the facts to write,
 * or throws CONFLICT with who was faster, or REFUSED.
 */

/** An offer, to agents of whom one can accept it. Only its owner, or whoever offered it before, may offer a known task. */
export function offer(
  known: TaskRow | null,
  { task, title, by, to, message }: { task: string; title: string; by: string; to: string[]; message: string },
): Event[] {
  if (known) mustManage(known, by, "offer");
  return [{ type: "task.offered", data: { task, title, by, to, message } }];
}

/** The first to accept gets it; the others are told who did. */
export function accept(known: TaskRow | null, task: string, by: string, message: string | null, note: string | null) {
  if (!known) throw unknownTask(task);
  if (known.state === "accepted" && known.owner === by) return [];
  if (known.state !== "offered") throw taken(known);
  if (!known.offeredTo.includes(by)) throw notOffered(known, by);
  const event: Event = { type: "task.accepted", data: { task: known.id, by, message, note } };
  return [event];
}

/** Ownership moves at once. */
export function hand(
  known: TaskRow | null,
  { task, title, from, to, message }: { task: string; title: string; from: string; to: string; message: string },
): Event[] {
  if (known) mustManage(known, from, "hand over");
  return [{ type: "task.handed", data: { task, title, from, to, message } }];
}

/** The answer of one whom a task was offered to: not I. Of its owner: back to whoever gave it, with `back` as the news. */
export function decline(known: TaskRow | null, task: string, by: string, note: string | null, back: string): Event[] {
  if (!known) throw unknownTask(task);
  if (known.offeredTo.includes(by)) return [{ type: "task.declined", data: { task: known.id, by, note } }];
  if (known.state === "accepted" && known.owner === by && known.by !== by) {
    return [
      { type: "task.handed", data: { task: known.id, title: known.title, from: by, to: known.by, message: back } },
    ];
  }
  throw known.state === "accepted" || known.state === "done" ? taken(known) : notOffered(known, by);
}

/** Only its owner can finish it; one whom it is offered to accepts it with the same word. */
export function finish(known: TaskRow | null, task: string, by: string, note: string | null): Event[] {
  if (!known) throw unknownTask(task);
  const accepted = known.owner === by && known.state === "accepted" ? [] : accept(known, task, by, null, null);
  return [...accepted, { type: "task.done", data: { task: known.id, by, note } }];
}

function mustManage(known: TaskRow, by: string, what: string): void {
  if (known.state === "done") throw taken(known);
  const manages = known.owner === null ? known.by === by : known.owner === by;
  if (manages) return;
  throw new BosunError({
    code: "CONFLICT",
    what: `${by} cannot ${what} the task ${known.id}`,
    why: known.owner === null ? `${known.by} offered it` : `it is ${known.owner}'s`,
    fix: `bosun task show ${known.id}   tells what happened to it`,
  });
}

function taken(known: TaskRow): BosunError {
  const at = new Date(known.sinceMs).toISOString();
  const how = known.state === "done" ? "finished" : known.state === "declined" ? "declined by all" : "accepted";
  return new BosunError({
    code: "CONFLICT",
    what: `the task ${known.id} is not on offer any more`,
    why: known.owner === null ? `it was ${how} at ${at}` : `${known.owner} ${how} it at ${at}`,
    fix: "bosun task list --state offered   shows what is",
  });
}

function notOffered(known: TaskRow, by: string): BosunError {
  return new BosunError({
    code: "REFUSED",
    what: `the task ${known.id} was not offered to ${by}`,
    why: known.offeredTo.length > 0 ? `it is offered to ${known.offeredTo.join(", ")}` : "nobody may accept it now",
    fix: `ask ${known.by} to offer it`,
  });
}

function unknownTask(task: string): BosunError {
  return new BosunError({
    code: "NOT_FOUND",
    what: `there is no task ${task}`,
    fix: "bosun task list   shows them",
  });
}
