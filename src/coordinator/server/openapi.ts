import { z } from "zod";
import { CATALOGUE } from "../../protocol/catalogue.ts";
import type { Operation } from "../../protocol/operation.ts";

type Schema = Record<string, unknown>;

/** Statuses beside 200 that every operation can give. */
const ANY_ERROR = ["400", "401", "403", "404", "405", "408", "409", "413", "415", "424", "429", "500", "507"];

let made: { version: string; document: Schema } | null = null;

/** The OpenAPI 3.1 document of all operations, from their declarations. */
export function openApi(version: string): Schema {
  if (made?.version !== version) made = { version, document: makeDocument(version) };
  return made.document;
}

function makeDocument(version: string): Schema {
  const schemas = new Schemas();
  const paths = Object.fromEntries(
    [...CATALOGUE.values()].map((operation) => [`/v1/${operation.name}`, pathOf(operation, schemas)]),
  );
  return {
    openapi: "3.1.0",
    info: {
      title: "bosun",
      version,
      description:
        "Every operation is POST /v1/NAME with its input as JSON; reads also answer GET with fields in the query. Operations that stream answer with Server-Sent Events when text/event-stream is accepted, or over the WebSocket at /v1/ws.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      parameters: {
        key: {
          name: "Idempotency-Key",
          in: "header",
          schema: { type: "string" },
          description: "counts once per caller; the same key again gives the first answer",
        },
        as: {
          name: "Bosun-As",
          in: "header",
          schema: { type: "string" },
          description: "the registered agent an admin speaks as",
        },
      },
      responses: {
        problem: {
          description: "What happened, why, and what to do",
          content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
        },
      },
      schemas: { Problem: PROBLEM, ...schemas.all },
    },
  };
}

function pathOf(operation: Operation, schemas: Schemas): Schema {
  const input = schemas.add(`${operation.name}.in`, operation.input, "input");
  const output = schemas.add(`${operation.name}.out`, operation.output, "output");
  const event = operation.streams && schemas.add(`${operation.name}.event`, operation.streams, "output");
  const common = {
    summary: operation.summary,
    description: `Effect ${operation.effect}; least role ${operation.role}.`,
    tags: [operation.name.split(".")[0]],
    responses: {
      "200": {
        description: "The answer",
        content: {
          "application/json": { schema: output },
          ...(event ? { "text/event-stream": { schema: event } } : {}),
        },
      },
      ...Object.fromEntries(ANY_ERROR.map((status) => [status, { $ref: "#/components/responses/problem" }])),
    },
  };
  const as = { $ref: "#/components/parameters/as" };
  const post = {
    ...common,
    operationId: operation.name,
    parameters: operation.effect === "read" ? [as] : [{ $ref: "#/components/parameters/key" }, as],
    requestBody: { required: true, content: { "application/json": { schema: input } } },
  };
  if (operation.effect !== "read") return { post };
  return {
    get: { ...common, operationId: `${operation.name}.get`, parameters: [...schemas.parameters(operation), as] },
    post,
  };
}

/** Named schemas of the document; the same one is there once. */
class Schemas {
  readonly all: Record<string, Schema> = {};

  /** Gives the reference to put where the schema is meant. */
  add(name: string, type: z.ZodType, io: "input" | "output"): Schema {
    this.all[name] = this.#made(type, io);
    return { $ref: `#/components/schemas/${name}` };
  }

  /** Fields of a read, as they stand in a query. */
  parameters(operation: Operation): Schema[] {
    const schema = this.#made(operation.input, "input");
    const required = (schema.required ?? []) as string[];
    return Object.entries((schema.properties ?? {}) as Record<string, Schema>).map(([name, field]) => {
      const { description, ...rest } = field;
      const object = rest.type === "object";
      return {
        name,
        in: "query",
        required: required.includes(name),
        ...(description === undefined ? {} : { description }),
        // An object in a query is JSON text; a list is the field repeated.
        ...(object ? { content: { "application/json": { schema: rest } } } : { schema: rest }),
      };
    });
  }

  /** Definitions inside a schema become schemas of the document, or their references would point nowhere. */
  #made(type: z.ZodType, io: "input" | "output"): Schema {
    const { $schema: _dialect, $defs, ...schema } = z.toJSONSchema(type, { io, unrepresentable: "any" }) as Schema;
    const names = new Map<string, string>();
    for (const [name, inner] of Object.entries(($defs ?? {}) as Record<string, Schema>)) {
      names.set(`#/$defs/${name}`, this.#shared(name, inner));
    }
    return moved(schema, names) as Schema;
  }

  #shared(name: string, inner: Schema): string {
    for (let count = 0; ; count++) {
      const shared = `shared.${name}${count === 0 ? "" : `.${count}`}`;
      const here = `#/components/schemas/${shared}`;
      const schema = moved(inner, new Map([[`#/$defs/${name}`, here]])) as Schema;
      const before = this.all[shared];
      if (before && JSON.stringify(before) !== JSON.stringify(schema)) continue;
      this.all[shared] = schema;
      return here;
    }
  }
}

/** The same value with references renamed. */
function moved(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((each) => moved(each, names));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      key === "$ref" ? (names.get(each as string) ?? each) : moved(each, names),
    ]),
  );
}

const PROBLEM: Schema = {
  type: "object",
  required: ["type", "title", "status", "code", "what"],
  properties: {
    type: { type: "string", description: "urn:bosun: and the code" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { type: "string", description: "for programs; treat one you do not know like FAILED" },
    what: { type: "string" },
    why: { type: "string" },
    fix: { type: "string", description: "what to type next" },
    retryAfterMs: { type: "number" },
  },
};
