import { BosunError } from "../protocol/error.ts";
import type { MemoryEntry as WireEntry, MemoryType as WireType } from "../protocol/memory.ts";
import { Link, type LinkOptions } from "./link.ts";

export const MemoryType = {
  STATE: "state",
  FACT: "fact",
  DECISION: "decision",
  TASK: "task",
  CONTEXT: "context",
  NOTE: "note",
  CONFIG: "config",
} as const;
export type MemoryType = WireType;

/** One value of a key. Times are RFC 3339. */
export interface MemoryEntry {
  entryId: string;
  key: string;
  value: unknown;
  type: MemoryType;
  tags: string[];
  /** Who wrote it. */
  sessionId: string;
  timestamp: string;
  /** From then on it is gone from every read; null = never. */
  expires: string | null;
  /** What `ifRev` compares; only grows. */
  rev: number;
  metadata: Record<string, unknown>;
}

export interface SetOptions {
  /** Default `note`. */
  type?: MemoryType;
  tags?: string[];
  /** Seconds until it is gone. */
  ttl?: number;
  metadata?: Record<string, unknown>;
  /** Only if the key is still at this revision; 0 = only if it has no value. */
  ifRev?: number;
  /** Set again with the same key of a request it counts once. */
  requestKey?: string;
}

export interface Value extends SetOptions {
  sessionId: string;
  key: string;
  /** Any JSON; null is a value. */
  value: unknown;
}

/** All that are given must fit. */
export interface MemoryFilter {
  /** Of keys: `*`, `?`, `[abc]`. */
  pattern?: string;
  tags?: string[];
  /** All of the tags instead of any. */
  matchAll?: boolean;
  sessionId?: string;
  type?: MemoryType;
  /** At most so many, the newest. */
  limit?: number;
}

export interface MemoryChange {
  change: "set" | "deleted" | "expired";
  key: string;
  rev: number;
  /** Of `set`. */
  entry: MemoryEntry | null;
}

export interface MemoryStats {
  /** Every value kept, history included. */
  totalEntries: number;
  /** Keys that have a value now. */
  uniqueKeys: number;
  byType: Record<string, number>;
}

/** Entries of one page. */
const PAGE = 1_000;

/** What sessions remember for each other. Connects by itself; every method rejects with BosunError. */
export class SharedMemory {
  readonly #link: Link;

  constructor(options: LinkOptions = {}) {
    this.#link = new Link(options);
  }

  /** Rejects with CONFLICT, naming what stands there, when `ifRev` does not fit. */
  set(value: Value): Promise<MemoryEntry>;
  set(sessionId: string, key: string, value: unknown, more?: SetOptions): Promise<MemoryEntry>;
  async set(first: Value | string, key = "", value: unknown = undefined, more: SetOptions = {}): Promise<MemoryEntry> {
    const wish = typeof first === "string" ? { sessionId: first, key, value, ...more } : first;
    const { type = "note", tags = [], ttl, metadata = {}, ifRev } = wish;
    const valueJson = JSON.stringify(wish.value);
    if (valueJson === undefined) {
      throw new BosunError({
        code: "USAGE",
        what: `the value of ${wish.key} is no JSON`,
        why: `it is ${typeof wish.value}`,
        fix: "null is a value; delete takes one away",
      });
    }
    const stored = await this.#link.call(
      "memory.set",
      {
        key: wish.key,
        valueJson,
        type,
        tags,
        metadata: metadata as never,
        ...(ttl !== undefined && { ttlS: ttl }),
        ...(ifRev !== undefined && { ifRev }),
      },
      wish.sessionId,
      wish.requestKey,
    );
    return {
      entryId: stored.id,
      key: wish.key,
      value: wish.value,
      type,
      tags,
      sessionId: wish.sessionId,
      timestamp: stored.ts,
      expires: stored.expires,
      rev: stored.rev,
      metadata,
    };
  }

  /** The newest value; undefined when there is none. */
  async get(key: string): Promise<unknown> {
    return (await this.getEntry(key))?.value;
  }

  /** The newest value with all that is known of it; null when there is none. */
  async getEntry(key: string): Promise<MemoryEntry | null> {
    try {
      return entryOf(await this.#link.call("memory.get", { key }));
    } catch (error) {
      if (error instanceof BosunError && error.code === "NOT_FOUND") return null;
      throw error;
    }
  }

  /** Every value since the key was last deleted, newest first. */
  async getAll(key: string): Promise<MemoryEntry[]> {
    const found: MemoryEntry[] = [];
    try {
      for (let after: number | null | undefined; after !== null; ) {
        const page: { entries: WireEntry[]; next: number | null } = await this.#link.call("memory.history", {
          key,
          live: true,
          limit: PAGE,
          ...(after !== undefined && { after }),
        });
        found.push(...page.entries.map(entryOf));
        after = page.next;
      }
    } catch (error) {
      if (!(error instanceof BosunError && error.code === "NOT_FOUND")) throw error;
    }
    return found;
  }

  /** Newest values of the keys that fit, newest first. */
  async search(filter: string | MemoryFilter = {}): Promise<MemoryEntry[]> {
    const {
      pattern,
      tags,
      matchAll,
      sessionId,
      type,
      limit = Number.POSITIVE_INFINITY,
    } = typeof filter === "string" ? ({ pattern: filter } as MemoryFilter) : filter;
    const found: MemoryEntry[] = [];
    for (let after: number | null | undefined; after !== null && found.length < limit; ) {
      const page: { entries: WireEntry[]; next: number | null } = await this.#link.call("memory.search", {
        limit: Math.min(PAGE, limit - found.length),
        ...(pattern !== undefined && { pattern }),
        ...(tags && { tags, match: matchAll ? ("all" as const) : ("any" as const) }),
        ...(sessionId !== undefined && { session: sessionId }),
        ...(type && { type }),
        ...(after !== undefined && { after }),
      });
      found.push(...page.entries.map(entryOf));
      after = page.next;
    }
    return found;
  }

  /** Any of the tags, or all of them. */
  getByTags(tags: string[], matchAll = false): Promise<MemoryEntry[]> {
    return this.search({ tags, matchAll });
  }

  getBySession(sessionId: string): Promise<MemoryEntry[]> {
    return this.search({ sessionId });
  }

  /** Gives how many values went; the history keeps them. `sessionId`: who deletes it. */
  async delete(key: string, { sessionId, ifRev }: { sessionId?: string; ifRev?: number } = {}): Promise<number> {
    const input = { key, ...(ifRev !== undefined && { ifRev }) };
    return (await this.#link.call("memory.delete", input, sessionId)).deleted;
  }

  /**
   * Follows changes: from now on, or everything behind `after` (a `rev`), each once and in order, over lost connections too.
   * Leave the loop to stop.
   */
  async *watch({
    pattern,
    after,
  }: {
    pattern?: string;
    after?: number;
  } = {}): AsyncGenerator<MemoryChange, void, void> {
    const events = this.#link.follow<Omit<MemoryChange, "entry"> & { entry: WireEntry | null }>(
      "memory.watch",
      (cursor) => ({
        ...(pattern !== undefined && { pattern }),
        ...((cursor ?? after) !== undefined && { after: cursor ?? after }),
      }),
      ({ rev }) => rev,
    );
    for await (const { entry, ...change } of events) yield { ...change, entry: entry && entryOf(entry) };
  }

  async getStats(): Promise<MemoryStats> {
    const stats = await this.#link.call("memory.stats", {});
    return { totalEntries: stats.total_entries, uniqueKeys: stats.unique_keys, byType: stats.by_type };
  }

  close(): void {
    this.#link.close();
  }
}

function entryOf(entry: WireEntry): MemoryEntry {
  return {
    entryId: entry.id,
    key: entry.key,
    value: entry.value,
    type: entry.type,
    tags: entry.tags,
    sessionId: entry.by,
    timestamp: entry.ts,
    expires: entry.expires,
    rev: entry.rev,
    metadata: entry.metadata,
  };
}
