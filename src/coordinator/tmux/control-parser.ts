/**
 * What a control client says, line by line: answers between `%begin` and `%end`/`%error`, notifications between answers.
 *
 *   outside → `%begin T N F` → inside (T, N, F remembered)
 *   inside  → `%end T N F` or `%error T N F` with the same T, N, F → outside, the answer is complete
 *   inside  → any other line, also one that merely looks like an end → belongs to the answer
 *   outside → `%word …` → a notification
 */
export type ControlEvent =
  | { kind: "answer"; ok: boolean; ours: boolean; lines: string[] }
  | { kind: "output"; pane: string; bytes: Buffer }
  | { kind: "notice"; name: string; rest: string };

/** Half a line is kept up to here; tmux's own lines are far shorter. Beyond it something is wrong with the stream. */
const MAX_LINE_BYTES = 16 * 1_048_576;

const OUTPUT = Buffer.from("%output ");

export class ControlParser {
  readonly #emit: (event: ControlEvent) => void;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #guard: string | null = null;
  #ours = false;
  #lines: string[] = [];

  constructor(emit: (event: ControlEvent) => void) {
    this.#emit = emit;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const part = chunk.subarray(start, end);
      start = end + 1;
      if (this.#held.length === 0) this.#line(part);
      else {
        this.#held.push(part);
        const line = Buffer.concat(this.#held);
        this.#held = [];
        this.#heldBytes = 0;
        this.#line(line);
      }
    }
    if (start === chunk.length) return;
    const rest = chunk.subarray(start);
    this.#heldBytes += rest.length;
    if (this.#heldBytes > MAX_LINE_BYTES) throw new Error("a control line without an end");
    this.#held.push(Buffer.from(rest));
  }

  #line(line: Buffer): void {
    if (this.#guard === null && line.subarray(0, OUTPUT.length).equals(OUTPUT)) {
      const space = line.indexOf(32, OUTPUT.length);
      this.#emit({
        kind: "output",
        pane: line.subarray(OUTPUT.length, space).toString("latin1"),
        bytes: unescapeOutput(line.subarray(space + 1)),
      });
      return;
    }
    const text = line.toString("utf8");
    if (this.#guard !== null) {
      if (text === `%end ${this.#guard}` || text === `%error ${this.#guard}`) {
        this.#emit({ kind: "answer", ok: text.startsWith("%end"), ours: this.#ours, lines: this.#lines });
        this.#guard = null;
        this.#lines = [];
      } else this.#lines.push(text);
      return;
    }
    // The very first line is wrapped in a DCS for terminals that start tmux -CC; with -C it is not, but be safe.
    const begin = /^(?:\x1bP1000p)?%begin (\d+ \d+ (\d+))$/.exec(text);
    if (begin) {
      this.#guard = begin[1]!;
      this.#ours = begin[2] === "1";
      return;
    }
    const notice = /^%([a-z-]+) ?(.*)$/.exec(text);
    if (notice) this.#emit({ kind: "notice", name: notice[1]!, rest: notice[2]! });
  }
}

/** `%output` writes bytes below 0x20 and the backslash as three octal digits. */
function unescapeOutput(escaped: Buffer): Buffer {
  if (!escaped.includes(92)) return escaped;
  const bytes = Buffer.allocUnsafe(escaped.length);
  let length = 0;
  for (let at = 0; at < escaped.length; at++) {
    if (escaped[at] === 92) {
      bytes[length++] = ((escaped[at + 1]! - 48) << 6) | ((escaped[at + 2]! - 48) << 3) | (escaped[at + 3]! - 48);
      at += 3;
    } else bytes[length++] = escaped[at]!;
  }
  return bytes.subarray(0, length);
}
