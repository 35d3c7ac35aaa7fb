import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import { toErrorBody } from "../protocol/error.ts";
import type { Guest } from "./guest.ts";
import { handoffKey, valueAt } from "./session-tools.ts";

const JSON_TYPE = { mimeType: "application/json" };

export const RESOURCES = [
  { uri: "crew://inbox", name: "inbox", description: "Your unread mail, without bodies", ...JSON_TYPE },
  { uri: "crew://handoff/latest", name: "handoff", description: "What your last run left", ...JSON_TYPE },
] as const;

export const TEMPLATES = [
  { uriTemplate: "crew://session/{id}", name: "session", description: "One agent", ...JSON_TYPE },
  { uriTemplate: "crew://memory/{key}", name: "memory", description: "One memory entry", ...JSON_TYPE },
  {
    uriTemplate: "crew://handoff/{series}",
    name: "handshake",
    description: "What the last chapter of a series handed over",
    ...JSON_TYPE,
  },
  { uriTemplate: "crew://feed/{room}", name: "feed", description: "The newest 50 lines of a room", ...JSON_TYPE },
] as const;

/** What a resource holds, as JSON text. Throws a protocol error that says which there are. */
export async function readResource(uri: string, guest: Guest): Promise<string> {
  try {
    const value = await contentOf(uri, guest);
    if (value !== undefined) return JSON.stringify(value);
  } catch (thrown) {
    const { what, why } = toErrorBody(thrown);
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, why ? `${what}: ${why}` : what);
  }
  throw new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    "there is no such resource; resources/list and resources/templates/list name them",
  );
}

async function contentOf(uri: string, guest: Guest): Promise<unknown> {
  const [, kind, rest = ""] = /^crew:\/\/(inbox|session|memory|feed|handoff)(?:\/(.+))?$/.exec(uri) ?? [];
  if (kind === undefined) return undefined;
  const caller = await guest.caller();
  const name = decodeURIComponent(rest);
  if (kind === "inbox") return caller.call("message.inbox", { unread: true, bodies: false, limit: 100 });
  if (kind === "handoff" && name !== "latest" && name !== "")
    return (await caller.call("handoff.show", { series: name })).handoff;
  if (kind === "handoff") return (await valueAt(caller, handoffKey(await guest.self()))) ?? null;
  if (name === "") return undefined;
  if (kind === "session") return (await caller.call("agent.show", { id: name })).agent;
  if (kind === "memory") return caller.call("memory.get", { key: name });
  return caller.call("room.read", { rooms: [name], last: 50 });
}
