import { dirname, isAbsolute, join } from "node:path";
import { holdsPlaceholder } from "./draft.ts";
import { type Entry, type Source, textOf } from "./source.ts";

/**
 * A folder of the imported file as the floor plan spells it, or null after noting why not. Relative ones start at `base`;
 * those that begin with a dot, at the file's own folder.
 */
export function folderOf(source: Source, entry: Entry, base: string | undefined): string | null {
  const text = textOf(entry.value);
  if (text === null || text === "") return null;
  if (text.includes("$") || text.includes("__erb__") || holdsPlaceholder(text)) {
    source.drop(entry, "the folder depends on a variable; write the folder itself as `cwd`");
    return null;
  }
  if (isAbsolute(text) || text === "~" || text.startsWith("~/")) return text;
  if (text.startsWith(".") || base === undefined) return join(dirname(source.file), text);
  return join(base, text);
}
