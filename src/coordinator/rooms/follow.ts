import { createHash } from "node:crypto";
import { type FSWatcher, statSync, watch } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ErrorBody } from "../../protocol/error.ts";
import type { FileMark } from "./store.ts";

/** Notices of the file system come at once but are lost on network mounts and in some containers; looking finds the rest. */
const LOOK_EVERY_MS = 500;
const READ_BYTES = 262_144;
/** A file is recognised by this much of its beginning. */
const HEAD_BYTES = 1_024;
/** A line longer than this without an end is taken as it stands. */
const LONGEST_LINE_BYTES = 4_194_304;

export type Place = Omit<FileMark, "source">;

interface FollowerWorld {
  /** Takes whole lines and where the file is read up to, in one step. A rejection means: none of them, ask again. */
  take: (lines: string[], place: Place) => Promise<void>;
  saveMark: (place: Place) => void;
  report: (trouble: ErrorBody) => void;
}

/**
 * Follows a file by name as `tail -F` does: appended lines come once each, through rotation (the old file is read to its end
 * first), truncation and restarts of this process. A file that exists when it is followed for the first time is followed from
 * its end; one that appears later, from its start.
 */
export class FileFollower {
  readonly #path: string;
  readonly #world: FollowerWorld;
  #place: Place | null;
  /** Size of the file at the moment it was first followed; null = it was not there. Taken at once: what is appended next is new. */
  readonly #sizeAtFirst: number | null;
  #file: FileHandle | null = null;
  #watcher: FSWatcher | null = null;
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> | null = null;
  #again = false;
  #first = true;
  #troubled = false;
  #closed = false;

  constructor(path: string, place: Place | null, world: FollowerWorld) {
    this.#path = path;
    this.#place = place;
    this.#world = world;
    this.#sizeAtFirst = sizeNow(path);
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
    this.look();
  }

  /** Reads what is new. */
  look(): void {
    if (this.#closed) return;
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#again = false;
    this.#looking = this.#lookOnce()
      .then(
        () => {
          this.#troubled = false;
        },
        (error: unknown) => this.#tell(error),
      )
      .finally(() => {
        this.#looking = null;
        if (this.#again) this.look();
      });
  }

  async #lookOnce(): Promise<void> {
    this.#listen();
    const now = await statOf(this.#path);
    if (this.#first) await this.#begin(now);
    this.#first = false;
    if (this.#file) {
      await this.#drain(this.#file);
      if (now === null || now.inode === this.#place!.inode) return;
      // Renamed away: what was written until its name moved has been read above; one more look for writers that still had it open.
      await this.#drain(this.#file);
      await this.#leave();
    }
    if (now === null) return;
    this.#file = await open(this.#path, "r");
    this.#place = startOf((await this.#file.stat()).ino);
    await this.#drain(this.#file);
  }

  /** Where to go on after a start of this process. */
  async #begin(now: { inode: number; size: number } | null): Promise<void> {
    const place = this.#place;
    if (place === null) {
      if (now === null || this.#sizeAtFirst === null) return;
      this.#file = await open(this.#path, "r");
      const offsetBytes = await lineStartAt(this.#file, this.#sizeAtFirst);
      const { ino } = await this.#file.stat();
      this.#place = { inode: ino, offsetBytes, ...(await headOf(this.#file, offsetBytes)) };
      this.#world.saveMark(this.#place);
      return;
    }
    const path = await this.#find(place);
    if (path === null) return;
    this.#file = await open(path, "r");
  }

  /** The file that was being read: under its own name, or renamed beside it. Null when it is gone or was overwritten. */
  async #find(place: Place): Promise<string | null> {
    const folder = dirname(this.#path);
    const name = basename(this.#path);
    const beside = await readdir(folder).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const others = beside
      .filter((other) => other.startsWith(name) && other !== name)
      .map((other) => join(folder, other));
    for (const path of [this.#path, ...others]) {
      if ((await statOf(path))?.inode !== place.inode) continue;
      const file = await open(path, "r");
      try {
        if (await stillIs(file, place)) return path;
      } finally {
        await file.close();
      }
    }
    return null;
  }

  /** Takes whole lines until the end of the file. */
  async #drain(file: FileHandle): Promise<void> {
    for (let wantBytes = READ_BYTES; !this.#closed; ) {
      const place = this.#place!;
      const bytes = await readAt(file, place.offsetBytes, wantBytes);
      const replaced = !(await stillIs(file, place));
      if (replaced) {
        // Emptied and written anew, before the bytes were read or after: only the old ones are not found there again.
        const again = await readAt(file, place.offsetBytes, bytes.length);
        const old = again.equals(bytes) ? Buffer.alloc(0) : bytes;
        await this.#take(old.subarray(0, old.lastIndexOf(10) + 1), startOf(place.inode));
        continue;
      }
      let end = bytes.lastIndexOf(10) + 1;
      if (end === 0) {
        if (bytes.length < wantBytes) return;
        if (wantBytes < LONGEST_LINE_BYTES) {
          wantBytes *= 2;
          continue;
        }
        end = bytes.length;
      }
      const offsetBytes = place.offsetBytes + end;
      await this.#take(bytes.subarray(0, end), {
        inode: place.inode,
        offsetBytes,
        ...(await headOf(file, offsetBytes)),
      });
      wantBytes = READ_BYTES;
    }
  }

  async #take(bytes: Buffer, next: Place): Promise<void> {
    const lines = bytes.toString("utf8").split("\n");
    await this.#world.take(
      lines.map((line) => line.replace(/\r$/, "")).filter((line) => line !== ""),
      next,
    );
    this.#place = next;
  }

  async #leave(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }

  #listen(): void {
    if (this.#watcher || this.#closed) return;
    try {
      this.#watcher = watch(dirname(this.#path), (_, name) => {
        if (name === null || name === basename(this.#path)) this.look();
      });
      this.#watcher.unref();
      this.#watcher.on("error", () => {
        this.#watcher?.close();
        this.#watcher = null;
      });
    } catch {
      // The folder is not there yet, or the system is out of watches: the timer looks.
    }
  }

  #tell(error: unknown): void {
    if (this.#troubled || this.#closed) return;
    this.#troubled = true;
    this.#world.report({
      code: "FAILED",
      what: `${this.#path} cannot be followed`,
      why: error instanceof Error ? error.message : String(error),
      fix: "correct its rights; it is tried again by itself",
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#watcher?.close();
    await this.#looking;
    await this.#leave();
  }
}

function startOf(inode: number): Place {
  return { inode, offsetBytes: 0, head: "", headBytes: 0 };
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(length), position });
  return buffer.subarray(0, bytesRead);
}

/** Null when it is not there or cannot be seen; the next look says why. */
function sizeNow(path: string): number | null {
  try {
    return statSync(path).size;
  } catch {
    return null;
  }
}

async function statOf(path: string): Promise<{ inode: number; size: number } | null> {
  try {
    const { ino, size } = await stat(path);
    return { inode: ino, size };
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Same beginning and not shorter than what was read. */
async function stillIs(file: FileHandle, place: Place): Promise<boolean> {
  if ((await file.stat()).size < place.offsetBytes) return false;
  return place.headBytes === 0 || (await headOf(file, place.headBytes)).head === place.head;
}

async function headOf(file: FileHandle, readBytes: number): Promise<{ head: string; headBytes: number }> {
  const headBytes = Math.min(readBytes, HEAD_BYTES);
  const head = await readAt(file, 0, headBytes);
  return { head: createHash("sha1").update(head).digest("hex"), headBytes };
}

/** The start of the line that is being written at `size`, so that its other half does not come alone. */
async function lineStartAt(file: FileHandle, size: number): Promise<number> {
  const start = Math.max(0, size - LONGEST_LINE_BYTES);
  return start + (await readAt(file, start, size - start)).lastIndexOf(10) + 1;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
