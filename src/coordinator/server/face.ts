import type { Socket } from "node:net";
import type { Actor } from "../dispatch.ts";
import type { Gauges } from "../figures.ts";
import type { Rules } from "./gate.ts";
import type { House } from "./house.ts";

/** A call over MCP acts in the house as whoever sent the HTTP request. */
export interface McpCaller {
  actor: Actor;
  call(op: string, input: unknown, options?: { key?: string }): Promise<unknown>;
}

/** Answers the requests on `/mcp`. `request.signal` aborts when the client leaves. */
export type McpHandler = (request: Request, caller: McpCaller) => Promise<Response>;

export interface FaceParts {
  house: House;
  town: string;
  version: string;
  /** For /metrics. */
  gauges: () => Promise<Gauges>;
  mcp?: McpHandler;
}

/** HTTP, WebSocket and MCP: all that is loaded when the first request of that kind comes. */
export interface HttpFace {
  /** Takes over a paused connection of the Unix socket. */
  take(socket: Socket): void;
  /** Listens on TCP as well; gives the port. Rejects with the system's error when it cannot. */
  listen(host: string, port: number, rules: Rules): Promise<number>;
  /** Ends listening on TCP, and the connections that came in there. */
  unlisten(): Promise<void>;
  close(): Promise<void>;
}
