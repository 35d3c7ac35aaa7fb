import { hash } from "node:crypto";
import type { StoredEvent } from "../../protocol/event.ts";
import type { Draft, Head } from "./port.ts";

/** The hash before the first entry. */
export const GENESIS = "0".repeat(64);

/** An entry as its bytes lie in the store. */
export interface RawEntry {
  position: number;
  atMs: number;
  actor: string;
  type: string;
  /** JSON text, exactly as stored. */
  data: string;
}

/**
 * Hex SHA-256 over the previous hash (64 characters) and the JSON array `[position, atMs, actor, type, data]`. A JSON array
 * of numbers and strings can be read in one way only, so no two different entries have the same bytes.
 */
export function chainHash(previous: string, entry: RawEntry): string {
  return hash("sha256", previous + JSON.stringify([entry.position, entry.atMs, entry.actor, entry.type, entry.data]));
}

/**
 * The entry that follows `head`. Its data went through JSON once, so whoever applies it now sees exactly what a replay will
 * see (`undefined` is gone, later changes by the caller do not reach it).
 */
export function stamp(head: Head, draft: Draft): StoredEvent {
  const data = JSON.stringify(draft.event.data);
  const position = head.position + 1;
  // A lone surrogate would come back from the store as another character and break the chain.
  const actor = draft.actor.toWellFormed();
  const event = { type: draft.event.type, data: JSON.parse(data) } as StoredEvent["event"];
  const raw = { position, atMs: draft.atMs, actor, type: event.type, data };
  return { position, atMs: draft.atMs, actor, event, hash: chainHash(head.hash, raw) };
}
