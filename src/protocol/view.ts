import { z } from "zod";
import { Id } from "./id-schema.ts";
import { defineOperation } from "./operation.ts";

export const viewOpen = defineOperation({
  name: "view.open",
  summary: "Start a person's view if it does not run, and say where it is",
  effect: "write",
  role: "agent",
  input: z.strictObject({ user: z.string() }),
  output: z.looseObject({ user: z.string(), session: z.string(), name: z.string(), created: z.boolean() }),
  errors: ["UNKNOWN_USER", "REFUSED"],
});

export const viewList = defineOperation({
  name: "view.list",
  summary: "The personal views: whose, running or not, who is there, what is shared with whom",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({
    views: z.array(
      z.looseObject({
        user: z.string(),
        name: z.string(),
        state: z.string(),
        attached: z.number(),
        windows: z.array(z.string()),
        shared: z.array(z.looseObject({ window: z.string(), with: z.array(z.string()) })),
      }),
    ),
  }),
});

export const viewShare = defineOperation({
  name: "view.share",
  summary: "Show a window of one session inside another person's view: the same window, or a copy of its bytes",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    /** `session` or `session:window`. */
    source: z.string(),
    with: z.string().describe("user"),
    index: z.number().int().min(0).max(9999).optional(),
    mode: z.enum(["link", "replicate"]).optional(),
  }),
  output: z.looseObject({ window: z.string(), view: z.string(), index: z.number(), present: z.array(z.string()) }),
  errors: ["UNKNOWN_SESSION", "UNKNOWN_USER", "CONFLICT"],
});

export const viewUnshare = defineOperation({
  name: "view.unshare",
  summary: "Take a shared window out of a view; its source goes on",
  effect: "write",
  role: "agent",
  input: z.strictObject({ source: z.string(), with: z.string() }),
  output: z.looseObject({ removed: z.number() }),
  errors: ["NOT_FOUND"],
});

/** A credential for a program outside our sessions. Only people may ask for one. */
export const agentEnrol = defineOperation({
  name: "agent.enrol",
  summary: "Give a program outside our sessions a name of its own: prints the file with its token",
  effect: "write",
  role: "operator",
  input: z.strictObject({ agent: Id }),
  output: z.looseObject({ agent: z.string(), tokenFile: z.string(), socket: z.string() }),
  errors: ["CONFLICT", "REFUSED"],
});
