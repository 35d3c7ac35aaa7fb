import { createMCPClient, type MCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport } from "@ai-sdk/mcp/mcp-stdio";
import { jsonSchema, type ToolSet, tool } from "ai";

/** A server that takes longer to begin is left out, and said so. */
const WITHIN_MS = 15_000;

/** Of a tool's answer, so much goes to the model. */
const ANSWER_CHARS = 100_000;

/** The tools a model may call, of all servers, under `server__tool` where two have the same name. */
export class Tools {
  readonly #clients: MCPClient[] = [];
  readonly #tools = new Map<string, { client: MCPClient; name: string; reads: boolean }>();
  /** As the model gets them; none runs by itself. */
  readonly set: ToolSet = {};
  /** Servers that could not be begun, with the reason. */
  readonly missing: { server: string; why: string }[] = [];

  /** `own` begins our own server; `servers` are `bosun`, `NAME=COMMAND` or `NAME=URL`. Never throws. */
  static async begin(servers: readonly string[], own: readonly string[]): Promise<Tools> {
    const tools = new Tools();
    await Promise.all(
      servers.map(async (server) => {
        try {
          await tools.#add(server, own);
        } catch (error) {
          tools.missing.push({ server, why: error instanceof Error ? error.message : String(error) });
        }
      }),
    );
    return tools;
  }

  async #add(server: string, own: readonly string[]): Promise<void> {
    const at = server.indexOf("=");
    const name = at === -1 ? server : server.slice(0, at);
    const how = server.slice(at + 1);
    const env = Object.fromEntries(
      Object.entries(process.env).flatMap(([key, value]) => (value ? [[key, value]] : [])),
    );
    const transport = /^https?:/.test(how)
      ? { type: "http" as const, url: how }
      : at === -1
        ? new Experimental_StdioMCPTransport({ command: own[0]!, args: own.slice(1), env, stderr: "ignore" })
        : new Experimental_StdioMCPTransport({ command: "sh", args: ["-c", `exec ${how}`], env, stderr: "ignore" });
    const client = await within(createMCPClient({ transport }));
    this.#clients.push(client);
    const { tools } = await within(client.listTools());
    for (const each of tools) {
      const shown = Object.hasOwn(this.set, each.name) ? `${name}__${each.name}` : each.name;
      this.#tools.set(shown, { client, name: each.name, reads: each.annotations?.readOnlyHint === true });
      this.set[shown] = tool({
        ...(each.description !== undefined && { description: each.description }),
        inputSchema: jsonSchema(each.inputSchema as Parameters<typeof jsonSchema>[0]),
      });
    }
  }

  /** It says of itself that it changes nothing. */
  reads(name: string): boolean {
    return this.#tools.get(name)?.reads === true;
  }

  /** The answer as text, and whether it is one. */
  async call(name: string, input: unknown): Promise<{ ok: boolean; text: string }> {
    const found = this.#tools.get(name);
    if (!found) return { ok: false, text: `there is no tool ${name}` };
    try {
      const answer = (await found.client.callTool({
        name: found.name,
        arguments: (input ?? {}) as Record<string, unknown>,
      })) as { content?: { type: string; text?: string }[]; isError?: boolean };
      const text = (answer.content ?? []).map((part) => part.text ?? `(${part.type})`).join("\n");
      return { ok: answer.isError !== true, text: text.slice(0, ANSWER_CHARS) };
    } catch (error) {
      return { ok: false, text: error instanceof Error ? error.message : String(error) };
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#clients.map((client) => client.close()));
  }
}

function within<T>(work: Promise<T>): Promise<T> {
  return Promise.race([
    work,
    new Promise<never>((_, reject) =>
      setTimeout(() => reject(new Error("it did not begin in time")), WITHIN_MS).unref(),
    ),
  ]);
}
