import { closeSync, openSync, readSync, statSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import { LEVELS, type Level } from "../../protocol/room.ts";
import { sanitise } from "../../protocol/text.ts";

/** A line no program ends is cut here; a terminal's widest line is far below. */
const LONGEST_LINE = 16_384;

/** Raw bytes of a pane to lines of text: escapes gone, what a carriage return overwrote gone, halves kept for later. */
export class PaneLines {
  readonly #decoder = new StringDecoder("utf8");
  #held = "";

  push(bytes: Buffer): string[] {
    this.#held += this.#decoder.write(bytes);
    const parts = this.#held.split("\n");
    this.#held = parts.pop()!.slice(-LONGEST_LINE);
    return parts.map((part) => sanitise(part.replace(/\r+$/, "").split("\r").at(-1)!)).filter((line) => line !== "");
  }
}

/** Group 1 of the pattern, or the whole match; null when the line does not match. */
export function pick(pattern: RegExp, line: string): string | null {
  const match = pattern.exec(line);
  return match ? (match[1] ?? match[0]) : null;
}

/** One line of a JSONL file as a post, or null when it is no object with a text. */
export function fromJsonl(line: string): {
  msg: string;
  from: string | null;
  type: string | null;
  level: Level | null;
  tags: string[];
  data: unknown;
} | null {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(line) as Record<string, unknown>;
  } catch {
    // Not JSON: another program's log line between ours. It is not a line of the room.
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const msg = value.msg ?? value.content;
  if (typeof msg !== "string" || msg === "") return null;
  const { from, type, level, tags, data } = value;
  return {
    msg,
    from: typeof from === "string" ? from : null,
    type: typeof type === "string" ? type : null,
    level: LEVELS.includes(level as Level) ? (level as Level) : null,
    tags: Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === "string") : [],
    data,
  };
}

/** How often a followed file is looked at. */
const LOOK_EVERY_MS = 250;
const READ_BYTES = 262_144;

export interface FollowedLine {
  text: string;
  /** Unique for this line of this file: the same line read again has the same key. */
  key: string;
}

/**
 * Follows a file as `tail -F` does: through rotation (another inode under the name) and truncation. `take` gets whole lines
 * and where reading has come to; after a restart it goes on from what was kept. A file that is not there yet is waited for.
 */
export function followFile(
  path: string,
  start: { inode: number; offset: number } | undefined,
  take: (lines: FollowedLine[], at: { inode: number; offset: number }) => void,
): () => void {
  let inode = start?.inode ?? 0;
  let offset = start?.offset ?? 0;
  const look = (): void => {
    const there = statSync(path, { throwIfNoEntry: false });
    if (!there) return;
    if (there.ino !== inode || there.size < offset) {
      inode = there.ino;
      offset = 0;
    }
    while (offset < there.size) {
      const bytes = readFrom(path, offset, Math.min(READ_BYTES, there.size - offset));
      const end = bytes.lastIndexOf(10);
      if (end < 0) return;
      const lines: FollowedLine[] = [];
      let at = 0;
      for (let next = bytes.indexOf(10, at); next >= 0 && next <= end; next = bytes.indexOf(10, at)) {
        lines.push({ text: bytes.subarray(at, next).toString("utf8"), key: `${inode}:${offset + at}` });
        at = next + 1;
      }
      offset += end + 1;
      take(lines, { inode, offset });
    }
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  timer.unref();
  look();
  return () => clearInterval(timer);
}

function readFrom(path: string, offset: number, length: number): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
  } finally {
    closeSync(file);
  }
}
