import { findNodeAtLocation, getNodeValue, type Node, parseTree } from "jsonc-parser";

/**
 * `text` (JSON, comments and trailing commas allowed) with `path` set to `value`; everything else keeps its bytes. Null when the
 * text is no whole object, or something on the way is none: nothing is touched that is not understood.
 */
export function withEntry(text: string, path: readonly string[], value: unknown): string | null {
  if (text.trim() === "") return `${JSON.stringify(nested(path, value), null, 2)}\n`;
  const root = understood(text);
  if (!root) return null;
  const there = findNodeAtLocation(root, [...path]);
  if (there) return same(there, value) ? text : replaced(text, there, indented(value, indentOf(text), path.length));
  const depth = path.findIndex((_, index) => !findNodeAtLocation(root, path.slice(0, index + 1)));
  const holder = findNodeAtLocation(root, path.slice(0, depth));
  if (holder?.type !== "object") return null;
  const unit = indentOf(text);
  const made = indented(nested(path.slice(depth + 1), value), unit, depth + 1);
  return inserted(text, holder, `${JSON.stringify(path[depth])}: ${made}`, unit, depth + 1);
}

/** `text` without `path`; itself when there is none; null when it is not understood. */
export function withoutEntry(text: string, path: readonly string[]): string | null {
  const root = understood(text);
  if (!root) return null;
  const member = findNodeAtLocation(root, [...path])?.parent;
  return member ? removed(text, member.parent!, member) : text;
}

/** `text` with `item` in the list at `path`, once: what `isOurs` says is ours is replaced. */
export function withItem(
  text: string,
  path: readonly string[],
  item: unknown,
  isOurs: (item: unknown) => boolean,
): string | null {
  const list = listAt(text, path);
  if (list === undefined) return withEntry(text, path, [item]);
  if (list === null) return null;
  const unit = indentOf(text);
  const made = indented(item, unit, path.length + 1);
  const own = list.children!.find((each) => isOurs(getNodeValue(each)));
  if (own) return same(own, item) ? text : replaced(text, own, made);
  return inserted(text, list, made, unit, path.length + 1);
}

/** `text` without our item in that list; what held nothing else goes too. */
export function withoutItem(text: string, path: readonly string[], isOurs: (item: unknown) => boolean): string | null {
  const list = listAt(text, path);
  if (!list) return list === null ? null : text;
  const own = list.children!.find((each) => isOurs(getNodeValue(each)));
  if (!own) return text;
  return list.children!.length === 1 ? withoutEntry(text, path) : removed(text, list, own);
}

/** Undefined where there is nothing; null where something else stands, or the text is not understood. */
function listAt(text: string, path: readonly string[]): Node | null | undefined {
  if (text.trim() === "") return undefined;
  const root = understood(text);
  if (!root) return null;
  const found = findNodeAtLocation(root, [...path]);
  return found === undefined || found.type === "array" ? found : null;
}

function understood(text: string): Node | null {
  const faults: unknown[] = [];
  const root = parseTree(text, faults as never[], { allowTrailingComma: true });
  return root?.type === "object" && faults.length === 0 ? root : null;
}

function same(node: Node, value: unknown): boolean {
  return JSON.stringify(getNodeValue(node)) === JSON.stringify(value);
}

function nested(path: readonly string[], value: unknown): unknown {
  return path.reduceRight((inner, key) => ({ [key]: inner }), value);
}

function indentOf(text: string): string {
  return /\n([ \t]+)\S/.exec(text)?.[1] ?? "  ";
}

function indented(value: unknown, unit: string, depth: number): string {
  return JSON.stringify(value, null, unit).replaceAll("\n", `\n${unit.repeat(depth)}`);
}

function replaced(text: string, node: Node, made: string): string {
  return text.slice(0, node.offset) + made + text.slice(node.offset + node.length);
}

/** As the first of an object or a list, on lines of its own. */
function inserted(text: string, holder: Node, made: string, unit: string, depth: number): string {
  const line = `\n${unit.repeat(depth)}${made}`;
  const close = holder.offset + holder.length - 1;
  const head = text.slice(0, holder.offset + 1);
  if (holder.children!.length > 0) return `${head}${line},${text.slice(holder.offset + 1)}`;
  // What stands in an empty object (a comment) stays; the bracket gets a line of its own.
  const inside = text.slice(holder.offset + 1, close).trimEnd();
  return `${head}${inside}${line}\n${unit.repeat(depth - 1)}${text.slice(close)}`;
}

function removed(text: string, holder: Node, node: Node): string {
  const all = holder.children!;
  const at = all.indexOf(node);
  const following = all[at + 1];
  if (following) return text.slice(0, node.offset) + text.slice(following.offset);
  const before = all[at - 1];
  const from = before ? before.offset + before.length : holder.offset + 1;
  return text.slice(0, from) + text.slice(node.offset + node.length).replace(/^\s*,/, "");
}
