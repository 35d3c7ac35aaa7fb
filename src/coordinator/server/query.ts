import { z } from "zod";
import type { Operation } from "../../protocol/operation.ts";

interface Schema {
  type?: string | string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
}

const schemas = new WeakMap<Operation, Schema>();

function inputSchema(operation: Operation): Schema {
  let schema = schemas.get(operation);
  if (!schema) {
    schema = z.toJSONSchema(operation.input, { io: "input", unrepresentable: "any" }) as Schema;
    schemas.set(operation, schema);
  }
  return schema;
}

/**
 * The input of a read from the query of an address: text, numbers, booleans; a field given several times, or declared as a
 * list, is a list; objects as JSON. What does not fit stays text, so that the operation's own check can say what is wrong.
 */
export function inputFromQuery(operation: Operation, query: URLSearchParams): Record<string, unknown> {
  const properties = inputSchema(operation).properties ?? {};
  const input: Record<string, unknown> = {};
  for (const name of new Set(query.keys())) {
    const values = query.getAll(name);
    const schema = Object.hasOwn(properties, name) ? properties[name]! : {};
    const value = kindOf(schema).includes("array")
      ? values.map((text) => valueFrom(schema.items ?? {}, text))
      : values.length > 1
        ? values
        : valueFrom(schema, values[0]!);
    Object.defineProperty(input, name, { value, enumerable: true });
  }
  return input;
}

function kindOf(schema: Schema): string[] {
  if (schema.anyOf) return schema.anyOf.flatMap(kindOf);
  return schema.type === undefined ? [] : [schema.type].flat();
}

function valueFrom(schema: Schema, text: string): unknown {
  const kinds = kindOf(schema);
  if (kinds.includes("number") || kinds.includes("integer")) {
    if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return Number(text);
  }
  if (kinds.includes("boolean")) {
    if (text === "true" || text === "1" || text === "") return true;
    if (text === "false" || text === "0") return false;
  }
  if (kinds.includes("null") && text === "null") return null;
  if (kinds.includes("object")) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      // Not JSON: the operation's check says so with the field's name.
    }
  }
  return text;
}
