import { ProtocolError, ProtocolErrorCode, Server } from "@modelcontextprotocol/server";
import type { Guest } from "./guest.ts";
import { PROMPTS, promptText } from "./prompts.ts";
import { RESOURCES, readResource, TEMPLATES } from "./resources.ts";
import { type Profile, runTool, toolList } from "./tools.ts";

export interface ServerParts {
  guest: Guest;
  profile: Profile;
  version: string;
}

const INSTRUCTIONS =
  "You work in a crew of agents. Call session_open first. Read mail with inbox_read when an answer ends with [mail: …]; " +
  "acknowledge what you have dealt with. Call session_close when you end.";

/** Lists change with versions of bosun only; what is read, at any moment. */
const LISTS = { ttlMs: 3_600_000, cacheScope: "public" } as const;
const READS = { ttlMs: 0, cacheScope: "private" } as const;

/** One server for one connection or one HTTP request; both eras of the protocol take the same. */
export function mcpServer({ guest, profile, version }: ServerParts): Server {
  const server = new Server(
    { name: "bosun", title: "bosun", version },
    {
      capabilities: { tools: {}, resources: {}, prompts: {} },
      instructions: INSTRUCTIONS,
      cacheHints: {
        "tools/list": LISTS,
        "prompts/list": LISTS,
        "resources/list": LISTS,
        "resources/templates/list": LISTS,
        "server/discover": LISTS,
        "resources/read": READS,
      },
    },
  );
  server.setRequestHandler("tools/list", () => ({ tools: toolList(profile) }) as never);
  server.setRequestHandler("tools/call", async ({ params }) => {
    const result = await runTool(params.name, params.arguments, guest, profile);
    if (result) return result as never;
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, "there is no tool of that name; tools/list names them");
  });
  server.setRequestHandler("resources/list", () => ({ resources: [...RESOURCES] }));
  server.setRequestHandler("resources/templates/list", () => ({ resourceTemplates: [...TEMPLATES] }));
  server.setRequestHandler("resources/read", async ({ params }) => ({
    contents: [{ uri: params.uri, mimeType: "application/json", text: await readResource(params.uri, guest) }],
  }));
  server.setRequestHandler("prompts/list", () => ({
    prompts: PROMPTS.map(({ name, description }) => ({ name, description })),
  }));
  server.setRequestHandler("prompts/get", ({ params }) => ({
    messages: [{ role: "user" as const, content: { type: "text" as const, text: promptText(params.name) } }],
  }));
  return server;
}
