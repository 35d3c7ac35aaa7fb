import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { BosunError } from "../../protocol/error.ts";
import type { StoredEvent } from "../../protocol/event.ts";
import type { RawEntry } from "./chain.ts";
import { type Checkpoint, Checkpoints } from "./checkpoints.ts";
import { Leaves } from "./leaves.ts";
import { bytesOf, HASH_BYTES, leafOf } from "./merkle.ts";

/** A checkpoint is signed after so many entries or so long after the last, whichever is first, and at the end. */
const EVERY_ENTRIES = 1_000;
const EVERY_MS = 60_000;

/** Entries whose leaves are compared at a start: more than a power cut can have torn. */
const COMPARED = 2_048;

/** Entries read from the log at once. */
const PORTION = 1_000;

/** Leaves are no part of what makes an entry durable, and one write for many costs what one for each does. */
const SETTLE_MS = 20;

const NOTHING = Buffer.alloc(HASH_BYTES);

/** That one entry is in the log, for somebody who has nothing of it but a public key. */
export interface Proof {
  seq: number;
  entry: string;
  leaf: string;
  index: number;
  size: number;
  root: string;
  path: string[];
  checkpoint: string;
  publicKey: string;
}

/** The Merkle tree over a town's log (RFC 6962), kept in step with it, and its signed checkpoints. */
export class LogProof {
  readonly #leaves: Leaves;
  readonly checkpoints: Checkpoints;
  readonly #db: DatabaseSync;
  #signedSize: number;
  #signedAtMs = performance.now();
  #timer: NodeJS.Timeout | null = null;
  #pending: StoredEvent[] = [];
  #later: NodeJS.Timeout | null = null;
  /** Set when the leaves do not fit the log: nothing is written any more, what lies there is evidence. */
  #frozen = false;

  constructor(folder: string, db: DatabaseSync, origin: string) {
    this.#db = db;
    this.#leaves = new Leaves(join(folder, "leaves.bin"));
    this.checkpoints = new Checkpoints(join(folder, "checkpoints.txt"), join(folder, "checkpoint-key.pem"), origin);
    this.#signedSize = this.checkpoints.read().checkpoints.at(-1)?.size ?? 0;
    this.#catchUp();
  }

  /** After the entries became durable; their leaves follow in a moment, many at once, and nobody waits for them. */
  add(entries: readonly StoredEvent[]): void {
    if (this.#frozen || entries.length === 0) return;
    this.#pending.push(...entries);
    this.#later ??= setTimeout(() => this.#settle(), SETTLE_MS).unref();
  }

  /** Of all entries there are now. */
  get leaves(): Leaves {
    this.#settle();
    return this.#leaves;
  }

  /** Never throws: what could not be written is made up for with the next ones. */
  #settle(): void {
    if (this.#later) clearTimeout(this.#later);
    this.#later = null;
    const entries = this.#pending;
    this.#pending = [];
    if (this.#frozen || entries.length === 0) return;
    try {
      if (entries[0]!.position !== this.#leaves.size + 1) this.#catchUp();
      else this.#leaves.add(entries.map((entry) => leafOf(bytesOf(rawOf(entry)))));
      this.#signSoon();
    } catch {
      // A full disk: the entries are durable all the same.
    }
  }

  /** Throws NOT_FOUND for an entry that is not there. */
  prove(position: number): Proof {
    const { leaves } = this;
    const row = rawAt(this.#db, position);
    const index = position - 1;
    if (!row || index >= leaves.size) {
      throw new BosunError({
        code: "NOT_FOUND",
        what: `the log has no entry ${position}`,
        fix: "bosun events -n 20   shows the newest",
      });
    }
    const entry = bytesOf(row);
    const { size } = leaves;
    const root = leaves.root();
    return {
      seq: position,
      entry,
      leaf: leafOf(entry).toString("hex"),
      index,
      size,
      root: root.toString("hex"),
      path: leaves.path(index).map((each) => each.toString("hex")),
      checkpoint: this.checkpoints.sign(size, root).note,
      publicKey: this.checkpoints.publicKey,
    };
  }

  close(): void {
    this.#settle();
    this.#sign();
    this.#leaves.close();
  }

  /** Leaves that are missing come from the log; what a power cut left as zeroes is cut off first. */
  #catchUp(): void {
    const last = (this.#db.prepare("SELECT MAX(position) AS last FROM log").get()!.last as number | null) ?? 0;
    const common = Math.min(this.#leaves.size, last);
    for (let index = Math.max(0, common - COMPARED); index < common; index++) {
      const row = rawAt(this.#db, index + 1);
      const leaf = this.#leaves.at(index);
      if (!row || leaf.equals(leafOf(bytesOf(row)))) continue;
      if (!leaf.equals(NOTHING)) {
        this.#frozen = true;
        return;
      }
      this.#leaves.cut(index);
      break;
    }
    if (this.#leaves.size > last) {
      this.#frozen = true;
      return;
    }
    for (;;) {
      const rows = rawAfter(this.#db, this.#leaves.size, PORTION);
      if (rows.length === 0) return;
      // Forgotten entries leave no leaves: what is older than the oldest kept cannot be proven any more.
      if (rows[0]!.position !== this.#leaves.size + 1) {
        this.#frozen = true;
        return;
      }
      this.#leaves.add(rows.map((row) => leafOf(bytesOf(row))));
    }
  }

  #signSoon(): void {
    if (this.#leaves.size - this.#signedSize >= EVERY_ENTRIES && performance.now() - this.#signedAtMs > 1_000) {
      this.#sign();
      return;
    }
    this.#timer ??= setTimeout(() => this.#sign(), EVERY_MS).unref();
  }

  #sign(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#frozen || this.#leaves.size === this.#signedSize) return;
    try {
      this.#leaves.flush();
      const checkpoint: Checkpoint = this.checkpoints.sign(this.#leaves.size, this.#leaves.root());
      this.checkpoints.append(checkpoint);
      this.#signedSize = checkpoint.size;
      this.#signedAtMs = performance.now();
    } catch {
      // A full disk: the entries are durable all the same, and the next checkpoint covers them.
    }
  }
}

function rawOf({ position, atMs, actor, event }: StoredEvent): RawEntry {
  return { position, atMs, actor, type: event.type, data: JSON.stringify(event.data) };
}

const COLUMNS = "position, at_ms AS atMs, actor, type, data";

function rawAt(db: DatabaseSync, position: number): RawEntry | null {
  return (
    (db.prepare(`SELECT ${COLUMNS} FROM log WHERE position = ?`).get(position) as unknown as RawEntry | undefined) ??
    null
  );
}

function rawAfter(db: DatabaseSync, position: number, limit: number): RawEntry[] {
  return db
    .prepare(`SELECT ${COLUMNS} FROM log WHERE position > ? ORDER BY position LIMIT ?`)
    .all(position, limit) as unknown as RawEntry[];
}
