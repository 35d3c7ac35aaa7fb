import { createMcpHandler } from "@modelcontextprotocol/server";
import type { OperationName } from "../client/operations.gen.ts";
import { BosunError } from "../protocol/error.ts";
import { agentOf, type Caller, type Guest, refresh, type Wish } from "./guest.ts";
import { mcpServer } from "./server.ts";

/** Who sent an HTTP request, as the door has found by their credential. */
export interface HttpCaller {
  actor: { name: string; id: string; kind: string };
  call(op: string, input: unknown, options?: { key?: string }): Promise<unknown>;
}

/**
 * Answers `/mcp`. Nothing is kept of a connection: each request is a guest of its own, whose identity is its credential. A
 * person may use every tool but stays a person; to be an agent one shows an agent's credential, or names it in `bosun-as`.
 */
export function mcpOverHttp(version: string): (request: Request, caller: HttpCaller) => Promise<Response> {
  const mailShownAtMs = new Map<string, number>();
  return async (request, caller) => {
    const guest = new HttpGuest(caller, mailShownAtMs);
    const handler = createMcpHandler(() => mcpServer({ guest, profile: profileOf(request), version }), {
      responseMode: "json",
    });
    return handler.fetch(request);
  };
}

/** `/mcp?profile=core` lists less. */
function profileOf(request: Request): "full" | "core" | "original" {
  const wanted = new URL(request.url).searchParams.get("profile");
  return wanted === "core" || wanted === "original" ? wanted : "full";
}

class HttpGuest implements Guest {
  readonly room = null;
  readonly #http: HttpCaller;
  readonly #shown: Map<string, number>;
  readonly #caller: Caller;

  constructor(http: HttpCaller, shown: Map<string, number>) {
    this.#http = http;
    this.#shown = shown;
    const call = (op: OperationName, input: unknown, options?: { key?: string }) => http.call(op, input, options);
    this.#caller = { call } as Caller;
  }

  get mailShownAtMs(): number {
    return this.#shown.get(this.#http.actor.name) ?? 0;
  }

  set mailShownAtMs(ms: number) {
    this.#shown.set(this.#http.actor.name, ms);
  }

  async self(): Promise<string> {
    return this.#http.actor.id;
  }

  async caller(): Promise<Caller> {
    return this.#caller;
  }

  async open(wish: Wish) {
    if (wish.id !== undefined && wish.id !== this.#http.actor.id) {
      const { id, name = id, type = "mcp", user, capabilities } = wish;
      const facts = { id, name, type, ...(user && { user }), ...(capabilities && { capabilities }) };
      return (await this.#caller.call("agent.register", facts)).agent;
    }
    const agent = this.#http.actor.kind === "agent" ? await agentOf(this.#caller) : null;
    return agent && refresh(this.#caller, agent, wish);
  }

  async as(id: string): Promise<Caller> {
    if (id === this.#http.actor.id) return this.#caller;
    throw new BosunError({
      code: "REFUSED",
      what: `this request comes from ${this.#http.actor.id}`,
      why: "over HTTP the credential says who speaks",
      fix: `send the header bosun-as: ${id}, or use its own credential`,
    });
  }
}
