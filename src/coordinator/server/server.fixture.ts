import { mkdtempSync, rmSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BosunError } from "../../protocol/error.ts";
import { httpShow } from "../../protocol/hub.ts";
import type { Introduction } from "../credentials.ts";
import { type Actor, Dispatch } from "../dispatch.ts";
import type { Gauges } from "../figures.ts";
import type { HttpFace, McpHandler } from "./face.ts";
import type { House } from "./house.ts";
import { openHttp } from "./http.ts";
import { HttpDoor } from "./http-door.ts";
import { listen, type SocketServer } from "./socket.ts";
import { Traffic } from "./traffic.ts";

/** `good` is an agent's token, `old` one of an ended run, `view` a viewer's; others are unknown; none is the owner. */
export function identify({ token, as }: Introduction): Actor {
  if (token === "old") throw new BosunError({ code: "STALE_EPOCH", what: "an ended run" });
  if (token !== undefined && token !== "good" && token !== "view") {
    throw new BosunError({ code: "REFUSED", what: "this credential is not known here" });
  }
  if (as !== undefined && token !== undefined) throw new BosunError({ code: "REFUSED", what: `not ${as}` });
  const id = as ?? (token === undefined ? "owner" : "deacon");
  const role = token === undefined ? "admin" : token === "view" ? "viewer" : "agent";
  return { name: `agent:${id}`, id, kind: "agent", role, session: null, epoch: 0 };
}

const GAUGES: Gauges = {
  agents: { active: 2 },
  messages: { ping: 3 },
  deliveries: { acked: 12 },
  unread: 4,
  dead: 5,
  openRequests: 6,
  memory: { fact: 7 },
  memoryKeys: 8,
  sessions: { running: 9 },
  stalls: { count: 0, longestMs: 0 },
  logHead: 10,
  logBytes: 11,
};

export interface Answered {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test states what it expects of the answer itself
  json: any;
}

export interface Asked {
  method?: string;
  body?: unknown;
  raw?: string;
  headers?: Record<string, string>;
}

/** The doors of a coordinator without the coordinator: a socket in a folder of its own, and TCP on a free port when asked. */
export class Doors {
  readonly folder = mkdtempSync(join(tmpdir(), "bosun-doors-"));
  readonly house: House = { dispatch: new Dispatch(), identify, traffic: new Traffic() };
  readonly door: HttpDoor;
  port = 0;
  #server!: SocketServer;

  constructor(mcp?: McpHandler) {
    this.house.dispatch.handle(httpShow, () => ({ url: null, tokenFile: null }));
    this.door = new HttpDoor(
      () => openHttp({ house: this.house, town: "t", version: "1", gauges: async () => GAUGES, ...(mcp && { mcp }) }),
      (error) => {
        throw error;
      },
    );
  }

  get path(): string {
    return join(this.folder, "s");
  }

  async open(): Promise<this> {
    this.#server = await listen(this.path, this.house, (socket) => this.door.take(socket));
    return this;
  }

  async openTcp(origins: string[] = []): Promise<HttpFace> {
    const face = await this.door.face();
    const hosts = new Set(["localhost", "127.0.0.1", "[::1]"]);
    this.port = await face.listen("127.0.0.1", 0, { hosts, origins: new Set(origins) });
    return face;
  }

  /** Over the Unix socket. */
  ask(path: string, asked: Asked = {}): Promise<Answered> {
    return ask({ socketPath: this.path, host: "bosun" }, path, asked);
  }

  askTcp(path: string, asked: Asked = {}): Promise<Answered> {
    return ask({ host: "127.0.0.1", port: this.port }, path, asked);
  }

  async close(): Promise<void> {
    await this.#server.close();
    await this.door.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function ask(to: object, path: string, { method, body, raw, headers }: Asked): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const text = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const sent = request(
      {
        ...to,
        path,
        agent: false,
        method: method ?? (text === undefined ? "GET" : "POST"),
        headers: { ...(text === undefined ? {} : { "content-type": "application/json" }), ...headers },
      },
      (response) => {
        let got = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          got += chunk;
        });
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            text: got,
            json: /json/.test(response.headers["content-type"] ?? "") ? JSON.parse(got) : null,
          }),
        );
      },
    );
    sent.on("error", reject);
    sent.end(text);
  });
}
