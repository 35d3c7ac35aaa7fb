import { z } from "zod";
import { defineOperation } from "./operation.ts";

/** One hop of a line or a question on its way, for people. */
export const Hop = z.strictObject({ from: z.string(), to: z.string(), by: z.string(), because: z.string() });

export const askAgent = defineOperation({
  name: "ask.send",
  summary: "Ask an agent and wait for its answer",
  effect: "write",
  role: "viewer",
  input: z.strictObject({
    agent: z.string().describe("agent id, its first part, or room/agent"),
    text: z.string(),
    /** Rooms of the asker's view; the agent nearest to them is meant. */
    near: z.array(z.string()).optional(),
    timeoutMs: z.number().int().min(1).max(3_600_000).optional(),
    via: z.enum(["auto", "socket", "fifo", "keys", "broker"]).optional(),
  }),
  output: z.looseObject({
    ask: z.string(),
    agent: z.string(),
    answer: z.string(),
    route: z.string(),
    /** Others the short name also fits. */
    also: z.array(z.string()),
    ms: z.number(),
  }),
  errors: ["UNKNOWN_AGENT", "TIMEOUT", "REFUSED"],
});

/** An agent says: questions for me come here. Each is answered with `ask.answer`. */
export const agentListen = defineOperation({
  name: "agent.listen",
  summary: "Receive questions as an agent",
  effect: "read",
  role: "agent",
  input: z.strictObject({ agent: z.string().optional().describe("default: the agent of the credential") }),
  output: z.looseObject({ agent: z.string() }),
  streams: z.looseObject({ ask: z.string(), from: z.string(), text: z.string() }),
  errors: ["REFUSED"],
});

export const askAnswer = defineOperation({
  name: "ask.answer",
  summary: "Answer a question",
  effect: "write",
  role: "agent",
  input: z.strictObject({ ask: z.string(), text: z.string() }),
  output: z.looseObject({ accepted: z.boolean() }),
  errors: ["NOT_FOUND"],
});

export const routeExplain = defineOperation({
  name: "route.explain",
  summary: "Every hop a line of a room, or a question to an agent, takes",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    to: z.string().describe("a room, an agent, or room/agent"),
    near: z.array(z.string()).optional(),
  }),
  output: z.looseObject({ hops: z.array(Hop) }),
  errors: ["NOT_FOUND"],
});
