/** Where a member of an object stands in the text; `end` is behind its value. */
interface Member {
  key: string;
  start: number;
  valueStart: number;
  end: number;
}

/**
 * `text` (JSON, comments and trailing commas allowed) with `section.name` set to `value`; everything else keeps its bytes.
 * Null when the text is not an object, or the section is none: nothing is touched that is not understood.
 */
export function withEntry(text: string, section: string, name: string, value: unknown): string | null {
  if (text.trim() === "") return `${JSON.stringify({ [section]: { [name]: value } }, null, 2)}\n`;
  const root = membersOf(text, skip(text, 0));
  if (!root) return null;
  const holder = root.members.find((member) => member.key === section);
  const unit = indentOf(text);
  if (!holder) return inserted(text, root, section, indented({ [name]: value }, unit, 1), unit, 1);
  const inner = membersOf(text, holder.valueStart);
  if (!inner) return null;
  const ours = inner.members.find((member) => member.key === name);
  if (!ours) return inserted(text, inner, name, indented(value, unit, 2), unit, 2);
  const there = text.slice(ours.valueStart, ours.end);
  return same(there, value) ? text : text.slice(0, ours.valueStart) + indented(value, unit, 2) + text.slice(ours.end);
}

/** `text` without `section.name`; itself when there is none; null when it is not understood. */
export function withoutEntry(text: string, section: string, name: string): string | null {
  const root = membersOf(text, skip(text, 0));
  if (!root) return null;
  const holder = root.members.find((member) => member.key === section);
  const inner = holder && membersOf(text, holder.valueStart);
  const at = inner ? inner.members.findIndex((member) => member.key === name) : -1;
  if (!inner || at === -1) return text;
  const { members } = inner;
  const following = members[at + 1];
  if (following) return text.slice(0, members[at]!.start) + text.slice(following.start);
  const from = at === 0 ? inner.open + 1 : members[at - 1]!.end;
  return text.slice(0, from) + text.slice(members[at]!.end).replace(/^\s*,/, "");
}

function same(text: string, value: unknown): boolean {
  try {
    return JSON.stringify(JSON.parse(text)) === JSON.stringify(value);
  } catch {
    // With comments: a person's hand was in it, and ours is written anew.
    return false;
  }
}

function indentOf(text: string): string {
  return /\n([ \t]+)\S/.exec(text)?.[1] ?? "  ";
}

function indented(value: unknown, unit: string, depth: number): string {
  return JSON.stringify(value, null, unit).replaceAll("\n", `\n${unit.repeat(depth)}`);
}

function inserted(text: string, object: Opened, key: string, value: string, unit: string, depth: number): string {
  const member = `\n${unit.repeat(depth)}${JSON.stringify(key)}: ${value}`;
  const rest = text.slice(object.open + 1);
  if (object.members.length > 0) return `${text.slice(0, object.open + 1)}${member},${rest}`;
  // What stands in an empty object (a comment) stays; the brace gets a line of its own.
  const inside = text.slice(object.open + 1, object.close).trimEnd();
  return `${text.slice(0, object.open + 1)}${inside}${member}\n${unit.repeat(depth - 1)}${text.slice(object.close)}`;
}

interface Opened {
  open: number;
  close: number;
  members: Member[];
}

/** The members of the object that opens at `open`; null when what stands there is no whole object. */
function membersOf(text: string, open: number): Opened | null {
  if (text[open] !== "{") return null;
  const members: Member[] = [];
  let at = skip(text, open + 1);
  while (at < text.length && text[at] !== "}") {
    if (text[at] !== '"') return null;
    const start = at;
    at = stringEnd(text, at);
    let key: unknown;
    try {
      key = JSON.parse(text.slice(start, at));
    } catch {
      // A key that is no JSON text: not a file we understand.
      return null;
    }
    at = skip(text, at);
    if (text[at] !== ":") return null;
    const valueStart = skip(text, at + 1);
    const end = valueEnd(text, valueStart);
    if (end === null || end === valueStart) return null;
    members.push({ key: key as string, start, valueStart, end });
    at = skip(text, end);
    if (text[at] === ",") at = skip(text, at + 1);
    else if (text[at] !== "}") return null;
  }
  return at < text.length ? { open, close: at, members } : null;
}

/** Behind the value that begins at `at`; null when its brackets do not close. */
function valueEnd(text: string, at: number): number | null {
  let depth = 0;
  let here = at;
  while (here < text.length) {
    const character = text[here]!;
    if (depth === 0 && here > at && /[\s,}\]/]/.test(character)) return here;
    if (character === '"') here = stringEnd(text, here);
    else if (character === "/" && /[/*]/.test(text[here + 1] ?? "")) here = skip(text, here);
    else {
      if (character === "{" || character === "[") depth += 1;
      if (character === "}" || character === "]") depth -= 1;
      here += 1;
    }
    if (depth === 0 && /["}\]]/.test(text[here - 1]!) && /["{[]/.test(text[at]!)) return here;
  }
  return null;
}

/** Behind the text that opens at `at`. */
function stringEnd(text: string, at: number): number {
  let here = at + 1;
  while (here < text.length && text[here] !== '"') here += text[here] === "\\" ? 2 : 1;
  return Math.min(here + 1, text.length);
}

/** The next place that is neither blank nor comment. */
function skip(text: string, at: number): number {
  const blank = /(?:[\s\ufeff]|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*/y;
  blank.lastIndex = at;
  blank.exec(text);
  return blank.lastIndex;
}
