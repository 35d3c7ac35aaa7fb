import { readFileSync, renameSync, writeFileSync } from "node:fs";

/** What was last heard or seen of somebody. */
export interface Sign {
  atMs: number;
  /** One line that says what it was: `its own call`, `pane %3 lives, pid 4711`. Empty after a restart. */
  what: string;
}

/**
 * Signs of life, in memory. Who is awaited stands in a queue by the moment its lease would end; a sign moves nobody in it: when
 * the moment comes and there was a later sign, the place is taken anew. A sign costs one map entry, asking who is overdue
 * costs nothing while nobody is.
 *
 * The file carries the signs over a restart. Nobody is overdue because the process was away: leases count from its start.
 */
export class Signs {
  readonly #file: string;
  readonly #startedMs: number;
  readonly #last = new Map<string, Sign>();
  readonly #awaited = new Map<string, { leaseMs: number; dueMs: number }>();
  readonly #queue: { id: string; dueMs: number }[] = [];
  #changed = false;

  constructor(file: string, nowMs: number) {
    this.#file = file;
    this.#startedMs = nowMs;
    for (const [id, atMs] of Object.entries(readSigns(file))) this.#last.set(id, { atMs, what: "" });
  }

  last(id: string): Sign | null {
    return this.#last.get(id) ?? null;
  }

  note(id: string, atMs: number, what: string): void {
    this.#last.set(id, { atMs, what });
    this.#changed = true;
  }

  /** From now on `id` is overdue after `leaseMs` of silence. */
  await(id: string, leaseMs: number): void {
    const known = this.#awaited.get(id);
    if (known?.leaseMs === leaseMs) return;
    this.#enqueue(id, leaseMs, this.#dueMs(id, leaseMs));
  }

  /** As `await`, counted from `nowMs`: its silence until now means nothing, and is no sign either. */
  defer(id: string, leaseMs: number, nowMs: number): void {
    this.#enqueue(id, leaseMs, nowMs + leaseMs);
  }

  awaits(id: string): boolean {
    return this.#awaited.has(id);
  }

  /** Its silence means nothing any more; what was last seen of it stays known. */
  release(id: string): void {
    this.#awaited.delete(id);
  }

  forget(id: string): void {
    this.#awaited.delete(id);
    this.#changed = this.#last.delete(id) || this.#changed;
  }

  /** Those whose lease has ended by `nowMs`, each once: whoever is to be awaited again is named to `await` again. */
  takeOverdue(nowMs: number): string[] {
    const overdue: string[] = [];
    for (let first = this.#queue[0]; first && first.dueMs <= nowMs; first = this.#queue[0]) {
      pop(this.#queue);
      const awaited = this.#awaited.get(first.id);
      // Released, or awaited anew with another lease: that one has a place of its own.
      if (awaited?.dueMs !== first.dueMs) continue;
      const dueMs = this.#dueMs(first.id, awaited.leaseMs);
      if (dueMs > nowMs) this.#enqueue(first.id, awaited.leaseMs, dueMs);
      else {
        this.#awaited.delete(first.id);
        overdue.push(first.id);
      }
    }
    return overdue;
  }

  /** Writes the file when something changed since. Throws what the disk says. */
  save(): void {
    if (!this.#changed) return;
    const signs = Object.fromEntries([...this.#last].map(([id, sign]) => [id, sign.atMs]));
    writeFileSync(`${this.#file}.new`, JSON.stringify({ v: 1, signs }), { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
    this.#changed = false;
  }

  #enqueue(id: string, leaseMs: number, dueMs: number): void {
    this.#awaited.set(id, { leaseMs, dueMs });
    push(this.#queue, { id, dueMs });
  }

  #dueMs(id: string, leaseMs: number): number {
    return Math.max(this.#last.get(id)?.atMs ?? 0, this.#startedMs) + leaseMs;
  }
}

/** Without a readable file nobody has been seen yet: every lease counts from the start anyway. */
function readSigns(file: string): Record<string, number> {
  try {
    const { signs } = JSON.parse(readFileSync(file, "utf8")) as { signs: Record<string, unknown> };
    return Object.fromEntries(
      Object.entries(signs).filter((entry): entry is [string, number] => Number.isFinite(entry[1])),
    );
  } catch {
    return {};
  }
}

/** A binary heap by `dueMs`, the earliest first. */
function push(heap: { id: string; dueMs: number }[], entry: { id: string; dueMs: number }): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const up = (at - 1) >> 1;
    if (heap[up]!.dueMs <= entry.dueMs) break;
    heap[at] = heap[up]!;
    at = up;
  }
  heap[at] = entry;
}

function pop(heap: { id: string; dueMs: number }[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let down = 2 * at + 1;
    if (down >= heap.length) break;
    if (down + 1 < heap.length && heap[down + 1]!.dueMs < heap[down]!.dueMs) down++;
    if (heap[down]!.dueMs >= last.dueMs) break;
    heap[at] = heap[down]!;
    at = down;
  }
  heap[at] = last;
}
