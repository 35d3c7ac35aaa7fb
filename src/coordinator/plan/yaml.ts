import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, type YAMLMap } from "yaml";
import { BosunError } from "../../protocol/error.ts";
import { RESERVED_NAMES } from "../../protocol/labels.ts";
import { nearest } from "../../protocol/nearest.ts";
import { Mistakes, offsetOf, type PlanText, show } from "./mistakes.ts";

/** A floor plan is a page or two; a hundred sessions by hand are some 40 KiB. */
const MAX_TEXT_BYTES = 262_144;
const MAX_DEPTH = 32;
/** Deeper brackets are not even parsed; the parser calls itself for each. Text in quotes may hold some, so not MAX_DEPTH. */
const MAX_OPEN_BRACKETS = 200;
/** Commas, colons and line ends: plans have one in 9 to 17 characters. Reading takes some 8 µs for each, and has 200 ms. */
const MAX_SEPARATORS = 25_000;
const MAX_ALIASES = 1_000;
/**
 * Parts of the plan, those behind aliases counted each time they are used: "billion laughs" has nine to the ninth of them,
 * in aliases or, which the library does not count at all, in merge keys.
 */
const MAX_PARTS = 100_000;
/** Their entries are named by the writer, so a key that begins with `x-` would be one that vanishes. */
const NAMED_BY_WRITER = new Set(["sessions", "rooms", "rigs", "users", "services", "jobs", "groups", "hosts"]);

/**
 * YAML 1.2 text to plain data. Throws PLAN_INVALID. What could blow up in memory or time is refused first: size, nesting,
 * aliases (also cyclic ones), repeated keys. Repeated keys are looked for here because the library's own check takes
 * quadratic time: 100,000 keys blocked it for two minutes.
 */
export function parseYaml(text: string, file: string): { value: unknown; source: PlanText } {
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
  const source = { file, document, lines };
  const mistakes = new Mistakes([source]);
  const [first] = document.errors;
  if (first) {
    mistakes.addAt(first.pos[0], notYaml(text, first.pos[0], first.code, first.message.split("\n")[0] ?? ""));
    mistakes.throwIfAny();
  }
  const [warning] = document.warnings;
  if (warning)
    mistakes.addAt(warning.pos[0], {
      what: `not understood: ${show(warning.message.split("\n")[0])}`,
      why: "tags are not used in floor plans",
      fix: "take the tag out, or put the value in quotes",
    });
  new Weighing(mistakes).weigh(document.contents);
  mistakes.throwIfAny();
  // Limits of our own were checked above, and count what the library's leaves out.
  return { value: withoutOwnKeys(document.toJS({ maxAliasCount: -1 })), source };
}

function refuseEarly(text: string, file: string): void {
  const refuse = (what: string, why: string, fix: string, offset = 0): never => {
    const before = text.slice(0, offset).split("\n");
    const at = { file, line: before.length, column: before.at(-1)!.length + 1 };
    throw new BosunError({ code: "PLAN_INVALID", what, why, fix, at });
  };
  const split = "split it with include:, or write repeated sessions with each:";
  // Characters first: a text of gigabytes is not even measured in bytes.
  const bytes = text.length > MAX_TEXT_BYTES ? text.length : Buffer.byteLength(text);
  if (bytes > MAX_TEXT_BYTES)
    refuse(
      `the plan has ${Math.ceil(bytes / 1024)} KiB`,
      `a floor plan may have ${MAX_TEXT_BYTES / 1024} KiB of text`,
      split,
    );
  const zero = text.indexOf("\0");
  if (zero >= 0) refuse("the plan holds a NUL byte", "it is text", "was it saved as UTF-16? save it as UTF-8", zero);
  let open = 0;
  let separators = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "," || character === ":" || character === "\n") separators++;
    if (character === "[" || character === "{") open++;
    else if (character === "]" || character === "}") open--;
    if (open > MAX_OPEN_BRACKETS)
      refuse(
        `more than ${MAX_OPEN_BRACKETS} brackets are open here`,
        "no part of a plan is nested so deep",
        "close them",
        at,
      );
  }
  if (separators > MAX_SEPARATORS) refuse(`the plan has more than ${MAX_SEPARATORS} parts`, "no floor plan has", split);
  const listsInLists = /^(?: *[-?] +){33}/m.exec(text);
  if (listsInLists)
    refuse(
      `lists are nested more than ${MAX_DEPTH} deep`,
      "no part of a plan is",
      "one - per line",
      listsInLists.index,
    );
}

function notYaml(text: string, offset: number, code: string, message: string) {
  if (code === "MULTIPLE_DOCS")
    return {
      what: "a second document begins here (---)",
      why: "a file declares one town",
      fix: "put each town into a folder and a floorplan.yaml of its own",
    };
  return {
    what: `this is not YAML: ${message.charAt(0).toLowerCase()}${show(message.slice(1)).slice(1, -1)}`,
    why: hint(text, offset),
    fix: "mend this place first; the rest of the file was not checked",
  };
}

/** What usually is behind it. */
function hint(text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const end = text.indexOf("\n", offset);
  const line = text.slice(start, end < 0 ? undefined : end).slice(0, 500);
  if (/^ *\t/.test(line)) return "YAML is indented with spaces, and here is a tab";
  const value = /(?::|^\s*-)\s+([[{*&%@`!|>])/.exec(line)?.[1];
  if (value) return `a value that begins with ${value} must stand in quotes`;
  if (/:\s+[^"'[{#]*:\s/.test(line)) return "a value with a colon and a space must stand in quotes";
  return "a bracket, a quote or the indentation is not closed";
}

interface Weight {
  parts: number;
  height: number;
}

/** Walks the whole tree once: how much it becomes when aliases are followed, and what no plan may hold. */
class Weighing {
  readonly #mistakes: Mistakes;
  /** By anchor; the last one of a name counts, as YAML has it. */
  readonly #anchors = new Map<string, { weight: Weight; node: Node }>();
  readonly #open = new Set<string>();
  #parts = 0;
  #aliases = 0;

  constructor(mistakes: Mistakes) {
    this.#mistakes = mistakes;
  }

  weigh(root: unknown): void {
    this.#weigh(root, 0, null);
  }

  /** Throws what was found so far: after this, going on could take forever. */
  #giveUp(node: unknown, what: string, why: string, fix: string): never {
    this.#mistakes.addAt(offsetOf(node), { what, why, fix });
    this.#mistakes.throwIfAny();
    throw new Error(what);
  }

  #weigh(node: unknown, depth: number, key: string | null): Weight {
    if (isAlias(node)) return this.#alias(node, depth);
    const anchor = (node as { anchor?: string } | null)?.anchor;
    if (anchor) this.#open.add(anchor);
    const weight = { parts: 1, height: 0 };
    if (depth > MAX_DEPTH) this.#tooDeep(node);
    this.#count(node, 1);
    const add = (inner: Weight): void => {
      weight.parts += inner.parts;
      weight.height = Math.max(weight.height, inner.height + 1);
    };
    if (isMap(node)) {
      this.#checkKeys(node, key);
      for (const pair of node.items) {
        const name = keyOf(pair);
        if (name === "<<") this.#checkMerge(pair);
        add(this.#weigh(pair.value, depth + 1, name));
      }
    } else if (isSeq(node)) for (const item of node.items) add(this.#weigh(item, depth + 1, null));
    if (anchor) {
      this.#open.delete(anchor);
      this.#anchors.set(anchor, { weight, node: node as Node });
    }
    return weight;
  }

  #alias(node: Node & { source: string }, depth: number): Weight {
    if (this.#open.has(node.source))
      this.#giveUp(
        node,
        `*${node.source} stands inside what it names`,
        "it would never end",
        "write the inner part out",
      );
    if (++this.#aliases > MAX_ALIASES)
      this.#giveUp(node, `more than ${MAX_ALIASES} aliases`, "no plan needs them", "write copies with each:");
    const named = this.#anchors.get(node.source);
    if (!named) {
      const near = nearest(node.source, [...this.#anchors.keys()].slice(0, 1_000));
      this.#giveUp(
        node,
        `*${show(node.source).slice(1, -1)} names nothing`,
        "an alias (*name) repeats what &name marked further up",
        near ? `did you mean *${near}` : "quote the value if it is plain text",
      );
    }
    const { weight } = named;
    if (depth + weight.height > MAX_DEPTH) this.#tooDeep(node);
    this.#count(node, weight.parts);
    return weight;
  }

  #tooDeep(node: unknown): never {
    return this.#giveUp(
      node,
      `the plan is nested more than ${MAX_DEPTH} deep`,
      "no part of a plan is",
      "is the indentation right?",
    );
  }

  #count(node: unknown, parts: number): void {
    this.#parts += parts;
    if (this.#parts > MAX_PARTS)
      this.#giveUp(
        node,
        `the plan becomes more than ${MAX_PARTS} parts`,
        "repeated parts count each time they are used",
        "write repeated sessions with each:",
      );
  }

  #checkMerge(pair: Pair): void {
    const fits = (value: unknown): boolean => isMap(isAlias(value) ? this.#anchors.get(value.source)?.node : value);
    // An alias to nothing is told where it stands.
    const unknown = isAlias(pair.value) && !this.#anchors.has(pair.value.source);
    if (unknown || fits(pair.value) || (isSeq(pair.value) && pair.value.items.every(fits))) return;
    this.#giveUp(pair.value ?? pair.key, "<< merges something that is not a map", "it takes keys over", "<<: *name");
  }

  #checkKeys(map: YAMLMap, parent: string | null): void {
    const seen = new Set<string>();
    for (const pair of map.items) {
      const { key } = pair;
      if (!isScalar(key)) {
        this.#mistakes.addAt(offsetOf(key) || offsetOf(map), {
          what: "a key must be plain text",
          why: "values that begin with { or [ stand in quotes",
          fix: 'write "{…}" with quotes, or <x> for a placeholder',
        });
        continue;
      }
      const name = String(key.value);
      const wrong = whyBadKey(name, parent, seen.has(name));
      if (wrong) this.#mistakes.addAt(offsetOf(key), wrong);
      seen.add(name);
    }
  }
}

function whyBadKey(name: string, parent: string | null, repeated: boolean) {
  if (repeated && name !== "<<")
    return {
      what: `${show(name)} stands here twice`,
      why: "the second would silently win",
      fix: "take one out, or give it another name",
    };
  if (RESERVED_NAMES.has(name))
    return { what: `"${name}" cannot be a key`, why: "it is reserved", fix: "choose another name" };
  if (name.startsWith("x-") && parent !== null && NAMED_BY_WRITER.has(parent))
    return {
      what: `${show(name)} under ${parent}: would be left out`,
      why: "keys that begin with x- are yours and are not read",
      fix: "give it another name; parts to repeat stand at the left edge: x-base: &base { … }",
    };
  return null;
}

function keyOf(pair: Pair): string | null {
  return isScalar(pair.key) ? String(pair.key.value) : null;
}

/** Keys beginning with `x-` belong to the reader of the file; anchors usually hang there. */
function withoutOwnKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutOwnKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !key.startsWith("x-"))
      .map(([key, inner]) => [key, withoutOwnKeys(inner)]),
  );
}
