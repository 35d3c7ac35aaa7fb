import { type Document, isAlias, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { BosunError } from "../../protocol/error.ts";
import { Mistakes } from "./mistakes.ts";

/** A floor plan is a page or two; a hundred sessions by hand are some 40 KiB. */
const MAX_TEXT_BYTES = 262_144;
const MAX_DEPTH = 32;
/** Anchors are for a handful of repeated blocks; the "billion laughs" file needs ten levels of ten. */
const MAX_ALIASES = 200;
const MAX_NODES = 100_000;
const FORBIDDEN_KEYS = new Set(["__proto__", "constructor", "prototype"]);

/**
 * YAML 1.2 text to plain data and a way from data back to places. What could blow up in memory or time is refused first:
 * size, nesting, aliases (also cyclic ones), repeated keys. Repeated keys are looked for here because the library's own
 * check takes quadratic time: 100,000 keys blocked it for two minutes.
 */
export function parseYaml(text: string, file: string): { value: unknown; mistakes: Mistakes } {
  refuseEarly(text, file);
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    version: "1.2",
    schema: "core",
    merge: true,
    uniqueKeys: false,
    stringKeys: true,
    prettyErrors: false,
    strict: true,
  });
  const mistakes = new Mistakes(file, document, lines);
  const [first] = document.errors;
  if (first) {
    mistakes.addAt(first.pos[0], {
      what: `this is not YAML: ${first.message.split("\n")[0]}`,
      why: hint(text, first.pos[0]),
      fix: "only the first place is shown; the rest may be right",
    });
    mistakes.throwIfAny();
  }
  if (document.warnings[0])
    mistakes.addAt(document.warnings[0].pos[0], {
      what: `not understood: ${document.warnings[0].message.split("\n")[0]}`,
      why: "tags are not used in floor plans",
    });
  checkTree(document, mistakes);
  mistakes.throwIfAny();
  return { value: withoutOwnKeys(plainData(document, mistakes)), mistakes };
}

/** What only shows when aliases and merges are followed: too many of them, or a merge of something that is no map. */
function plainData(document: Document, mistakes: Mistakes): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    mistakes.addAt(0, {
      what: `the plan cannot be put together: ${error instanceof Error ? error.message : String(error)}`,
      why: "an alias (*name) or a merge (<<) leads nowhere good",
      fix: "write the repeated part out, or use each:",
    });
    mistakes.throwIfAny();
    throw error;
  }
}

function refuseEarly(text: string, file: string): void {
  const refuse = (what: string, why: string): never => {
    throw new BosunError({
      code: "PLAN_INVALID",
      what,
      why,
      fix: "split it with include:, or write repeated sessions with each:",
      at: { file, line: 1, column: 1 },
    });
  };
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_TEXT_BYTES) refuse(`the plan has ${bytes} bytes`, `a floor plan may have ${MAX_TEXT_BYTES}`);
  const zero = text.indexOf("\0");
  if (zero >= 0) {
    const line = text.slice(0, zero).split("\n").length;
    throw new BosunError({
      code: "PLAN_INVALID",
      what: "the plan holds a NUL byte",
      why: "it is text",
      fix: "was it saved as UTF-16? save it as UTF-8",
      at: { file, line, column: 1 },
    });
  }
  let depth = 0;
  for (const character of text) {
    if (character === "[" || character === "{") depth++;
    else if (character === "]" || character === "}") depth--;
    if (depth > MAX_DEPTH) refuse(`brackets are nested more than ${MAX_DEPTH} deep`, "no part of a floor plan is");
  }
}

function checkTree(document: Document, mistakes: Mistakes): void {
  let nodes = 0;
  let aliases = 0;
  const open = new Set<string>();
  visit(document, {
    Node(_key, node, path) {
      const at = (node as { range?: [number, number, number] }).range?.[0] ?? 0;
      if (++nodes > MAX_NODES || path.length > MAX_DEPTH * 3) {
        mistakes.addAt(at, {
          what: nodes > MAX_NODES ? `the plan has more than ${MAX_NODES} parts` : "the plan is nested too deep",
          why: "no floor plan is",
        });
        return visit.BREAK;
      }
      if (isAlias(node)) {
        aliases++;
        if (open.has(node.source) || path.some((parent) => (parent as { anchor?: string }).anchor === node.source)) {
          mistakes.addAt(at, { what: `*${node.source} stands inside what it names`, why: "it would never end" });
          return visit.BREAK;
        }
        if (aliases > MAX_ALIASES) {
          mistakes.addAt(at, { what: `more than ${MAX_ALIASES} aliases`, why: "copies are written with each:" });
          return visit.BREAK;
        }
      }
      return undefined;
    },
    Map(_key, map) {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key)) {
          mistakes.addAt((key as { range?: [number, number, number] } | null)?.range?.[0] ?? map.range?.[0] ?? 0, {
            what: "a key must be plain text",
            why: "quote values that begin with { or [",
          });
          continue;
        }
        const name = String(key.value);
        if (seen.has(name) && name !== "<<")
          mistakes.addAt(key.range?.[0] ?? 0, {
            what: `"${name}" stands here twice`,
            why: "the second would silently win",
            fix: "take one out, or give it another name",
          });
        if (FORBIDDEN_KEYS.has(name))
          mistakes.addAt(key.range?.[0] ?? 0, {
            what: `"${name}" cannot be a key`,
            why: "it is reserved",
            fix: "choose another name",
          });
        seen.add(name);
      }
    },
  });
}

/** Keys beginning with `x-` belong to the reader of the file; anchors usually hang there. */
function withoutOwnKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutOwnKeys);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !key.startsWith("x-"))
      .map(([key, inner]) => [key, withoutOwnKeys(inner)]),
  );
}

/** What usually is behind it. */
function hint(text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const line = text.slice(start, text.indexOf("\n", offset) < 0 ? undefined : text.indexOf("\n", offset));
  if (line.includes("\t")) return "YAML is indented with spaces, and there is a tab";
  const value = /:\s+([[{*&%@`!|>])/.exec(line)?.[1];
  if (value) return `a value that begins with ${value} must stand in quotes`;
  if (/:\s*[^"'[{#]*:\s/.test(line)) return "a value with a colon and a space must stand in quotes";
  return "a bracket, a quote or the indentation is not closed";
}
