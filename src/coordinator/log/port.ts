import type { Event, StoredEvent } from "../../protocol/event.ts";

/**
 * The ordered, durable list of facts of one town. Four calls; every driver passes the conformance suite beside this file,
 * and nothing above the ledger knows which driver it has.
 */
export interface Log {
  /**
   * Adds the entries in order, all or none, and resolves when they are durable: after a power cut they are there. `expect`
   * is the position the caller believes is the last; another one rejects with CONFLICT and adds nothing.
   *
   * `apply` runs with the stored entries before they become durable, in the same transaction where the driver keeps its
   * rows beside the views; if it throws, nothing is added.
   */
  append(entries: Draft[], expect: number, apply: (stored: StoredEvent[]) => void): Promise<StoredEvent[]>;
  /** Entries after `position` (0 = from the start), at most `limit`, in order. */
  read(position: number, limit: number): StoredEvent[];
  /** Called for every entry after it became durable, in order. Returns the unsubscribe. */
  tail(listener: (entry: StoredEvent) => void): () => void;
  /** Forgets entries up to and including `position`, which must lie in an archived stretch; the hash chain goes on. */
  truncate(position: number): void;
  /** Position and hash of the last entry; position 0 and GENESIS when empty. */
  head(): { position: number; hash: string };
  close(): void;
}

export interface Draft {
  atMs: number;
  actor: string;
  event: Event;
}

/** The hash before the first entry. */
export const GENESIS = "0".repeat(64);
