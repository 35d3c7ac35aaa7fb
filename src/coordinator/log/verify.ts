import type { DatabaseSync } from "node:sqlite";
import { chainHash } from "./chain.ts";
import type { Head } from "./port.ts";
import { baseOf } from "./sqlite.ts";

export interface Verdict {
  ok: boolean;
  /** Entries whose hash is right, from the first on without a break. */
  entries: number;
  /** Hash of the last of them. */
  head: string;
  firstBad: number | null;
  why: string | null;
}

/**
 * Computes every hash from the first entry to the last and compares; then compares with heads noted outside the log, which
 * shows a missing end, an older copy put back, and a chain computed anew after a change.
 */
export function verifyChain(db: DatabaseSync, noted: Head[]): Verdict {
  let last = baseOf(db);
  let entries = 0;
  const bad = (position: number, why: string): Verdict => ({
    ok: false,
    entries,
    head: last.hash,
    firstBad: position,
    why,
  });
  const atNoted = new Map<number, string>([[last.position, last.hash]]);
  const rows = db
    .prepare("SELECT position, at_ms AS atMs, actor, type, data, hash FROM log ORDER BY position")
    .iterate();
  try {
    for (const row of rows as Iterable<unknown> as Iterable<Parameters<typeof chainHash>[1] & { hash: string }>) {
      const expected = last.position + 1;
      if (row.position !== expected) return bad(expected, `entry ${expected} is missing; the next is ${row.position}`);
      if (chainHash(last.hash, row) !== row.hash) return bad(expected, `entry ${expected} does not match its hash`);
      last = { position: expected, hash: row.hash };
      entries += 1;
      if (noted.some((head) => head.position === expected)) atNoted.set(expected, row.hash);
    }
  } catch (thrown) {
    return bad(
      last.position + 1,
      `the file cannot be read further: ${thrown instanceof Error ? thrown.message : thrown}`,
    );
  }
  for (const head of noted) {
    if (head.position > last.position) {
      const count = head.position - last.position;
      return bad(last.position + 1, `the log once reached entry ${head.position}; its last ${count} entries are gone`);
    }
    const found = atNoted.get(head.position);
    if (head.position > 0 && found !== undefined && found !== head.hash) {
      return bad(
        head.position,
        `entry ${head.position} is not the one noted outside: it or earlier ones were rewritten`,
      );
    }
  }
  return { ok: true, entries, head: last.hash, firstBad: null, why: null };
}
