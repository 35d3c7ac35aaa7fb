import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import { timedId } from "../protocol/id.ts";
import {
  MAX_VALUE_BYTES,
  MEMORY_TYPES,
  type MemoryEntry,
  memoryDelete,
  memoryGet,
  memoryHistory,
  memorySearch,
  memorySet,
  memoryStats,
  memoryWatch,
} from "../protocol/memory.ts";
import { checkClaims } from "./credentials.ts";
import { type Actor, type Call, type Dispatch, once } from "./dispatch.ts";
import { checkFence, type Fence, type Views } from "./leasing.ts";
import {
  changesAfter,
  expired,
  historyPage,
  keyRow,
  lastDeletion,
  liveValues,
  memoryCounts,
  searchPage,
  type ValueRow,
  valueRow,
} from "./memory/projection.ts";
import { PORTION, Pump } from "./pump.ts";
import { rfc3339 } from "./registry.ts";
import type { Town } from "./town.ts";

/** Entries of one page unless asked for more. */
const PAGE = 100;

/** Expiries written in one turn; the rest follow in the next. */
const EXPIRIES = 500;

/** The longest a timer is set for; it is set anew when it rings. */
const LONGEST_WAIT_MS = 3_600_000;

/**
 * Shared memory. The newest value of a key decides; every earlier one stays in its history. Whether a value has expired is
 * said by the clock of whoever reads; the entry that tells those who watch follows within moments.
 */
export class Memory {
  readonly #town: Town;
  readonly #watchers = new Set<Pump<ValueRow>>();
  readonly #leave: () => void;
  #timer: NodeJS.Timeout | null = null;
  #dueAtMs = Number.POSITIVE_INFINITY;

  constructor(dispatch: Dispatch, town: Town) {
    this.#town = town;
    this.#leave = town.ledger.tail(({ event }) => {
      if (!event.type.startsWith("memory.")) return;
      if (event.type === "memory.set" && event.data.expiresAtMs !== null) this.#expectExpiry(event.data.expiresAtMs);
      for (const watcher of this.#watchers) watcher.wake();
    });
    this.#expectExpiry(town.now());
    dispatch.handle(memorySet, (input, call) => {
      checkClaims(call.actor, input);
      return this.#set(input, call);
    });
    dispatch.handle(memoryDelete, (input, call) => this.#delete(input, call));
    dispatch.handle(memoryGet, ({ key }) => {
      const row = valueRow(town.ledger.views, key, town.now());
      if (!row) throw this.#noValue(key);
      return entryOf(row);
    });
    dispatch.handle(memorySearch, (input) => {
      const { pattern, tags, match, session, type, after, limit = PAGE } = input;
      const filter = { pattern, tags, match, type, writer: session };
      const before = after ?? Number.MAX_SAFE_INTEGER;
      const rows = searchPage(town.ledger.views, filter, town.now(), before, limit + 1);
      const entries = rows.slice(0, limit);
      const next = rows.length > limit ? entries.at(-1)!.position : null;
      return { entries: entries.map(entryOf), count: entries.length, next };
    });
    dispatch.handle(memoryHistory, ({ key, live = false, after, limit = PAGE }) =>
      this.#history(key, live, after ?? Number.MAX_SAFE_INTEGER, limit),
    );
    dispatch.handle(memoryStats, () => {
      const { values, keys, byType } = memoryCounts(town.ledger.views, town.now());
      return {
        total_entries: values,
        unique_keys: keys,
        by_type: { ...Object.fromEntries(MEMORY_TYPES.map((type) => [type, 0])), ...byType },
      };
    });
    dispatch.handle(memoryWatch, ({ pattern, after }, { stream }) => {
      const from = after ?? town.ledger.head().position;
      const pump = new Pump(
        from,
        stream,
        (cursor) => changesAfter(town.ledger.views, pattern, cursor, PORTION),
        (row) => JSON.stringify(changeOf(row)),
      );
      this.#watchers.add(pump);
      stream.onClose(() => {
        pump.stop();
        this.#watchers.delete(pump);
      });
      return { seq: from };
    });
  }

  close(): void {
    this.#leave();
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#dueAtMs = Number.NEGATIVE_INFINITY;
  }

  async #set(input: Parameters<typeof textOf>[0] & SetInput, call: Call) {
    const valueJson = textOf(input);
    const bytes = Buffer.byteLength(valueJson);
    if (bytes > MAX_VALUE_BYTES) {
      throw new BosunError({
        code: "TOO_LARGE",
        what: `the value of ${input.key} has ${bytes} bytes`,
        why: `a value may have ${MAX_VALUE_BYTES}`,
        fix: "put it in a file and store the path",
      });
    }
    const { result, position, duplicate } = await this.#town.ledger.write({
      actor: call.actor.name,
      ...once(call),
      decide: (views) => {
        const now = this.#town.now();
        this.#checkRev(views, input.key, input.ifRev);
        this.#checkFence(views, call.actor, input.fence);
        const id = timedId(crypto.randomUUID(), Date.now());
        const expiresAtMs = input.ttlS === undefined ? null : now + Math.round(input.ttlS * 1000);
        const event: Event = {
          type: "memory.set",
          data: {
            id,
            key: input.key,
            valueJson,
            type: input.type ?? "note",
            tags: [...new Set(input.tags ?? [])],
            by: call.actor.id,
            expiresAtMs,
            metadata: input.metadata ?? {},
            setAtMs: null,
          },
        };
        return { events: [event], result: { id, key: input.key, ts: rfc3339(now), expires: timeOf(expiresAtMs) } };
      },
    });
    return { ...result, rev: position, duplicate };
  }

  async #delete(input: { key: string; ifRev?: number | undefined; fence?: Fence | undefined }, call: Call) {
    const { result, position } = await this.#town.ledger.write({
      actor: call.actor.name,
      ...once(call),
      decide: (views) => {
        this.#checkRev(views, input.key, input.ifRev);
        this.#checkFence(views, call.actor, input.fence);
        const deleted = liveValues(views, input.key, this.#town.now());
        const event: Event = { type: "memory.deleted", data: { key: input.key, by: call.actor.id } };
        return { events: keyRow(views, input.key)?.live ? [event] : [], result: { key: input.key, deleted } };
      },
    });
    return { ...result, rev: position };
  }

  #history(key: string, live: boolean, before: number, limit: number) {
    const { views } = this.#town.ledger;
    const now = this.#town.now();
    if (!keyRow(views, key)) throw this.#noValue(key);
    const since = live ? lastDeletion(views, key) : 0;
    const wanted = (row: ValueRow): boolean =>
      !live || (row.change === "set" && row.position > since && (row.expiresAtMs === null || row.expiresAtMs > now));
    const found: ValueRow[] = [];
    let place = before;
    // Expired values are skipped, so a page may take more than one look.
    for (let more = true; more && found.length <= limit; ) {
      const rows = historyPage(views, key, place, limit + 1);
      found.push(...rows.filter(wanted));
      more = rows.length > limit && rows.at(-1)!.position > since;
      place = rows.at(-1)?.position ?? 0;
    }
    const entries = found.slice(0, limit);
    return {
      entries: entries.map((row) => ({ ...entryOf(row), change: row.change })),
      next: found.length > limit ? entries.at(-1)!.position : null,
    };
  }

  /** 0: only where there is no value. Throws CONFLICT with what stands there. */
  #checkRev(views: Views, key: string, ifRev: number | undefined): void {
    if (ifRev === undefined) return;
    const now = this.#town.now();
    const newest = keyRow(views, key);
    const value = valueRow(views, key, now);
    if (ifRev === 0 ? value === null : newest?.position === ifRev && (value !== null || !newest.live)) return;
    throw new BosunError({
      code: "CONFLICT",
      what: `${key} is not at revision ${ifRev}`,
      why: value
        ? `it is at ${value.position}, set by ${value.by} at ${rfc3339(value.atMs)}`
        : newest
          ? "its value was deleted or has expired"
          : "it never had a value",
      fix: `bosun memory get ${key} --json   reads it; decide again, and set it with --if-rev ${value?.position ?? 0}`,
    });
  }

  #checkFence(views: Views, actor: Actor, fence: Fence | undefined): void {
    if (fence) checkFence(views, actor, fence, this.#town.now());
  }

  #noValue(key: string): BosunError {
    const row = keyRow(this.#town.ledger.views, key);
    return new BosunError({
      code: "NOT_FOUND",
      what: `nothing is stored under ${key}`,
      ...(row && { why: `it had a value, which ${row.live ? "has expired" : "was deleted or has expired"}` }),
      fix: row ? `bosun memory history ${key}   shows what it was` : "bosun memory search --pattern '*'   lists keys",
    });
  }

  /** Something expires then, or may have expired by now. */
  #expectExpiry(atMs: number): void {
    if (atMs >= this.#dueAtMs) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#dueAtMs = atMs;
    const waitMs = Math.min(Math.max(0, atMs - this.#town.now()), LONGEST_WAIT_MS);
    this.#timer = setTimeout(() => void this.#expire(), waitMs);
    this.#timer.unref();
  }

  async #expire(): Promise<void> {
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    const { views } = this.#town.ledger;
    const { due, nextAtMs } = expired(views, this.#town.now(), EXPIRIES);
    if (nextAtMs !== null) this.#expectExpiry(nextAtMs);
    if (due.length === 0) return;
    const written = this.#town.ledger.write({
      actor: "coordinator",
      decide: () => ({
        events: due.map(({ key, position: rev }) => ({ type: "memory.expired" as const, data: { key, rev } })),
        result: null,
      }),
    });
    try {
      await written;
      if (due.length === EXPIRIES) this.#expectExpiry(this.#town.now());
    } catch (error) {
      // Reads are right all the same; the next expiry tries again.
      this.#town.log.warn({ err: error }, "expiries cannot be written down");
    }
  }
}

interface SetInput {
  key: string;
  type?: MemoryEntry["type"] | undefined;
  tags?: string[] | undefined;
  ttlS?: number | undefined;
  metadata?: Record<string, unknown> | undefined;
  ifRev?: number | undefined;
  fence?: Fence | undefined;
}

/** The value as JSON: as it was written, or of what was given. Null is a value. */
function textOf(input: { value?: unknown; valueJson?: string | undefined }): string {
  if ((input.value === undefined) === (input.valueJson === undefined)) {
    throw new BosunError({
      code: "USAGE",
      what: input.value === undefined ? "the value is missing" : "value and valueJson are both given",
      fix: "give one of them; null is a value",
    });
  }
  return input.valueJson ?? JSON.stringify(input.value);
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : rfc3339(ms);
}

export function entryOf(row: ValueRow): MemoryEntry {
  return {
    id: row.id,
    key: row.key,
    value: JSON.parse(row.valueJson) as unknown,
    rev: row.position,
    type: row.type,
    tags: row.tags,
    by: row.by,
    ts: rfc3339(row.atMs),
    expires: timeOf(row.expiresAtMs),
    metadata: row.metadata,
  };
}

function changeOf(row: ValueRow) {
  const { change, key, position: rev } = row;
  return { change, key, rev, entry: change === "set" ? entryOf(row) : null };
}
