import type { DatabaseSync } from "node:sqlite";
import type { Event, EventType, StoredEvent } from "../../protocol/event.ts";

/**
 * A view of the log: tables of its own, filled by nothing but the entries. Deleted and replayed it comes out the same, so
 * `apply` reads no clock, no random number and no table of another projection.
 */
export interface Projection {
  name: string;
  /** Raised when `apply` means something else than before; the ledger then makes the views anew from the log. */
  revision: number;
  tables: readonly string[];
  /** The kinds of event that change this view; no others reach `apply`. */
  handles: readonly EventType[];
  create(db: DatabaseSync): void;
  apply(db: DatabaseSync, entry: StoredEvent): void;
}

type Handlers = {
  [T in EventType]?: (db: DatabaseSync, data: Extract<Event, { type: T }>["data"], entry: StoredEvent) => void;
};

/** A projection from one function per kind of event it knows. `create` is SQL and makes exactly `tables`. */
export function defineProjection(from: {
  name: string;
  revision: number;
  tables: readonly string[];
  create: string;
  on: Handlers;
}): Projection {
  const on = from.on as Record<string, (db: DatabaseSync, data: unknown, entry: StoredEvent) => void>;
  return {
    name: from.name,
    revision: from.revision,
    tables: from.tables,
    handles: Object.keys(from.on) as EventType[],
    create: (db) => db.exec(from.create),
    apply: (db, entry) => on[entry.event.type]?.(db, entry.event.data, entry),
  };
}
