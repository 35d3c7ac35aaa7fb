import type { Socket } from "node:net";
import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { CATALOGUE } from "../../protocol/catalogue.ts";
import { BosunError, toErrorBody } from "../../protocol/error.ts";
import { hubBeacon } from "../../protocol/hub.ts";
import type { Operation } from "../../protocol/operation.ts";
import type { Actor } from "../dispatch.ts";
import type { FaceParts, McpHandler } from "./face.ts";
import { checkDoor, headerOf, queryOf, type Rules, whoSent } from "./gate.ts";
import { HeldStream } from "./held-stream.ts";
import { Metrics } from "./metrics.ts";
import { openApi } from "./openapi.ts";
import { HttpRefusal, problemOf } from "./problem.ts";
import { inputFromQuery } from "./query.ts";
import { EventSourceOutlet } from "./sse.ts";

/** The rules of the TCP connection a request came by, or null on the Unix socket. */
export type RulesOf = (socket: Socket) => Rules | null;

type Who = (request: FastifyRequest) => Actor;

/** Everything HTTP answers but the WebSocket. */
export function addRoutes(app: FastifyInstance, parts: FaceParts, rulesOf: RulesOf): void {
  const who: Who = (request) => whoSent(parts.house, request.raw, rulesOf(request.raw.socket));
  app.setErrorHandler((thrown, _request, reply) => sendProblem(reply, thrown));
  app.setNotFoundHandler((request, reply) => sendProblem(reply, nothingAt(request)));
  addDoorman(app, parts, rulesOf, who);
  addOperations(app, parts, who);
  addPages(app, parts, who);
  if (parts.mcp) addMcp(app, parts, parts.mcp, who);
}

/** Looks at every request before its body is read. */
function addDoorman(app: FastifyInstance, { house }: FaceParts, rulesOf: RulesOf, who: Who): void {
  app.addHook("onRequest", async (request, reply) => {
    const rules = rulesOf(request.raw.socket);
    checkDoor(request.raw, rules);
    reply.headers({ "x-content-type-options": "nosniff", "cache-control": "no-store" });
    const { origin } = request.headers;
    if (rules && origin !== undefined) {
      reply.headers({ "access-control-allow-origin": origin, vary: "origin" });
      // A browser asks what it may send before it sends a token.
      if (request.method === "OPTIONS") return reply.headers(PREFLIGHT).code(204).send();
    }
    // Operations ask themselves. Whoever comes over TCP without a credential that counts is not even read.
    if (!rules && request.url.startsWith("/v1/")) return;
    await house.dispatch.enter(() => who(request), "http.show", {}, { key: undefined, stream: silentStream() });
  });
}

const PREFLIGHT = {
  "access-control-allow-methods": "GET, POST",
  "access-control-allow-headers":
    "authorization, content-type, idempotency-key, bosun-as, last-event-id, mcp-protocol-version, mcp-session-id",
  "access-control-max-age": "600",
};

function addOperations(app: FastifyInstance, parts: FaceParts, who: Who): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "string" }, (_request, text, done) => {
    try {
      done(null, text === "" ? {} : (JSON.parse(text as string) as unknown));
    } catch {
      done(new HttpRefusal(400, { code: "USAGE", what: "the body is not JSON", fix: "send one JSON document" }));
    }
  });
  app.post("/v1/:operation", (request, reply) =>
    answer(request, reply, operationOf(request), request.body ?? {}, parts, who),
  );
  app.get("/v1/:operation", (request, reply) => {
    const operation = operationOf(request);
    if (operation.effect !== "read") {
      throw new HttpRefusal(
        405,
        { code: "USAGE", what: `${operation.name} changes something`, fix: `POST /v1/${operation.name}` },
        { allow: "POST" },
      );
    }
    return answer(request, reply, operation, inputFromQuery(operation, queryOf(request.raw)), parts, who);
  });
}

function addPages(app: FastifyInstance, parts: FaceParts, who: Who): void {
  const metrics = new Metrics(parts.town, parts.gauges, parts.house.traffic);
  app.get("/healthz", () => ({ ok: true, town: parts.town, version: parts.version }));
  app.get("/openapi.json", () => openApi(parts.version));
  app.get("/metrics", async (_request, reply) =>
    reply.type("text/plain; version=0.0.4; charset=utf-8").send(await metrics.text()),
  );
  app.get("/status.json", (request, reply) => answer(request, reply, hubBeacon, {}, parts, who));
}

function nothingAt(request: FastifyRequest): HttpRefusal {
  return new HttpRefusal(404, {
    code: "NOT_FOUND",
    what: `there is nothing at ${request.raw.url!.split("?")[0]!.slice(0, 200)}`,
    fix: "POST /v1/OPERATION; all of them stand in /openapi.json",
  });
}

function operationOf(request: FastifyRequest): Operation {
  const { operation: name } = request.params as { operation: string };
  const operation = CATALOGUE.get(name);
  if (operation) return operation;
  throw new BosunError({
    code: "NOT_FOUND",
    what: `there is no operation "${name.slice(0, 80)}"`,
    fix: "all of them stand in /openapi.json",
  });
}

/** For calls whose events nobody reads. */
function silentStream(): HeldStream {
  return new HeldStream({ event: () => true, end: () => {} }, new Set());
}

/** One call: its answer as JSON, or with `Accept: text/event-stream` the answer and the events that follow. */
async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  operation: Operation,
  input: unknown,
  { house }: FaceParts,
  who: Who,
): Promise<FastifyReply> {
  const done = house.traffic.begin("http", operation.name);
  const streaming = operation.streams !== undefined && /\btext\/event-stream\b/.test(request.headers.accept ?? "");
  const drains = new Set<() => void>();
  let outlet: EventSourceOutlet | null = null;
  const stream = new HeldStream(
    { event: (json) => outlet?.event(json) ?? true, end: (because) => outlet?.end(because) },
    drains,
  );
  reply.raw.once("close", () => stream.close());
  try {
    const key = headerOf(request.raw, "idempotency-key");
    const wanted = streaming ? resumed(operation, input, headerOf(request.raw, "last-event-id")) : input;
    const given = await house.dispatch.enter(() => who(request), operation.name, wanted, { key, stream });
    done(null);
    if (!streaming) {
      stream.close();
      return reply.type("application/json; charset=utf-8").send(JSON.stringify(given ?? {}));
    }
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value as string);
    outlet = new EventSourceOutlet(reply.raw, given);
    reply.raw.on("drain", () => {
      for (const listener of drains) listener();
    });
    stream.open();
    house.traffic.follow("http", stream);
    return reply;
  } catch (thrown) {
    stream.close();
    done(toErrorBody(thrown).code);
    throw thrown;
  }
}

/** `Last-Event-ID` is the cursor of a client that comes back; what the input says itself goes first. */
function resumed(operation: Operation, input: unknown, lastEventId: string | undefined): unknown {
  if (lastEventId === undefined || !/^\d{1,15}$/.test(lastEventId)) return input;
  const fields = input as Record<string, unknown>;
  if (typeof fields !== "object" || fields === null || "after" in fields) return input;
  return operation.input.safeParse({ ...fields, after: Number(lastEventId) }).success
    ? { ...fields, after: Number(lastEventId) }
    : input;
}

/** MCP takes its bytes as they are; everything around it (host, origin, token) is as for the other routes. */
function addMcp(app: FastifyInstance, { house }: FaceParts, mcp: McpHandler, who: Who): void {
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
    scope.route({
      method: ["GET", "POST", "DELETE"],
      url: "/mcp",
      async handler(request, reply) {
        const actor = who(request);
        const leaving = new AbortController();
        reply.raw.once("close", () => leaving.abort());
        const response = await mcp(webRequest(request, leaving.signal), {
          actor,
          async call(op, input, options) {
            const done = house.traffic.begin("mcp", op);
            const stream = silentStream();
            leaving.signal.addEventListener("abort", () => stream.close());
            try {
              const given = await house.dispatch.enter(() => actor, op, input, { key: options?.key, stream });
              done(null);
              return given;
            } catch (thrown) {
              done(toErrorBody(thrown).code);
              throw thrown;
            } finally {
              stream.close();
            }
          },
        });
        reply.code(response.status);
        response.headers.forEach((value, name) => void reply.header(name, value));
        return response.body ? reply.send(Readable.fromWeb(response.body as never)) : reply.send();
      },
    });
  });
}

function webRequest(request: FastifyRequest, signal: AbortSignal): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    for (const each of [value ?? []].flat()) headers.append(name, each);
  }
  return new Request(new URL(request.raw.url!, `http://${request.headers.host ?? "bosun"}`), {
    method: request.method,
    headers,
    signal,
    ...(request.body === undefined ? {} : { body: request.body as Buffer<ArrayBuffer> }),
  });
}

function sendProblem(reply: FastifyReply, thrown: unknown): FastifyReply {
  const { status, headers, body } = problemOf(thrown);
  return reply.code(status).headers(headers).type("application/problem+json; charset=utf-8").send(JSON.stringify(body));
}
