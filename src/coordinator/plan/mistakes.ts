import { type Document, isMap, isNode, isPair, type LineCounter, type Node } from "yaml";
import type { z } from "zod";
import { BosunError, type ErrorBody, type SourcePlace } from "../../protocol/error.ts";
import { nearest } from "../../protocol/nearest.ts";
import { keysAt } from "./schema.ts";

/** Shown at once; more would scroll the first one away. */
const MOST_MISTAKES = 20;

export type Path = readonly PropertyKey[];

/** Collects what is wrong with a plan, each with its place in the file, and throws them together. */
export class Mistakes {
  readonly #file: string;
  readonly #document: Document | null;
  readonly #lines: LineCounter;
  readonly #found: ErrorBody[] = [];

  constructor(file: string, document: Document | null, lines: LineCounter) {
    this.#file = file;
    this.#document = document;
    this.#lines = lines;
  }

  get any(): boolean {
    return this.#found.length > 0;
  }

  /** A mistake at the value, or with `key` at the key, that `path` leads to. */
  add(path: Path, mistake: { what: string; why?: string; fix?: string }, at: "value" | "key" = "value"): void {
    this.#found.push({ code: "PLAN_INVALID", ...mistake, at: this.placeOf(path, at) });
  }

  addAt(offset: number, mistake: { what: string; why?: string; fix?: string }): void {
    this.#found.push({ code: "PLAN_INVALID", ...mistake, at: this.#placeAt(offset) });
  }

  placeOf(path: Path, at: "value" | "key" = "value"): SourcePlace {
    let node: unknown = this.#document?.contents;
    let offset = 0;
    path.forEach((step, index) => {
      const next = stepInto(node, step);
      if (!next) {
        node = null;
        return;
      }
      node = next.value;
      const last = index === path.length - 1;
      const shown = last && at === "key" ? next.key : isNode(next.value) ? next.value : next.key;
      if (isNode(shown) && shown.range) offset = shown.range[0];
    });
    return this.#placeAt(offset);
  }

  /** Throws one error that holds all mistakes in the order of the file; does nothing when there are none. */
  throwIfAny(): void {
    if (this.#found.length === 0) return;
    const sorted = this.#found
      .toSorted((a, b) => a.at!.line - b.at!.line || a.at!.column - b.at!.column)
      .slice(0, MOST_MISTAKES);
    const [first, ...more] = sorted;
    throw new BosunError({ ...first!, ...(more.length > 0 ? { more } : {}) });
  }

  /** What the schema has to say, in words for people. */
  addIssue(issue: z.core.$ZodIssue, value: unknown, base: Path = []): void {
    const path = [...base, ...issue.path];
    if (issue.code === "unrecognized_keys") {
      const known = keysAt(path);
      for (const key of issue.keys) {
        const near = nearest(key, known);
        this.add(
          [...path, key],
          {
            what: `unknown key "${key}"${path.length > 0 ? ` in ${path.join(".")}` : ""}`,
            why: `known here: ${known.join(", ")}`,
            fix: near ? `did you mean ${near}` : `take it out, or call it x-${key} to keep it for yourself`,
          },
          "key",
        );
      }
      return;
    }
    if (issue.code === "invalid_union") {
      const best = bestBranch(issue.errors, valueAt(value, issue.path));
      if (best) {
        for (const inner of best) this.addIssue(inner, valueAt(value, issue.path), path);
        return;
      }
    }
    const found = valueAt(value, issue.path);
    this.add(path, {
      what: `${nameOf(path)}: ${found === undefined ? "missing" : `${show(found)} does not fit`}`,
      why: expected(issue),
      fix: example(path),
    });
  }

  #placeAt(offset: number): SourcePlace {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}

function stepInto(node: unknown, step: PropertyKey): { key: unknown; value: unknown } | null {
  if (isMap(node)) {
    const pair = node.items.find(
      (item) => isPair(item) && String((item.key as { value?: unknown } | null)?.value ?? item.key) === String(step),
    );
    return pair ? { key: pair.key, value: pair.value ?? pair.key } : null;
  }
  const items = (node as { items?: Node[] } | null)?.items;
  const item = Array.isArray(items) ? items[Number(step)] : undefined;
  return item ? { key: item, value: item } : null;
}

/** The branch a person most likely meant: the one that fits the kind of value and has the fewest complaints. */
function bestBranch(branches: readonly z.core.$ZodIssue[][], value: unknown): z.core.$ZodIssue[] | null {
  const fitting = branches.filter(
    (issues) => !issues.some((issue) => issue.path.length === 0 && issue.code === "invalid_type"),
  );
  if (fitting.length === 0 || value === undefined) return null;
  return fitting.toSorted((a, b) => a.length - b.length)[0]!;
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (here, step) =>
      typeof here === "object" && here !== null ? (here as Record<PropertyKey, unknown>)[step] : undefined,
    value,
  );
}

function nameOf(path: Path): string {
  return path.length === 0 ? "the plan" : path.map(String).join(".");
}

export function show(value: unknown): string {
  const text = typeof value === "string" ? `"${value}"` : JSON.stringify(value);
  return text === undefined ? "nothing" : text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function expected(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `expected ${article(issue.expected)}`;
    case "invalid_value":
      return `expected ${issue.values.map(String).join(", ")}`;
    case "invalid_union":
      return `expected ${[
        ...new Set(
          issue.errors
            .flat()
            .map(expected)
            .map((text) => text.replace(/^expected /, "")),
        ),
      ]
        .slice(0, 4)
        .join(", or ")}`;
    case "too_small":
      return issue.origin === "array" ? "expected at least one entry" : `expected ${issue.minimum} or more`;
    case "too_big":
      return `expected ${issue.maximum} or less`;
    default:
      return issue.message;
  }
}

const KINDS: Record<string, string> = {
  string: "text",
  record: "a map",
  object: "a map",
  array: "a list",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
};

function article(kind: string): string {
  return KINDS[kind] ?? kind;
}

const EXAMPLES: Record<string, string> = {
  version: "version: 1",
  windows: "windows: [ { name: main, panes: [ { run: top } ] } ]",
  panes: "panes: [ { run: top }, command ]",
  view: "view: [ { name: main, panes: [ { feed: spx }, command ] } ]",
  each: "each: { instrument: [SPX, QQQ] }",
  restart: "restart: on-failure",
  env: "env: { KEY: value }",
  agent: "agent: { id: deacon-spx, type: narrator }",
  size: "size: 200x50",
};

function example(path: Path): string {
  const key = path.findLast((step) => typeof step === "string" && step in EXAMPLES);
  return key === undefined
    ? "docs/floorplan.md shows every key with an example"
    : `for example ${EXAMPLES[String(key)]}`;
}
