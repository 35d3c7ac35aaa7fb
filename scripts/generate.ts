/**
 * Writes what follows from the operation declarations: the client's types, the command line's texts, the reference page and
 * the schema of the floor plan. `--check` writes nothing and exits 1 when a file is out of date.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { floorPlanJsonSchema } from "../src/coordinator/plan/schema.ts";
import { CATALOGUE, MODULES } from "../src/protocol/catalogue.ts";
import type { Operation } from "../src/protocol/operation.ts";

interface JsonSchema {
  type?: string | string[];
  description?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  enum?: string[];
  anyOf?: JsonSchema[];
  additionalProperties?: unknown;
}

function schemaOf(type: z.ZodType): JsonSchema {
  return z.toJSONSchema(type, { io: "input", unrepresentable: "any" }) as JsonSchema;
}

/** Where each operation is exported: `room.post` → room.ts, roomPost. */
function exportOf(operation: Operation): { module: string; name: string } {
  for (const [module, exports] of Object.entries(MODULES)) {
    const found = Object.entries(exports).find(([, value]) => value === operation);
    if (found) return { module, name: found[0] };
  }
  throw new Error(`${operation.name} is in the catalogue, but in no module this script knows`);
}

function clientTypes(): string {
  const rows = [...CATALOGUE.values()].map((operation) => ({ operation, ...exportOf(operation) }));
  const modules = [...new Set(rows.map((row) => row.module))].sort();
  return [
    "// Written by scripts/generate.ts; do not edit.",
    ...["operation", ...modules]
      .sort()
      .map((name) =>
        name === "operation"
          ? 'import type { InputOf, Operation, OutputOf } from "../protocol/operation.ts";'
          : `import type * as ${name} from "../protocol/${name}.ts";`,
      ),
    "",
    "/** Every operation by name. */",
    "interface Operations {",
    ...rows.map((row) => `  "${row.operation.name}": typeof ${row.module}.${row.name};`),
    "}",
    "",
    "export type OperationName = keyof Operations;",
    "type Declared<Name extends OperationName> = Operations[Name] extends Operation ? Operations[Name] : never;",
    "export type OperationInput<Name extends OperationName> = InputOf<Declared<Name>>;",
    "export type Answer<Name extends OperationName> = OutputOf<Declared<Name>>;",
    "",
  ].join("\n");
}

/** Summary of every operation and the description of every input field: what help shows. */
function commandTexts(): string {
  const texts: Record<string, { summary: string; fields: Record<string, string> }> = {};
  for (const operation of CATALOGUE.values()) {
    const fields: Record<string, string> = {};
    for (const [name, property] of Object.entries(schemaOf(operation.input).properties ?? {})) {
      if (property.description) fields[name] = property.description;
    }
    texts[operation.name] = { summary: operation.summary, fields };
  }
  return `${JSON.stringify(texts, null, 2)}\n`;
}

function typeText(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.join(" \\| ");
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeText))].join(" or ");
  if (schema.type === "array") return `list of ${schema.items ? typeText(schema.items) : "anything"}`;
  if (schema.type === "object") {
    const keys = Object.keys(schema.properties ?? {});
    return keys.length > 0 ? `{${keys.join(", ")}}` : "object";
  }
  return Array.isArray(schema.type) ? schema.type.join(" or ") : (schema.type ?? "anything");
}

function fieldRows(schema: JsonSchema): string[] {
  return Object.entries(schema.properties ?? {}).map(
    ([name, property]) =>
      `| \`${name}\` | ${typeText(property)} | ${schema.required?.includes(name) ? "yes" : ""} | ${property.description ?? ""} |`,
  );
}

function referencePage(): string {
  const lines = [
    "# Operations",
    "",
    "Written by `npm run generate` from the declarations in `src/protocol/`; do not edit. The wire that carries them is in",
    "`src/protocol/frames.ts`: one JSON document per line on the coordinator's Unix socket.",
    "",
  ];
  for (const operation of CATALOGUE.values()) {
    lines.push(`## ${operation.name}`, "", `${operation.summary}.`, "");
    const facts = [`effect ${operation.effect}`, `least role ${operation.role}`];
    if (operation.streams) facts.push("streams events");
    if (operation.errors) facts.push(`errors ${operation.errors.join(", ")}`);
    lines.push(`${facts.join(" · ")}`, "");
    const input = fieldRows(schemaOf(operation.input));
    if (input.length > 0) lines.push("| in | type | required | |", "| --- | --- | --- | --- |", ...input, "");
    const output = fieldRows(schemaOf(operation.output));
    if (output.length > 0) lines.push("| out | type | always | |", "| --- | --- | --- | --- |", ...output, "");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

const root = join(import.meta.dirname, "..");
const wanted: Record<string, string | null> = {
  "src/client/operations.gen.ts": clientTypes(),
  "src/cli/operations.gen.json": commandTexts(),
  "docs/reference.md": referencePage(),
  "schema/floorplan.schema.json": `${JSON.stringify(floorPlanJsonSchema(), null, 2)}\n`,
};
const check = process.argv.includes("--check");
for (const [name, text] of Object.entries(wanted)) {
  const file = join(root, name);
  if (text === null || (existsSync(file) && readFileSync(file, "utf8") === text)) continue;
  if (check) {
    process.stderr.write(`${name} is out of date: npm run generate\n`);
    process.exitCode = 1;
  } else {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    process.stdout.write(`wrote ${name}\n`);
  }
}
