import { z } from "zod";
import { Id } from "./id-schema.ts";
import { Json } from "./json.ts";
import { MemoryType } from "./memory.ts";
import { MessageType } from "./message.ts";
import { defineOperation } from "./operation.ts";

/** Registry, mail and memory together: search, figures, moving in and out. */

export const searchText = defineOperation({
  name: "search.text",
  summary: "Full-text search in messages and memory, newest first",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    query: z.string().min(1).max(512).describe('words that all occur; "a phrase"; prefix*'),
    in: z.array(z.enum(["message", "memory"])).optional(),
    since: z.string().optional().describe("RFC 3339"),
    after: z.number().int().min(0).optional(),
    limit: z.number().int().min(1).max(200).optional(),
  }),
  output: z.looseObject({
    hits: z.array(
      z.looseObject({
        kind: z.enum(["message", "memory"]),
        /** Message id, or key. */
        id: z.string(),
        line: z.string(),
        from: z.string(),
        at: z.string(),
        seq: z.number(),
      }),
    ),
    next: z.number().nullable(),
  }),
});

export const hubStats = defineOperation({
  name: "hub.stats",
  summary: "Agents, messages and memory counted",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({ sessions: z.unknown(), messages: z.unknown(), memory: z.unknown() }),
});

export const hubReport = defineOperation({
  name: "hub.report",
  summary: "Per agent: mail sent and received, time to acknowledge, tasks, time up",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ id: z.string().optional(), limit: z.number().int().min(1).max(1000).optional() }),
  output: z.looseObject({
    sessions: z.array(
      z.looseObject({
        session_id: z.string(),
        status: z.string(),
        sent: z.number(),
        received: z.number(),
        unread: z.number(),
        acked: z.number(),
        /** From queued to acknowledged; null without any. */
        ack_ms: z.looseObject({ p50: z.number(), p95: z.number(), max: z.number() }).nullable(),
        tasks: z.looseObject({ owned: z.number(), done: z.number() }),
        memory: z.number(),
        up_s: z.number(),
      }),
    ),
  }),
  errors: ["UNKNOWN_AGENT"],
});

/** The status beacon: also kept as `status.json` in the town's state folder. */
export const hubBeacon = defineOperation({
  name: "hub.beacon",
  summary: "One small document for status bars and scripts: who is there and what they do",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({
    town: z.string(),
    updated_at: z.string(),
    total_sessions: z.number(),
    active_sessions: z.number(),
    collaboration_messages: z.number(),
    shared_memory_entries: z.number(),
    unread: z.number(),
    /** At most ten, the busiest first, each with 🟢 active, ⚙️ working, ⏸️ idle, ⏳ waiting, ⚪ offline. */
    sessions: z.array(
      z.looseObject({
        session_id: z.string(),
        agent_name: z.string(),
        agent_type: z.string(),
        status: z.string(),
        emoji: z.string(),
        current_task: z.string().nullable(),
      }),
    ),
  }),
});

const At = z.string().describe("RFC 3339; without an offset UTC");

/** Records as another system has them. They are checked one by one: a bad one is told of and leaves the others alone. */
export const ImportedAgent = z.looseObject({
  id: Id,
  name: z.string().min(1).max(128),
  type: z.string().min(1).max(64),
  at: At,
  user: z.string().max(128).nullish(),
  location: z.string().max(256).nullish(),
  capabilities: z.array(z.string().min(1).max(64)).max(64).nullish(),
  task: z.string().max(512).nullish(),
  metadata: z.record(z.string(), Json).nullish(),
});

export const ImportedMessage = z.looseObject({
  id: z.string().min(1).max(128),
  type: MessageType,
  from: z.string().min(1).max(64),
  to: z.string().min(1).max(64).nullable().describe("null: everybody"),
  subject: z.string().max(512),
  body: z.string(),
  at: At,
  data: Json.optional(),
  inReplyTo: z.string().nullish(),
});

export const ImportedMemory = z.looseObject({
  id: z.string().min(1).max(128),
  key: z.string().min(1).max(512),
  value: Json,
  type: MemoryType,
  by: z.string().min(1).max(64),
  at: At,
  ttlS: z.number().positive().nullish(),
  tags: z.array(z.string().min(1).max(64)).max(64).nullish(),
  metadata: z.record(z.string(), Json).nullish(),
});

const Records = z.array(z.record(z.string(), z.unknown())).max(1000);

export const hubImport = defineOperation({
  name: "hub.import",
  summary: "Take over records of another system with their own times and ids; what is known already is left as it is",
  effect: "write",
  role: "admin",
  input: z.strictObject({
    source: z.string().max(512).describe("where they come from, for the log"),
    agents: Records.optional().describe("id, name, type, at, user, location, capabilities, task, metadata"),
    messages: Records.optional().describe("id, type, from, to, subject, body, at, data, inReplyTo; oldest first"),
    memory: Records.optional().describe("id, key, value, type, by, at, ttlS, tags, metadata; oldest first"),
  }),
  output: z.looseObject({
    imported: z.looseObject({ agents: z.number(), messages: z.number(), memory: z.number() }),
    known: z.number(),
    refused: z.array(z.looseObject({ what: z.string(), why: z.string() })),
  }),
});

export const httpOpen = defineOperation({
  name: "http.open",
  summary: "Also listen on TCP: HTTP, WebSocket and MCP, with a token",
  effect: "write",
  role: "admin",
  input: z.strictObject({
    host: z.string().optional().describe("default 127.0.0.1; others need allowRemote"),
    port: z.number().int().min(0).max(65_535).optional().describe("default a free one"),
    allowRemote: z.boolean().optional(),
    origin: z.array(z.string()).optional().describe("web pages that may call, such as https://example.org"),
  }),
  output: z.looseObject({ url: z.string(), tokenFile: z.string() }),
  errors: ["CONFLICT", "REFUSED"],
});

export const httpClose = defineOperation({
  name: "http.close",
  summary: "Stop listening on TCP",
  effect: "write",
  role: "admin",
  input: z.strictObject({}),
  output: z.looseObject({ closed: z.boolean() }),
});

export const httpShow = defineOperation({
  name: "http.show",
  summary: "Whether and where the coordinator listens on TCP",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({ url: z.string().nullable(), tokenFile: z.string().nullable() }),
});

export const auditProve = defineOperation({
  name: "audit.prove",
  summary:
    "Prove that one entry is in the log, without the others: its hash, the path to the root, a signed checkpoint",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ id: z.string().describe("number of an entry, or id of a message or memory value") }),
  output: z.looseObject({
    seq: z.number(),
    /** The entry's canonical bytes, as text. */
    entry: z.string(),
    leaf: z.string(),
    /** Counts from 0. */
    index: z.number(),
    size: z.number(),
    root: z.string(),
    /** Hex SHA-256, from the leaf up (RFC 6962 § 2.1.1). */
    path: z.array(z.string()),
    /** Signed note of size and root (C2SP tlog-checkpoint). */
    checkpoint: z.string(),
    /** Ed25519, SPKI, PEM. */
    publicKey: z.string(),
  }),
  errors: ["NOT_FOUND"],
});
