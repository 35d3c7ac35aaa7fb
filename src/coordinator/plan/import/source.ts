import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit, type YAMLMap } from "yaml";
import { BosunError } from "../../../protocol/error.ts";
import { type Dropped, holdsPlaceholder } from "./draft.ts";

/** Files people write by hand are smaller by far. */
const MAX_FILE_BYTES = 262_144;
/** A few shared blocks are normal; thousands are a way to make a small file huge. */
const MAX_ALIASES = 100;

/** One `key: value` of a map, where it stands, and the way to it for messages. */
export interface Entry {
  key: string;
  path: string;
  value: Node | null;
  line: number;
}

/**
 * A foreign YAML or JSON file, read by its nodes so that everything has a line. What cannot be carried over is noted in
 * `dropped`.
 */
export class Source {
  readonly file: string;
  readonly root: Node | null;
  readonly dropped: Dropped[] = [];
  readonly #lines = new LineCounter();
  readonly #resolve: (node: Node | null) => Node | null;

  /** Throws PLAN_INVALID, with the place, when the text is no YAML; TOO_LARGE above 256 KB. */
  constructor(text: string, file: string) {
    this.file = file;
    if (Buffer.byteLength(text) > MAX_FILE_BYTES)
      throw new BosunError({ code: "TOO_LARGE", what: `${file} is larger than 256 KB`, fix: "import a smaller file" });
    const document = parseDocument(text, {
      lineCounter: this.#lines,
      uniqueKeys: false,
      strict: false,
      logLevel: "silent",
    });
    const broken = document.errors[0];
    if (broken) {
      const { line, col } = this.#lines.linePos(broken.pos[0]);
      throw new BosunError({
        code: "PLAN_INVALID",
        what: `${file} is not valid YAML`,
        why: broken.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, ""),
        fix: `mend line ${line} and import again`,
        at: { file, line, column: col },
      });
    }
    let aliases = 0;
    visit(document, { Alias: () => void aliases++ });
    if (aliases > MAX_ALIASES)
      throw new BosunError({
        code: "TOO_LARGE",
        what: `${file} has ${aliases} aliases`,
        why: `at most ${MAX_ALIASES} are read`,
      });
    this.#resolve = (node) => (isAlias(node) ? (node.resolve(document) ?? null) : node);
    this.root = this.#resolve(document.contents as Node | null);
  }

  lineOf(node: Node | null): number {
    return node?.range ? this.#lines.linePos(node.range[0]).line : 1;
  }

  drop(entry: { path: string; line: number }, why: string): void {
    this.dropped.push({ key: entry.path, line: entry.line, why });
  }

  /** The entries of a map, merged ones (`<<: *shared`) after its own and only where it has none of that name. */
  entries(node: Node | null, path: string): Entry[] {
    const own = this.#pairs(node, path);
    const merged = own
      .filter(({ key }) => key === "<<")
      .flatMap(({ value }) => this.items(value, path))
      .flatMap(({ value }) => this.#pairs(value, path));
    const all = [...own.filter(({ key }) => key !== "<<"), ...merged];
    return all.filter((entry, at) => all.findIndex(({ key }) => key === entry.key) === at || at < own.length);
  }

  #pairs(node: Node | null, path: string): Entry[] {
    if (!isMap(node)) return [];
    return (node as YAMLMap<Node | null, Node | null>).items.map((pair) => {
      const key = textOf(pair.key) ?? "";
      return {
        key,
        path: path ? `${path}.${key}` : key,
        value: this.#resolve(pair.value),
        line: this.lineOf(pair.key),
      };
    });
  }

  /** A list's items; a single value counts as a list of one, nothing as an empty list. */
  items(node: Node | null, path: string): Entry[] {
    if (node === null) return [];
    const nodes = isSeq(node) ? (node.items as (Node | null)[]) : [node];
    return nodes.map((item, at) => ({
      key: String(at + 1),
      path: isSeq(node) ? `${path}[${at + 1}]` : path,
      value: this.#resolve(item),
      line: this.lineOf(item ?? node),
    }));
  }

  /** A `{ NAME: value }` map as environment; what would change on the way is dropped. */
  environment(entry: Entry): Record<string, string> {
    const env = new Map<string, string>();
    if (!isMap(entry.value)) this.drop(entry, "it is not a map of names and values");
    for (const variable of this.entries(entry.value, entry.path)) {
      const text = textOf(variable.value) ?? "";
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable.key)) this.drop(variable, "this is not a name of a variable");
      else if (text.includes("$") || holdsPlaceholder(text))
        this.drop(variable, "its value refers to something else; write the value itself");
      else env.set(variable.key, text);
    }
    return Object.fromEntries(env);
  }
}

/** A scalar as it is written (`4e5`, `true` stay so); null for nothing, lists and maps. */
export function textOf(node: unknown): string | null {
  if (!isScalar(node) || node.value === null) return null;
  return node.source ?? String(node.value);
}

const LAYOUTS = /^(?:tiled|(?:even|main)-(?:horizontal|vertical)(?:-mirrored)?|[0-9a-f]{4},[0-9x,{}[\]]+)$/;

/** A layout tmux knows, or null after noting it. */
export function layoutOf(source: Source, entry: Entry): string | null {
  const text = textOf(entry.value);
  if (text !== null && LAYOUTS.test(text)) return text;
  if (text !== null) source.drop(entry, "tmux knows no such layout");
  return null;
}

/** A name for `tmux -L`, or null after noting it. */
export function socketOf(source: Source, entry: Entry): string | null {
  const text = textOf(entry.value);
  if (text !== null && /^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(text)) return text;
  source.drop(entry, "a socket's name is letters, digits, _ and -");
  return null;
}
