import { type FileHandle, mkdir, open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { ErrorBody } from "../../protocol/error.ts";
import type { Head, RoomStore } from "./store.ts";

/** Lines of one write. */
const BATCH = { maxLines: 512, maxBytes: 1_048_576 };
/** How far back from its end a file is searched for its last line of ours. */
const TAIL_BYTES = 1_048_576;
/** First and longest wait before a failed write is tried again. */
const RETRY_MS = { first: 500, longest: 30_000 };
/**
 * Shortest time between two rotations; a file grows beyond its bound rather than rotate faster. `tail -F` looks for a new file
 * every few seconds where it has no inotify (network file systems), and a file that came and went in between is lost to it.
 */
const MIRROR_ROTATION_PAUSE_MS = 10_000;

export interface MirrorSettings {
  store: RoomStore;
  head: Head;
  jsonl: { path: string; rotateBytes: number; rotateKeep: number };
  private: boolean;
  report: (trouble: ErrorBody) => void;
  rotationPauseMs?: number | undefined;
}

/**
 * The room as a file: one JSON line for each line of the feed, for `tail -F | jq`. It holds nothing in memory but the last
 * written seq and reads the store from there, so a slow or full disk costs no memory and never delays a post. After a crash
 * the file itself tells where to go on.
 */
export class Mirror {
  readonly path: string;
  bounds: { rotateBytes: number; rotateKeep: number };
  readonly #settings: MirrorSettings;
  readonly #rotationPauseMs: number;
  /** Null = not known: the file has to be looked at first. */
  #writtenSeq: number | null = null;
  #working: Promise<void> | null = null;
  #retry: NodeJS.Timeout | null = null;
  #retryMs = 0;
  #rotatedAtMs = Number.NEGATIVE_INFINITY;
  #closing = false;

  constructor(settings: MirrorSettings) {
    this.path = settings.jsonl.path;
    this.bounds = settings.jsonl;
    this.#settings = settings;
    this.#rotationPauseMs = settings.rotationPauseMs ?? MIRROR_ROTATION_PAUSE_MS;
  }

  /** There may be something to write. */
  nudge(): void {
    if (this.#working || this.#retry || this.#closing) return;
    this.#working = this.#work().finally(() => {
      this.#working = null;
      if (this.#writtenSeq !== null && this.#writtenSeq < this.#settings.head.seq) this.nudge();
    });
  }

  async #work(): Promise<void> {
    try {
      await this.#catchUp();
      this.#retryMs = 0;
    } catch (error) {
      // A part of the batch may stand in the file: what is there is found out before the next try.
      this.#writtenSeq = null;
      if (this.#retryMs === 0) this.#tell(error);
      this.#retryMs = Math.min(RETRY_MS.longest, Math.max(RETRY_MS.first, this.#retryMs * 2));
      if (this.#closing) return;
      this.#retry = setTimeout(() => {
        this.#retry = null;
        this.nudge();
      }, this.#retryMs);
      this.#retry.unref();
    }
  }

  async #catchUp(): Promise<void> {
    const { store, head } = this.#settings;
    for (;;) {
      const written = this.#writtenSeq ?? (await this.#begin());
      this.#writtenSeq = written;
      const lines = store.range(head, written, head.seq, BATCH);
      if (lines.length === 0) return;
      const text = lines.map((line) => `${line.json}\n`).join("");
      await this.#write(text);
      this.#writtenSeq = lines.at(-1)!.seq;
    }
  }

  /**
   * Opens the file for each batch: whoever renames, removes or truncates it (logrotate, a person) finds the next batch in
   * the file of that name, without a signal.
   */
  async #write(text: string): Promise<void> {
    const file = await this.#openToAppend();
    let size: number;
    try {
      await file.appendFile(text);
      size = (await file.stat()).size;
    } finally {
      await file.close();
    }
    if (size >= this.bounds.rotateBytes && performance.now() - this.#rotatedAtMs >= this.#rotationPauseMs)
      await this.#rotate();
  }

  async #openToAppend(): Promise<FileHandle> {
    // A private room is not for other accounts of the machine.
    const mode = this.#settings.private ? 0o600 : 0o644;
    try {
      return await open(this.path, "a", mode);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await mkdir(dirname(this.path), { recursive: true });
      return open(this.path, "a", mode);
    }
  }

  /** path → path.1 → path.2 …; the last one goes. The old file is complete before its name moves and is never written again. */
  async #rotate(): Promise<void> {
    this.#rotatedAtMs = performance.now();
    for (let number = Math.max(1, this.bounds.rotateKeep); number >= 1; number--) {
      const from = number === 1 ? this.path : `${this.path}.${number - 1}`;
      await rename(from, `${this.path}.${number}`).catch((error: unknown) => {
        if (!isMissing(error)) throw error;
      });
    }
    await (await this.#openToAppend()).close();
  }

  /** The file is there before the first line: `tail -F` of a missing file looks only now and then, and would miss a rotation. */
  async #begin(): Promise<number> {
    const written = await this.#resume();
    await (await this.#openToAppend()).close();
    return written;
  }

  /** The seq of the last whole line of ours in the file, or in the newest rotated one that has any; mends a half-written end. */
  async #resume(): Promise<number> {
    const { store, head } = this.#settings;
    for (let number = 0; number <= this.bounds.rotateKeep; number++) {
      const path = number === 0 ? this.path : `${this.path}.${number}`;
      const tail = await tailOf(path);
      if (tail === null) continue;
      if (number === 0 && tail.rest.length > 0) await this.#mend(path, tail);
      const seq = lastSeqOf(tail.lines, head.room);
      if (seq === null) continue;
      const known = store.range(head, seq - 1, seq, { maxLines: 1, maxBytes: 1 })[0];
      // The same number with another text, or a number not yet given, is from an earlier life of the store.
      const ours = seq < head.oldest || (known !== undefined && tail.lines.includes(known.json));
      if (ours && seq <= head.seq) return seq;
    }
    return head.oldest - 1;
  }

  /**
   * A line cut off by a crash or a full disk is completed, because `tail -F` shows a shortened file again from its start. Only
   * when the rest is not the beginning of the next line is it cut away.
   */
  async #mend(path: string, tail: Tail): Promise<void> {
    const { store, head } = this.#settings;
    const seq = (lastSeqOf(tail.lines, head.room) ?? head.oldest - 1) + 1;
    const line = store.range(head, seq - 1, seq, { maxLines: 1, maxBytes: 1 })[0];
    const whole = line ? Buffer.from(`${line.json}\n`) : null;
    const file = await open(path, "r+");
    try {
      if (whole?.subarray(0, tail.rest.length).equals(tail.rest)) {
        await file.write(whole.subarray(tail.rest.length), 0, null, tail.sizeBytes);
        tail.lines.push(line!.json);
      } else {
        await file.truncate(tail.sizeBytes - tail.rest.length);
      }
    } finally {
      await file.close();
    }
  }

  #tell(error: unknown): void {
    this.#settings.report({
      code: "FAILED",
      what: `the mirror ${this.path} cannot be written`,
      why: error instanceof Error ? error.message : String(error),
      fix: "make room on the disk or correct its folder's rights; nothing is lost, it is completed then",
    });
  }

  /** Writes what is stored, once, then stops. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
    await this.#working;
    await this.#work();
  }
}

interface Tail {
  /** Whole lines, oldest first. */
  lines: string[];
  /** Bytes after the last line feed. */
  rest: Buffer;
  sizeBytes: number;
}

/** The end of a file, or null when there is none. */
async function tailOf(path: string): Promise<Tail | null> {
  const size = await stat(path).then(
    (found) => found.size,
    (error: unknown) => {
      if (isMissing(error)) return null;
      throw error;
    },
  );
  if (size === null) return null;
  const file = await open(path, "r");
  try {
    const start = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(size - start), position: start });
    const bytes = buffer.subarray(0, bytesRead);
    const end = bytes.lastIndexOf(10) + 1;
    const lines = bytes.toString("utf8", 0, end).split("\n");
    lines.pop();
    // The first one may be cut.
    if (start > 0) lines.shift();
    return { lines, rest: bytes.subarray(end), sizeBytes: start + bytesRead };
  } finally {
    await file.close();
  }
}

function lastSeqOf(lines: string[], room: string): number | null {
  for (const text of lines.toReversed()) {
    try {
      const line = JSON.parse(text) as { room?: unknown; seq?: unknown } | null;
      if (line?.room === room && Number.isSafeInteger(line.seq)) return line.seq as number;
    } catch {
      // A line that somebody else wrote into the file.
    }
  }
  return null;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
