import type { Event, StoredEvent } from "../../protocol/event.ts";

/**
 * The ordered, durable list of facts of one town. Four calls (and `head`, `close`); every driver passes the conformance
 * suite beside this file, and nothing above the ledger knows which driver it has.
 */
export interface Log {
  /**
   * Calls `prepare` with the head, adds the entries it returns in order, all or none, and resolves when they are durable:
   * after a power cut they are there. `prepare` runs synchronously, in the transaction that makes the entries durable where
   * the driver keeps its rows beside the views; if it throws, or the entries cannot be stored, its writes there are undone.
   *
   * Rejects with CONFLICT and adds nothing when the entries do not continue the head, DISK_FULL or FAILED when they cannot
   * be made durable. An empty list is no write and resolves.
   */
  append(prepare: (head: Head) => StoredEvent[]): Promise<void>;
  /** Entries after `position` (0 = from the start), at most `limit`, in order. */
  read(position: number, limit: number): StoredEvent[];
  /**
   * Calls `listener` for every entry after it became durable, in order, until the returned function is called. A listener
   * that throws misses that entry; the others do not.
   */
  tail(listener: (entry: StoredEvent) => void): () => void;
  /** Forgets entries up to and including `position`, at most the head; the hash chain goes on from there. */
  truncate(position: number): void;
  /** The last entry; position 0 and GENESIS when there never was one. */
  head(): Head;
  close(): void;
}

export interface Head {
  position: number;
  /** Hex SHA-256. */
  hash: string;
}

/** A fact before it has its place. */
export interface Draft {
  atMs: number;
  actor: string;
  event: Event;
}
