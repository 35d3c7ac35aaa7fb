import { z } from "zod";
import { BosunError } from "../protocol/error.ts";
import { type MemoryEntry, MemoryType } from "../protocol/memory.ts";
import { placeOf } from "./cursor.ts";
import type { Caller } from "./guest.ts";
import { Cursor, type Facts, Limit, present, READS, REPLACES, tool } from "./tool.ts";

const Key = z
  .string()
  .min(1)
  .max(512)
  .refine((key) => !/[\p{Cc}]/u.test(key), "must not contain control characters");
const Tags = z.array(z.string().min(1).max(64)).max(64).optional();

export const memoryPut = tool({
  name: "memory_put",
  about: "Store a value for everybody; earlier ones stay in its history; null deletes",
  hints: REPLACES,
  next: { CONFLICT: "call memory_get for the value and rev it has now" },
  input: z.strictObject({
    key: Key,
    value: z.json(),
    type: MemoryType.optional(),
    tags: Tags.describe("`pin`: shown at session_open"),
    ttl_s: z.number().positive().max(315_360_000).optional(),
    if_rev: z.number().int().min(0).optional().describe("only if still at this rev; 0: only if new"),
  }),
  async run({ key, value, type, tags, ttl_s, if_rev }, guest) {
    const caller = await guest.caller();
    const only = if_rev === undefined ? {} : { ifRev: if_rev };
    if (value === null) {
      const { rev, deleted } = await caller.call("memory.delete", { key, ...only });
      return { key, rev, deleted };
    }
    const set = {
      key,
      value,
      ...(type && { type }),
      ...(tags && { tags }),
      ...(ttl_s !== undefined && { ttlS: ttl_s }),
    };
    const { rev, expires } = await caller.call("memory.set", { ...set, ...only });
    return present({ key, rev, expires });
  },
});

function item(entry: MemoryEntry): Facts {
  const { key, value, rev, type, tags, by, ts, expires } = entry;
  return {
    key,
    value: value ?? null,
    ...present({ rev, type, tags: tags.length > 0 ? tags : null, by, at: ts, expires }),
  };
}

export const memoryGet = tool({
  name: "memory_get",
  about: "Read memory: one key, all under prefix/, or by tags or type",
  hints: READS,
  input: z.strictObject({
    key: z.string().min(1).max(512).optional().describe("key, or prefix/"),
    tags: Tags,
    type: MemoryType.optional(),
    history: z.boolean().optional().describe("earlier values too"),
    cursor: Cursor,
    limit: Limit,
  }),
  async run({ key, tags, type, history, cursor, limit }, guest) {
    const caller = await guest.caller();
    const page = { ...placeOf(cursor), limit: limit ?? 20 };
    if (key !== undefined && !key.endsWith("/") && !tags && !type) {
      return history ? past(caller, key, page) : { items: await exactly(caller, key) };
    }
    const pattern = key === undefined ? {} : { pattern: literal(key) + (key.endsWith("/") ? "*" : "") };
    const found = await caller.call("memory.search", {
      ...pattern,
      ...(tags && { tags }),
      ...(type && { type }),
      ...page,
    });
    return present({ items: found.entries.map(item), next: found.next?.toString() });
  },
});

/** The key's own characters, where a pattern would read more into them. */
function literal(key: string): string {
  return key.replaceAll(/[*?[]/g, "[$&]");
}

async function exactly(caller: Caller, key: string): Promise<Facts[]> {
  try {
    return [item(await caller.call("memory.get", { key }))];
  } catch (error) {
    // That nothing is stored there is an answer, not a mistake.
    if (error instanceof BosunError && error.code === "NOT_FOUND") return [];
    throw error;
  }
}

async function past(caller: Caller, key: string, page: { after?: number; limit: number }): Promise<Facts> {
  const { entries, next } = await caller.call("memory.history", { key, ...page });
  return present({
    items: entries.map((entry) => ({ ...item(entry), change: entry.change })),
    next: next?.toString(),
  });
}
