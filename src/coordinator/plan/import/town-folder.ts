import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parse as parseToml, TomlError } from "smol-toml";
import { BosunError } from "../../../protocol/error.ts";
import { sanitise } from "../../../protocol/text.ts";
import type { Dropped } from "./draft.ts";

/** Settings of a town are a page each; a registry of a thousand rigs is a quarter of this. */
const MAX_FILE_BYTES = 1_048_576;

export type Table = Record<string, unknown>;

/** One JSON or TOML file of the town, read whole. */
export interface TownFile {
  /** From the root: `mayor/rigs.json`. */
  file: string;
  value: Table;
  /** The line of an entry, by the way to it; of the nearest thing above it that is found as text, at least 1. */
  lineOf: (path: readonly string[]) => number;
}

/** The files and folders of a Gas Town root, and what of them the floor plan does not have. Nothing is ever written. */
export class TownFolder {
  readonly root: string;
  readonly dropped: Dropped[] = [];
  readonly #told = new Set<string>();

  constructor(root: string) {
    this.root = root;
  }

  isFolder(path: string): boolean {
    return statSync(join(this.root, path), { throwIfNoEntry: false })?.isDirectory() ?? false;
  }

  isThere(path: string): boolean {
    return statSync(join(this.root, path), { throwIfNoEntry: false }) !== undefined;
  }

  /** Names of the folders in `path` that are not hidden, sorted; none when it is not there. */
  foldersIn(path: string): string[] {
    let names: string[];
    try {
      names = readdirSync(join(this.root, path));
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "ENOENT" || code === "ENOTDIR") return [];
      throw unreadable(join(this.root, path), error);
    }
    return names.filter((name) => !name.startsWith(".") && this.isFolder(join(path, name))).sort();
  }

  /** Null when there is none. Throws PLAN_INVALID, with the place, for what is no JSON object; TOO_LARGE above 1 MB. */
  json(file: string): TownFile | null {
    const text = this.#read(file);
    if (text === null) return null;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      const { message } = error as Error;
      throw this.#broken(file, "JSON", message.replace(/ in JSON at position .*| \(line \d+.*\)/, ""), text, message);
    }
    return this.#parsed(file, "JSON", text, value, (key) => `${quoteForPattern(JSON.stringify(key))}\\s*:`);
  }

  /** As `json`, for TOML. */
  toml(file: string): TownFile | null {
    const text = this.#read(file);
    if (text === null) return null;
    let value: unknown;
    try {
      value = parseToml(text);
    } catch (error) {
      if (!(error instanceof TomlError)) throw error;
      const why = error.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
      throw this.#broken(file, "TOML", why, text, error.message, { line: error.line, column: error.column });
    }
    return this.#parsed(
      file,
      "TOML",
      text,
      value,
      (key) => `(?<=^|\\n|[.\\[])[ \\t]*["']?${quoteForPattern(key)}["']?\\s*[\\].=]`,
    );
  }

  /** Told once, however many sessions come upon it. */
  note(file: string, line: number | null, key: string, why: string): void {
    const dropped = { file: sanitise(file), key: sanitise(key), line, why: sanitise(why) };
    const told = JSON.stringify(dropped);
    if (!this.#told.has(told)) this.dropped.push(dropped);
    this.#told.add(told);
  }

  /** A text of the file, or undefined; anything else than a text is noted. */
  textIn(from: TownFile, path: readonly string[]): string | undefined {
    const value = at(from.value, path);
    if (value === undefined || value === null || typeof value === "string") return value || undefined;
    this.note(from.file, from.lineOf(path), path.join("."), "it is not a text");
    return undefined;
  }

  #read(file: string): string | null {
    const path = join(this.root, file);
    try {
      const found = statSync(path, { throwIfNoEntry: false });
      if (!found) return null;
      if (found.isFile() && found.size <= MAX_FILE_BYTES) return readFileSync(path, "utf8").replace(/^\uFEFF/, "");
      throw new BosunError({
        code: found.isFile() ? "TOO_LARGE" : "PLAN_INVALID",
        what: `${path} cannot be read`,
        why: found.isFile()
          ? `it has ${found.size} bytes, and settings of at most ${MAX_FILE_BYTES} are read`
          : found.isDirectory()
            ? "it is a folder"
            : "it is no ordinary file",
        fix: "put the file right and import again",
      });
    } catch (error) {
      // A file where a folder is expected: then there is nothing under it.
      if ((error as { code?: string }).code === "ENOTDIR") return null;
      throw error instanceof BosunError ? error : unreadable(path, error);
    }
  }

  #broken(
    file: string,
    format: string,
    why: string,
    text: string,
    message: string,
    given?: { line: number; column: number },
  ): BosunError {
    const found = /\(line (\d+) column (\d+)\)/.exec(message);
    const lines = text.split("\n");
    const { line, column } =
      given ??
      (found
        ? { line: Number(found[1]), column: Number(found[2]) }
        : { line: lines.length, column: lines.at(-1)!.length + 1 });
    return new BosunError({
      code: "PLAN_INVALID",
      what: `${join(this.root, file)} is not valid ${format}`,
      why: sanitise(why),
      fix: `mend line ${line} and import again`,
      at: { file: join(this.root, file), line, column },
    });
  }

  #parsed(file: string, format: string, text: string, value: unknown, patternOf: (key: string) => string): TownFile {
    if (!isTable(value))
      throw new BosunError({
        code: "PLAN_INVALID",
        what: `${join(this.root, file)} is not a Gas Town file`,
        why: `it holds ${Array.isArray(value) ? "a list" : "a single value"} where a ${format} object is expected`,
        fix: "put the file right and import again",
        at: { file: join(this.root, file), line: 1, column: 1 },
      });
    const lineOf = (path: readonly string[]): number => {
      let offset = 0;
      for (const key of path) {
        const pattern = new RegExp(patternOf(key), "g");
        pattern.lastIndex = offset;
        offset = pattern.exec(text)?.index ?? offset;
      }
      return text.slice(0, offset + (/^\s*/.exec(text.slice(offset))?.[0].length ?? 0)).split("\n").length;
    };
    return { file, value, lineOf };
  }
}

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** What stands at `path`; only what the file itself has. */
export function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (here, key) => (isTable(here) && Object.hasOwn(here, key) ? here[key] : undefined),
    value,
  );
}

/** The entries of the map at `path`; none when there is no map. */
export function entriesAt(value: unknown, path: readonly string[]): [string, unknown][] {
  const found = at(value, path);
  return isTable(found) ? Object.entries(found) : [];
}

function quoteForPattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function unreadable(path: string, error: unknown): BosunError {
  return new BosunError({
    code: "FAILED",
    what: `${path} cannot be read`,
    why: error instanceof Error ? error.message : String(error),
    fix: "import as the user the town belongs to",
  });
}
