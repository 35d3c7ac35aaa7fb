import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { BosunError } from "../../protocol/error.ts";
import type { Event, StoredEvent } from "../../protocol/event.ts";
import { stamp } from "./chain.ts";
import { type Checkpoint, Checkpoints } from "./checkpoints.ts";
import { Leaves } from "./leaves.ts";
import { Mark } from "./mark.ts";
import type { Head } from "./port.ts";
import type { Projection } from "./projection.ts";
import { LogProof, type Proof } from "./proof.ts";
import { openSqliteLog, type SqliteLog } from "./sqlite.ts";
import { statement } from "./statement.ts";
import { damaged, isStorageFailure } from "./storage-error.ts";
import { type Noted, type Verdict, verifyChain, verifySteps } from "./verify.ts";
import { Views } from "./views.ts";

/** Commands of one commit. Bounds how long one turn of the event loop can take; the rest follow in the next. */
const BATCH_LIMIT = 512;

export interface Command<T> {
  /** From the credential: `person:<name>`, `agent:<id>`, `coordinator`. */
  actor: string;
  /** Counts once per actor, also across restarts: a repeated key gives the first result again and writes nothing. */
  key?: string;
  /** What was asked for, in short: the same key with another digest is refused (KeyReused). */
  digest?: string;
  /**
   * Looks at the views, which show every earlier command, and says what shall be true and what to answer. Runs inside the
   * transaction: synchronous, reads only. Throwing refuses this command alone. `result` must survive JSON.
   */
  decide: (views: DatabaseSync) => { events: Event[]; result: T };
}

export interface Written<T> {
  result: T;
  /** Of the command's last event; the head when it had none. Every read from now on shows at least this much. */
  position: number;
  duplicate: boolean;
}

/** A key that counted once came again with another request. */
export class KeyReused extends BosunError {
  constructor(key: string) {
    super({
      code: "CONFLICT",
      what: `the key "${key.slice(0, 80)}" has been used for another request`,
      why: "a key names one request: the same again gets the first answer, another one would be lost without a word",
      fix: "send it with a new key",
    });
  }
}

interface Waiting {
  command: Command<unknown>;
  written?: Written<unknown>;
  refused?: { thrown: unknown };
  resolve: (written: Written<unknown>) => void;
  reject: (thrown: unknown) => void;
}

export interface LedgerOptions {
  folder: string;
  projections: Projection[];
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Whose log it is; the first line of its checkpoints. */
  origin?: string;
  /** Told while views are made anew, which takes long with a long log. */
  progress?: (done: number, total: number) => void;
}

/**
 * Opens the facts of a town in `folder` (made, private, when missing): `log.sqlite` holds the log and its views, `head.json`
 * the high-water mark. Throws CONFLICT when another process has it, LOG_DAMAGED when it cannot be trusted to go on from,
 * REFUSED when a newer bosun wrote it. `now` gives milliseconds since 1970.
 */
export function openLedger(options: LedgerOptions): Ledger {
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const file = join(options.folder, "log.sqlite");
  const log = openSqliteLog(file);
  try {
    return new Ledger(log, file, options);
  } catch (thrown) {
    log.close();
    throw thrown;
  }
}

/**
 * `verify` for a town whose coordinator does not run or cannot start. Changes neither log nor mark. Throws NOT_FOUND without
 * a log in `folder`, CONFLICT while somebody has it open, LOG_DAMAGED when it is not a database any more.
 */
export function verifyFolder(folder: string): Verdict {
  const file = join(folder, "log.sqlite");
  if (!existsSync(file)) throw new BosunError({ code: "NOT_FOUND", what: `there is no log in ${folder}` });
  const log = openSqliteLog(file);
  try {
    const leavesFile = join(folder, "leaves.bin");
    const leaves = existsSync(leavesFile) ? new Leaves(leavesFile) : null;
    const keyFile = join(folder, "checkpoint-key.pem");
    const checkpoints = existsSync(keyFile)
      ? new Checkpoints(join(folder, "checkpoints.txt"), keyFile, "").read()
      : { checkpoints: [], forged: 0 };
    try {
      return judge(log, new Mark(join(folder, "head.json")), leaves, checkpoints);
    } finally {
      leaves?.close();
    }
  } finally {
    log.close();
  }
}

function judge(
  log: SqliteLog,
  mark: Mark,
  leaves: Leaves | null,
  { checkpoints, forged }: { checkpoints: Checkpoint[]; forged: number },
): Verdict {
  const { noted, why } = notedBy(log, mark, leaves, checkpoints, forged);
  return withDoubt(verifyChain(log.db, noted), why);
}

/** What was noted outside the log, and what of that cannot be read or is not ours. */
function notedBy(
  log: SqliteLog,
  mark: Mark,
  leaves: Leaves | null,
  checkpoints: Checkpoint[],
  forged: number,
): { noted: Noted; why: string | null } {
  const heads = [log.head()];
  let why = forged > 0 ? `${forged} checkpoints are not signed by this town's key` : null;
  try {
    const head = mark.read();
    if (head) heads.push(head);
  } catch (thrown) {
    why = `the high-water mark cannot be read: ${thrown instanceof Error ? thrown.message : thrown}`;
  }
  const size = leaves?.size ?? 0;
  const leaf = (index: number): Buffer | null => (leaves && index < size ? leaves.at(index) : null);
  return { noted: { heads, leaf, leaves: size, checkpoints }, why };
}

function withDoubt(verdict: Verdict, why: string | null): Verdict {
  return verdict.ok && why !== null ? { ...verdict, ok: false, why } : verdict;
}

/**
 * The only writer of facts. A command is answered when its events are durable and the views show them, so whoever has the
 * answer reads its own writes here without waiting.
 *
 * Commands that arrive in one turn of the event loop share one transaction and one fsync. Each has a savepoint: it happens
 * whole or not at all, and a refused one takes nothing with it.
 */
export class Ledger {
  readonly #log: SqliteLog;
  readonly #file: string;
  readonly #inode: number;
  readonly #mark: Mark;
  readonly #views: Views;
  readonly #proof: LogProof;
  readonly #now: () => number;
  #queue: Waiting[] = [];
  #running: Promise<void> | null = null;
  #closed: BosunError | null = null;

  constructor(log: SqliteLog, file: string, options: LedgerOptions) {
    const { folder, projections, now = Date.now, origin = "bosun", progress } = options;
    this.#log = log;
    this.#file = file;
    this.#inode = statSync(file).ino;
    this.#mark = new Mark(join(folder, "head.json"));
    this.#views = new Views(log, projections, progress);
    this.#now = now;
    log.db.exec(`CREATE TABLE IF NOT EXISTS commands(
      actor TEXT NOT NULL, key TEXT NOT NULL, result TEXT, position INTEGER NOT NULL, digest TEXT, PRIMARY KEY (actor, key)
    ) STRICT, WITHOUT ROWID`);
    addDigest(log.db);
    this.#views.catchUp();
    this.#startMark();
    this.#proof = new LogProof(folder, log.db, origin);
  }

  /** The connection that holds the views; read from it, never write. Between two turns it shows only what is durable. */
  get views(): DatabaseSync {
    return this.#log.db;
  }

  write<T>(command: Command<T>): Promise<Written<T>> {
    if (this.#closed) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      this.#queue.push({ command, resolve: resolve as Waiting["resolve"], reject });
      this.#running ??= this.#run();
    });
  }

  read(after: number, limit: number): StoredEvent[] {
    return this.#log.read(after, limit);
  }

  /** Calls `listener` with each entry after it became durable, in order; gives the function that ends it. */
  tail(listener: (entry: StoredEvent) => void): () => void {
    return this.#log.tail(listener);
  }

  head(): Head {
    return this.#log.head();
  }

  /** Compares the views with a replay of the whole log; where they differ, makes them anew. */
  rebuild(): { entries: number; equal: boolean; differing: string[] } {
    const { entries, differing } = this.#views.compareWithReplay();
    if (differing.length > 0) this.#views.remake();
    return { entries, equal: differing.length === 0, differing };
  }

  /** Checks the log from the first entry to the last against all that was noted outside. Others wait meanwhile. */
  verify(): Verdict {
    return judge(this.#log, this.#mark, this.#proof.leaves, this.#proof.checkpoints.read());
  }

  /** The same for entries there are now, with a turn for others in between. */
  async verifySlowly(): Promise<Verdict> {
    const { checkpoints, forged } = this.#proof.checkpoints.read();
    const { noted, why } = notedBy(this.#log, this.#mark, this.#proof.leaves, checkpoints, forged);
    const until = this.head().position;
    const steps = verifySteps(this.#log.db, noted, until);
    for (;;) {
      const step = steps.next();
      if (step.done) return withDoubt(step.value, why);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** That the entry is in the log, for somebody who has nothing of it. Throws NOT_FOUND. */
  prove(position: number): Proof {
    return this.#proof.prove(position);
  }

  /** Answers what is waiting, writes the mark and gives the file free. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = new BosunError({
        code: "UNREACHABLE",
        what: "the coordinator is stopping",
        why: "its log is closed",
      });
    }
    await this.#running;
    if (!this.#log.db.isOpen) return;
    this.#proof.close();
    this.#mark.flush();
    this.#log.close();
  }

  /** A mark that does not fit the log is kept as evidence; a fitting or missing one is brought up to date. */
  #startMark(): void {
    if (this.#markFits()) this.#mark.note(this.head());
    else this.#mark.freeze();
  }

  #markFits(): boolean {
    try {
      const noted = this.#mark.read();
      if (!noted || noted.position === 0) return true;
      const row = this.#log.db.prepare("SELECT hash FROM log WHERE position = ?").get(noted.position);
      return row?.hash === noted.hash;
    } catch {
      // An unreadable mark fits nothing; `verify` says so for as long as it lies there.
      return false;
    }
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      // The end of this turn: everything the sockets brought in it goes into the same commit.
      await new Promise((resolve) => setImmediate(resolve));
      const batch = this.#queue.splice(0, BATCH_LIMIT);
      try {
        let added: StoredEvent[] = [];
        await this.#log.append((head) => {
          added = this.#decideAll(batch, head);
          return added;
        });
        this.#checkInode();
        this.#proof.add(added);
      } catch (thrown) {
        for (const waiting of batch) waiting.reject(thrown);
        continue;
      }
      this.#mark.note(this.head());
      for (const waiting of batch) {
        if (waiting.written) waiting.resolve(waiting.written);
        else waiting.reject(waiting.refused?.thrown);
      }
    }
    this.#running = null;
  }

  #decideAll(batch: Waiting[], head: Head): StoredEvent[] {
    const db = this.#log.db;
    const added: StoredEvent[] = [];
    for (const waiting of batch) {
      statement(db, "SAVEPOINT command").run();
      const before = added.length;
      try {
        waiting.written = this.#decideOne(waiting.command, added, head);
      } catch (thrown) {
        // A failing disk concerns everybody in this commit, and may already have ended the transaction.
        if (!db.isTransaction || isStorageFailure(thrown)) throw thrown;
        statement(db, "ROLLBACK TO command").run();
        added.length = before;
        waiting.refused = { thrown };
      }
      statement(db, "RELEASE command").run();
    }
    const last = added.at(-1);
    if (last) this.#views.setApplied(last.position);
    return added;
  }

  #decideOne(command: Command<unknown>, added: StoredEvent[], start: Head): Written<unknown> {
    const db = this.#log.db;
    const { actor, key, digest } = command;
    if (key !== undefined) {
      const first = statement(db, "SELECT result, position, digest FROM commands WHERE actor = ? AND key = ?").get(
        actor,
        key,
      );
      if (first) {
        // Commands of before digests were kept have none, and count as the same.
        if (digest !== undefined && first.digest !== null && first.digest !== digest) throw new KeyReused(key);
        const result = first.result === null ? undefined : JSON.parse(first.result as string);
        return { result, position: first.position as number, duplicate: true };
      }
    }
    const { events, result } = command.decide(db);
    let head: Head = added.at(-1) ?? start;
    for (const event of events) {
      const entry = stamp(head, { atMs: this.#now(), actor, event });
      this.#views.apply(db, entry);
      added.push(entry);
      head = entry;
    }
    // A command that changed nothing is not remembered: repeating it does no harm, and it would cost an fsync.
    if (key !== undefined && events.length > 0) {
      const text = result === undefined ? null : JSON.stringify(result);
      statement(db, "INSERT INTO commands VALUES (?, ?, ?, ?, ?)").run(actor, key, text, head.position, digest ?? null);
    }
    return { result, position: head.position, duplicate: false };
  }

  /** SQLite goes on writing into a deleted file without a word. Asked after each commit, before anyone is answered (3 µs). */
  #checkInode(): void {
    if (statSync(this.#file, { throwIfNoEntry: false })?.ino === this.#inode) return;
    this.#closed ??= damaged(
      this.#file,
      "it was deleted or replaced while the coordinator had it open; nothing is accepted",
    );
    throw this.#closed;
  }
}

/** A log of before digests were kept gets the column. */
function addDigest(db: DatabaseSync): void {
  const columns = db.prepare("SELECT name FROM pragma_table_info('commands')").all();
  if (!columns.some((column) => column.name === "digest")) db.exec("ALTER TABLE commands ADD COLUMN digest TEXT");
}
