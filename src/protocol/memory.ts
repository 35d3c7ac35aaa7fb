import { z } from "zod";
import { Json, JsonText } from "./json.ts";
import { defineOperation } from "./operation.ts";

export const MEMORY_TYPES = ["state", "fact", "decision", "task", "context", "note", "config"] as const;
export const MemoryType = z.enum(MEMORY_TYPES);
export type MemoryType = z.infer<typeof MemoryType>;

/** The longest value, in bytes of its JSON text; longer things are files. */
export const MAX_VALUE_BYTES = 262_144;

/** 1 to 512 characters, no control characters. `/` and `_` are common separators, and `*`, `?`, `[` are for patterns. */
const Key = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[^\x00-\x1f\x7f]+$/, "must not contain control characters");
const Tag = z.string().min(1).max(64);

export const MemoryEntry = z.looseObject({
  /** Of this value, not of its key. */
  id: z.string(),
  key: z.string(),
  value: z.unknown(),
  /** Place in the log of the key's last change: what `ifRev` compares. Only grows. */
  rev: z.number(),
  type: MemoryType,
  tags: z.array(z.string()),
  /** Who wrote it, from the credential. */
  by: z.string(),
  ts: z.string(),
  /** From then on it is gone from every read; null = never. */
  expires: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()),
});
export type MemoryEntry = z.infer<typeof MemoryEntry>;

export const memorySet = defineOperation({
  name: "memory.set",
  summary: "Store a value under a key; earlier values stay in its history",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    key: Key,
    value: Json.optional().describe("any JSON; null is a value"),
    valueJson: JsonText.optional().describe("instead of value: JSON as text, kept byte for byte"),
    type: MemoryType.optional().describe("default note"),
    tags: z.array(Tag).max(64).optional(),
    ttlS: z.number().positive().max(315_360_000).optional().describe("seconds until it is gone; reads do not renew it"),
    metadata: z.record(z.string(), Json).optional(),
    ifRev: z.number().int().min(0).optional().describe("only if the key is still at this revision; 0 = only if new"),
    fence: z
      .strictObject({ name: z.string(), token: z.number().int() })
      .optional()
      .describe("only while you hold this lease under this token"),
    from: z.string().optional().describe("who you are; anything else than your credential says is refused"),
  }),
  output: z.looseObject({
    id: z.string(),
    key: z.string(),
    rev: z.number(),
    ts: z.string(),
    expires: z.string().nullable(),
    duplicate: z.boolean(),
  }),
  errors: ["CONFLICT", "TOO_LARGE", "REFUSED"],
});

export const memoryGet = defineOperation({
  name: "memory.get",
  summary: "The newest value of a key",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ key: z.string() }),
  output: MemoryEntry,
  errors: ["NOT_FOUND"],
});

export const memorySearch = defineOperation({
  name: "memory.search",
  summary: "Newest values of the keys that fit, newest first",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    pattern: z.string().max(512).optional().describe("of keys: * ? [abc]"),
    tags: z.array(z.string()).optional(),
    match: z.enum(["any", "all"]).optional().describe("any of the tags (default), or all"),
    session: z.string().optional().describe("written by"),
    type: MemoryType.optional(),
    after: z.number().int().min(0).optional().describe("cursor: `next` of the answer before"),
    limit: z.number().int().min(1).max(1000).optional(),
  }),
  output: z.looseObject({ entries: z.array(MemoryEntry), count: z.number(), next: z.number().nullable() }),
});

export const memoryHistory = defineOperation({
  name: "memory.history",
  summary: "Every value a key had, newest first; deletions and expiries with it",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    key: z.string(),
    live: z.boolean().optional().describe("only values since the last deletion that have not expired"),
    after: z.number().int().min(0).optional(),
    limit: z.number().int().min(1).max(1000).optional(),
  }),
  output: z.looseObject({
    entries: z.array(MemoryEntry.extend({ change: z.enum(["set", "deleted", "expired"]) })),
    next: z.number().nullable(),
  }),
  errors: ["NOT_FOUND"],
});

export const memoryDelete = defineOperation({
  name: "memory.delete",
  summary: "Delete a key; says how many values went, its history keeps them",
  effect: "destroy",
  role: "agent",
  input: z.strictObject({
    key: z.string(),
    ifRev: z.number().int().min(0).optional(),
    fence: z.strictObject({ name: z.string(), token: z.number().int() }).optional(),
  }),
  output: z.looseObject({ key: z.string(), deleted: z.number(), rev: z.number() }),
  errors: ["CONFLICT", "REFUSED"],
});

export const memoryWatch = defineOperation({
  name: "memory.watch",
  summary: "Follow changes of memory: everything behind the cursor, then each change once and in order",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    pattern: z.string().max(512).optional(),
    after: z.number().int().min(0).optional().describe("resume behind this rev; without it only what is new"),
  }),
  output: z.looseObject({ seq: z.number() }),
  streams: z.looseObject({
    change: z.enum(["set", "deleted", "expired"]),
    key: z.string(),
    rev: z.number(),
    entry: MemoryEntry.nullable(),
  }),
});

export const memoryStats = defineOperation({
  name: "memory.stats",
  summary: "Memory counted: values, keys, by type",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({
    /** Every value kept, history included. */
    total_entries: z.number(),
    /** Keys that have a value now. */
    unique_keys: z.number(),
    /** All seven types, by the newest values. */
    by_type: z.record(z.string(), z.number()),
  }),
});
