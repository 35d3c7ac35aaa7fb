import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type LineCounter,
  type Pair,
  type YAMLMap,
} from "yaml";
import type { z } from "zod";
import { BosunError, type ErrorBody, type SourcePlace } from "../../protocol/error.ts";
import { nearest } from "../../protocol/nearest.ts";
import { keysAt } from "./schema.ts";

/** Shown at once; more would scroll the first one away. */
const MOST_MISTAKES = 20;
/** A mistake under `each:` comes once per copy; three show what it is about. */
const MOST_AT_ONE_PLACE = 3;
/** Enough to choose the first ones of the file from; a file of rubbish holds thousands. */
const MOST_COLLECTED = 100;

/** Of each sentence; names and keys in it may be as long as the file. */
const MOST_CHARACTERS = 500;

export type Path = readonly PropertyKey[];

/** One file of a plan: the way from data back to places. */
export interface PlanText {
  file: string;
  document: Document;
  lines: LineCounter;
}

export interface Mistake {
  what: string;
  why?: string;
  fix?: string;
}

/** Collects what is wrong with a plan, each with its place in its file, and throws them together. */
export class Mistakes {
  /** The plan's own text first, then what it includes: the order in which keys win. */
  readonly #texts: readonly PlanText[];
  readonly #found: ErrorBody[] = [];
  readonly #perPlace = new Map<string, number>();
  readonly #pairs = new WeakMap<YAMLMap, Map<string, Pair>>();

  constructor(texts: readonly PlanText[]) {
    this.#texts = texts;
  }

  /** Enough was found; looking further only takes time. */
  get full(): boolean {
    return this.#found.length >= MOST_COLLECTED;
  }

  /** A mistake at the value, or with `key` at the key, that `path` leads to. */
  add(path: Path, mistake: Mistake, at: "value" | "key" = "value"): void {
    if (!this.full) this.#addPlaced(mistake, this.placeOf(path, at));
  }

  /** The same in the plan's own text, at a character. */
  addAt(offset: number, mistake: Mistake): void {
    if (!this.full) this.#addPlaced(mistake, placeAt(this.#texts[0]!, offset));
  }

  /** Where `path` leads, or as far as any of the texts follows it. */
  placeOf(path: Path, at: "value" | "key" = "value"): SourcePlace {
    let best: { steps: number; text: PlanText; offset: number } | null = null;
    for (const text of this.#texts) {
      const found = this.#follow(text, path, at);
      if (!best || found.steps > best.steps) best = { ...found, text };
    }
    return best ? placeAt(best.text, best.offset) : { file: "", line: 1, column: 1 };
  }

  #follow(text: PlanText, path: Path, at: "value" | "key"): { steps: number; offset: number } {
    let node: unknown = text.document.contents;
    let offset = 0;
    let steps = 0;
    for (const step of path) {
      const next = this.#stepInto(node, step, text);
      if (!next) break;
      steps++;
      const shown = steps === path.length && at === "key" ? next.key : isNode(next.value) ? next.value : next.key;
      offset = offsetOf(shown) || offset;
      node = next.value;
    }
    return { steps, offset };
  }

  #stepInto(node: unknown, step: PropertyKey, text: PlanText): { key: unknown; value: unknown } | null {
    const real = isAlias(node) ? node.resolve(text.document) : node;
    if (isSeq(real)) {
      const item = real.items[Number(step)];
      return item === undefined ? null : { key: item, value: item };
    }
    if (!isMap(real)) return null;
    const pairs = this.#pairsOf(real);
    const pair = pairs.get(String(step));
    if (pair) return pair;
    const merged = pairs.get("<<")?.value;
    for (const source of isSeq(merged) ? merged.items.toReversed() : merged ? [merged] : []) {
      const found = this.#stepInto(source, step, text);
      if (found) return found;
    }
    return null;
  }

  #pairsOf(map: YAMLMap): Map<string, Pair> {
    let pairs = this.#pairs.get(map);
    if (!pairs) {
      pairs = new Map(map.items.map((pair) => [isScalar(pair.key) ? String(pair.key.value) : "", pair]));
      this.#pairs.set(map, pairs);
    }
    return pairs;
  }

  #addPlaced(mistake: Mistake, at: SourcePlace): void {
    const short = Object.fromEntries(
      Object.entries(mistake).map(([key, text]) => [key, shorten(text, MOST_CHARACTERS)]),
    ) as unknown as Mistake;
    const place = JSON.stringify(at);
    const before = this.#perPlace.get(place) ?? 0;
    const told = this.#found.some((other) => other.what === short.what && JSON.stringify(other.at) === place);
    if (told || before >= MOST_AT_ONE_PLACE) return;
    this.#perPlace.set(place, before + 1);
    this.#found.push({ code: "PLAN_INVALID", ...short, at });
  }

  /** Throws one error that holds all mistakes in the order of the file; does nothing when there are none. */
  throwIfAny(): void {
    if (this.#found.length === 0) return;
    const sorted = this.#found
      .toSorted((a, b) => this.#rank(a) - this.#rank(b) || a.at!.line - b.at!.line || a.at!.column - b.at!.column)
      .slice(0, MOST_MISTAKES);
    const [first, ...more] = sorted;
    throw new BosunError({ ...first!, ...(more.length > 0 ? { more } : {}) });
  }

  #rank(mistake: ErrorBody): number {
    return this.#texts.findIndex((text) => text.file === mistake.at?.file);
  }

  /** What the schema has to say, in words for people. `base` leads to `value`. */
  addIssues(issues: readonly z.core.$ZodIssue[], value: unknown, base: Path = []): void {
    const meant = new Set<string>();
    for (const issue of issues)
      if (issue.code === "unrecognized_keys")
        for (const key of issue.keys.slice(0, MOST_COLLECTED)) {
          const near = this.#addUnknownKey([...base, ...issue.path], key);
          if (near) meant.add(JSON.stringify([...issue.path, near]));
        }
    // A key that is missing because it is misspelt was told already.
    for (const issue of issues)
      if (issue.code !== "unrecognized_keys" && !meant.has(JSON.stringify(issue.path)))
        this.#addIssue(issue, value, base);
  }

  #addIssue(issue: z.core.$ZodIssue, value: unknown, base: Path): void {
    if (this.full) return;
    const path = [...base, ...issue.path];
    const found = valueAt(value, issue.path);
    if (issue.code === "invalid_union") {
      const best = bestBranch(issue.errors, found);
      if (best) {
        this.addIssues(best, found, path);
        return;
      }
    }
    if (issue.code === "invalid_key") {
      const why = issue.issues[0]?.message ?? "it is not of the form expected here";
      this.add(path, { what: `${show(String(path.at(-1)))} cannot be a key here`, why, fix: example(path) }, "key");
      return;
    }
    const choices = issue.code === "invalid_value" && typeof found === "string" ? issue.values.map(String) : [];
    const near = typeof found === "string" ? nearest(found, choices) : null;
    this.add(path, {
      what: `${nameOf(path)}: ${found === undefined ? "missing" : `${show(found)} does not fit`}`,
      why: expected(issue),
      fix: near ? `did you mean ${near}` : wantsQuotes(issue, found) ? `put it in quotes: "${found}"` : example(path),
    });
  }

  /** Returns the key that was meant, if one is near. */
  #addUnknownKey(path: Path, key: string): string | null {
    const known = keysAt(path);
    const meant = Object.hasOwn(SPELT_ELSEWHERE, key) ? SPELT_ELSEWHERE[key]! : null;
    const near = nearest(key, known) ?? (meant !== null && known.includes(meant) ? meant : null);
    this.add(
      [...path, key],
      {
        what: `unknown key ${show(key)}${path.length > 0 ? ` in ${nameOf(path)}` : ""}`,
        why: `known here: ${known.join(", ")}`,
        fix: near
          ? `did you mean ${near}`
          : `take it out, or call it x-${show(key).slice(1, -1)} to keep it for yourself`,
      },
      "key",
    );
    return near;
  }
}

/** What tmuxp, tmuxinator, compose and process-compose call it. */
const SPELT_ELSEWHERE: Record<string, string> = {
  cmd: "run",
  command: "run",
  shell_command: "run",
  environment: "env",
  working_dir: "cwd",
  start_directory: "cwd",
  root: "cwd",
  dir: "cwd",
  path: "cwd",
  depends_on: "after",
  availability: "restart",
  healthcheck: "health",
  description: "about",
  window_name: "name",
  session_name: "town",
  services: "sessions",
  processes: "sessions",
  socket_name: "tmux",
  naming: "names",
  floorplan: "version",
  people: "users",
  members: "private",
  log: "jsonl",
  retain: "keep",
};

/** `run: 7`, `town: 11`, `pattern: true`: YAML reads these as something else than text. */
function wantsQuotes(issue: z.core.$ZodIssue, found: unknown): boolean {
  return issue.code === "invalid_type" && issue.expected === "string" && ["number", "boolean"].includes(typeof found);
}

/** Where a part of the text begins; 0 when it has no place of its own. */
export function offsetOf(node: unknown): number {
  return (node as { range?: [number, number, number] } | null)?.range?.[0] ?? 0;
}

function placeAt(text: PlanText, offset: number): SourcePlace {
  const { line, col } = text.lines.linePos(offset);
  return { file: text.file, line: Math.max(line, 1), column: Math.max(col, 1) };
}

/** The branch a person most likely meant: the one that fits the kind of value and has the fewest complaints. */
function bestBranch(branches: readonly z.core.$ZodIssue[][], value: unknown): z.core.$ZodIssue[] | null {
  const fitting = branches.filter(
    (issues) => !issues.some((issue) => issue.path.length === 0 && issue.code === "invalid_type"),
  );
  if (fitting.length === 0 || value === undefined) return null;
  return fitting.toSorted((a, b) => complaints(a) - complaints(b))[0]!;
}

/** Keys that no branch knows say which map was meant: each unknown one counts. */
function complaints(issues: z.core.$ZodIssue[]): number {
  return issues.reduce((sum, issue) => sum + (issue.code === "unrecognized_keys" ? issue.keys.length : 1), 0);
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (here, step) =>
      typeof here === "object" && here !== null ? (here as Record<PropertyKey, unknown>)[step] : undefined,
    value,
  );
}

function nameOf(path: Path): string {
  return path.length === 0 ? "the plan" : shorten(path.map(String).join("."), 80);
}

/** A value as a message quotes it, at most 60 characters. */
export function show(value: unknown): string {
  if (typeof value === "string") return `"${shorten(value, 58)}"`;
  return shorten(JSON.stringify(value) ?? "nothing", 60);
}

function shorten(text: string, characters: number): string {
  return text.length > characters ? `${text.slice(0, characters - 1)}…` : text;
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
  about: "about: { purpose: what this is for }",
  keep: "keep: 30d",
  jsonl: "jsonl: log/spx.jsonl",
  sources: 'sources: [ { pane: agents-spx, pattern: "^NARRATE (.*)" } ]',
  groups: "groups: { builders: [planner, dev] }",
  alerts: "alerts: { P0: [desktop, room: bridge] }",
  after: "after: [deacon]",
  sessions: "sessions: { clod_bridge: { run: top } }",
  rooms: "rooms: { spx: { about: What happens in SPX } }",
  rigs: "rigs: { gastown: { path: ~/src/gastown } }",
  users: "users: { steve: { role: operator } }",
};

function example(path: Path): string {
  const key = path.findLast((step) => typeof step === "string" && Object.hasOwn(EXAMPLES, step));
  return key === undefined
    ? "docs/floorplan.md shows every key with an example"
    : `for example ${EXAMPLES[String(key)]}`;
}
