import { z } from "zod";
import { Id } from "./id-schema.ts";
import { defineOperation } from "./operation.ts";

/** What an agent says it does; `offline` also follows from silence longer than its lease. */
export const AGENT_STATUSES = ["active", "idle", "working", "waiting", "offline"] as const;
export const AgentStatus = z.enum(AGENT_STATUSES);
export type AgentStatus = z.infer<typeof AgentStatus>;

/** Without a sign of life for this long an agent counts as offline; the figure of the system this registry comes from. */
export const LEASE_S = 300;

const Capability = z.string().min(1).max(64);
const Metadata = z.record(z.string(), z.json());

/** A registered agent. Field names are those of `.sessions/active_sessions.json`; what bosun adds follows. */
export const AgentInfo = z.looseObject({
  session_id: z.string(),
  agent_name: z.string(),
  agent_type: z.string(),
  status: AgentStatus,
  /** RFC 3339, as all times here. */
  started_at: z.string(),
  /** Last sign of life: a ping, any call of its own, or its pane seen alive. */
  last_ping: z.string(),
  human_user: z.string().nullable(),
  location: z.string().nullable(),
  capabilities: z.array(z.string()),
  current_task: z.string().nullable(),
  metadata: Metadata,
  groups: z.array(z.string()),
  /** Counts registrations of this id; a credential of an older one is refused. */
  epoch: z.number(),
  lease_s: z.number(),
  /** Plan id of the session it lives in, or null for one from outside. */
  session: z.string().nullable(),
  /** When the status began, and what says so. */
  since: z.string(),
  evidence: z.string(),
  unread: z.number(),
});
export type AgentInfo = z.infer<typeof AgentInfo>;

export const agentRegister = defineOperation({
  name: "agent.register",
  summary: "Register an agent under an id of its own; gives the file with its credential",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    id: Id,
    name: z.string().min(1).max(128),
    type: z.string().min(1).max(64).describe("any text: Claude, GPT-4, script"),
    user: z.string().max(128).optional().describe("the human it works for"),
    capabilities: z.array(Capability).max(64).optional().describe("what it can do: python, review"),
    location: z.string().max(256).optional(),
    metadata: Metadata.optional(),
    groups: z.array(Id).max(64).optional(),
    task: z.string().max(512).optional(),
    leaseS: z.number().int().min(1).max(31_536_000).optional().describe("seconds of silence until it is offline"),
    takeover: z.boolean().optional().describe("take the id from a live holder; people only"),
  }),
  output: z.looseObject({
    agent: AgentInfo,
    tokenFile: z.string(),
    socket: z.string(),
    /** The id was registered before: this is its next epoch. */
    returning: z.boolean(),
  }),
  errors: ["CONFLICT", "REFUSED", "BAD_NAME"],
});

export const agentList = defineOperation({
  name: "agent.list",
  summary: "Agents that are there, or (all) ever were; narrowed by any field",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    all: z.boolean().optional().describe("offline ones too"),
    status: z.array(AgentStatus).optional(),
    capability: z.array(z.string()).optional().describe("has all of these"),
    type: z.string().optional(),
    user: z.string().optional(),
    group: z.string().optional(),
    query: z.string().optional().describe("part of id, name or task"),
    after: z.string().optional().describe("cursor: `next` of the answer before"),
    limit: z.number().int().min(1).max(10_000).optional(),
  }),
  output: z.looseObject({
    sessions: z.array(AgentInfo),
    /** Of all registered, not of this page. */
    total: z.number(),
    active: z.number(),
    by_status: z.record(z.string(), z.number()),
    next: z.string().nullable(),
  }),
});

export const agentShow = defineOperation({
  name: "agent.show",
  summary: "One agent",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ id: z.string() }),
  output: z.looseObject({ agent: AgentInfo }),
  errors: ["UNKNOWN_AGENT"],
});

export const agentPing = defineOperation({
  name: "agent.ping",
  summary: "A sign of life; brings an offline agent back",
  effect: "write",
  role: "agent",
  input: z.strictObject({ id: z.string().optional().describe("default yourself") }),
  output: z.looseObject({ agent: AgentInfo, was: AgentStatus }),
  errors: ["UNKNOWN_AGENT", "REFUSED"],
});

export const agentStatus = defineOperation({
  name: "agent.status",
  summary: "Say what an agent does: active, idle, working, waiting, offline; and on which task",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    id: z.string().optional().describe("default yourself"),
    status: AgentStatus,
    task: z.string().max(512).nullable().optional().describe("what it works on; null clears it"),
  }),
  output: z.looseObject({ agent: AgentInfo }),
  errors: ["UNKNOWN_AGENT", "REFUSED"],
});

export const agentUnregister = defineOperation({
  name: "agent.unregister",
  summary: "Take an agent off the registry; its credential ends, its mail and memory stay",
  effect: "write",
  role: "agent",
  input: z.strictObject({ id: z.string().optional() }),
  output: z.looseObject({ id: z.string(), unread: z.number() }),
  errors: ["UNKNOWN_AGENT", "REFUSED"],
});

export const agentClear = defineOperation({
  name: "agent.clear",
  summary: "Take every offline agent from outside off the registry",
  effect: "write",
  role: "operator",
  input: z.strictObject({}),
  output: z.looseObject({ removed: z.array(z.string()) }),
});

export const agentStats = defineOperation({
  name: "agent.stats",
  summary: "Agents counted: all, active, by status, type and user",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({
    total_sessions: z.number(),
    active_sessions: z.number(),
    by_status: z.record(z.string(), z.number()),
    by_type: z.record(z.string(), z.number()),
    by_user: z.record(z.string(), z.number()),
  }),
});

/** Where messages to `@group` and `#topic` go: whoever is a member at that moment. */
const Membership = {
  group: Id,
  topic: z.boolean().optional().describe("a topic, which anybody may follow, instead of a group"),
  member: z.string().optional().describe("default yourself"),
};

export const groupJoin = defineOperation({
  name: "group.join",
  summary: "Become a member of a group, or follow a topic",
  effect: "write",
  role: "agent",
  input: z.strictObject(Membership),
  output: z.looseObject({ group: z.string(), members: z.array(z.string()) }),
  errors: ["UNKNOWN_AGENT", "REFUSED"],
});

export const groupLeave = defineOperation({
  name: "group.leave",
  summary: "Leave a group, or stop following a topic",
  effect: "write",
  role: "agent",
  input: z.strictObject(Membership),
  output: z.looseObject({ group: z.string(), members: z.array(z.string()) }),
  errors: ["NOT_FOUND", "REFUSED"],
});

export const groupList = defineOperation({
  name: "group.list",
  summary: "Groups and topics with their members",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({
    groups: z.array(
      z.looseObject({
        group: z.string(),
        kind: z.enum(["group", "topic"]),
        members: z.array(z.string()),
        /** By the floor plan. */
        declared: z.boolean(),
      }),
    ),
  }),
});
