import type { DatabaseSync } from "node:sqlite";
import { chainHash } from "./chain.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { bytesOf, GrowingRoot, leafOf } from "./merkle.ts";
import type { Head } from "./port.ts";
import { baseOf } from "./sqlite.ts";

export interface Verdict {
  ok: boolean;
  /** Entries whose hash is right, from the first on without a break. */
  entries: number;
  /** Hash of the last of them. */
  head: string;
  /** Signed checkpoints that these entries agree with. */
  checkpoints: number;
  firstBad: number | null;
  why: string | null;
}

/** What was noted outside the log while it grew. */
export interface Noted {
  /** Position and hash of its head, at some moments. */
  heads: readonly Head[];
  /** Leaf hash of the entry `index`, counted from 0; null where none was kept. */
  leaf: (index: number) => Buffer | null;
  /** How many leaves were kept. */
  leaves: number;
  /** Signed, oldest first. */
  checkpoints: readonly Checkpoint[];
}

/** Entries looked at between two turns of the event loop. */
const PORTION = 1_000;

type Row = Parameters<typeof chainHash>[1] & { hash: string };

/**
 * Computes every hash from the first entry to the one at `until` and compares: with the chain, which shows a change; with the
 * leaves, which show the changed entry when the chain was computed anew; with signed checkpoints, when the leaves were as well;
 * and with noted heads, which show a missing end and an older copy put back. Yields now and then, so that others get a turn.
 */
export function* verifySteps(db: DatabaseSync, noted: Noted, until: number): Generator<void, Verdict, void> {
  let last = baseOf(db);
  let entries = 0;
  let agreed = 0;
  const verdict = (firstBad: number | null, why: string | null): Verdict => ({
    ok: firstBad === null,
    entries,
    head: last.hash,
    checkpoints: agreed,
    firstBad,
    why,
  });
  const heads = new Map(noted.heads.map((head) => [head.position, head.hash]));
  const signed = new Map(noted.checkpoints.map((each) => [each.size, each]));
  // Of a log whose beginning was forgotten no root can be computed.
  const tree = last.position === 0 ? new GrowingRoot() : null;
  const page = db.prepare(
    "SELECT position, at_ms AS atMs, actor, type, data, hash FROM log WHERE position > ? AND position <= ? ORDER BY position LIMIT ?",
  );
  let lastAgreed = 0;
  for (;;) {
    let rows: Row[];
    try {
      rows = page.all(last.position, until, PORTION) as unknown as Row[];
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      return verdict(last.position + 1, `the file cannot be read further: ${why}`);
    }
    for (const row of rows) {
      const expected = last.position + 1;
      if (row.position !== expected) {
        return verdict(expected, `entry ${expected} is missing; the next is ${row.position}`);
      }
      if (chainHash(last.hash, row) !== row.hash) return verdict(expected, `entry ${expected} does not match its hash`);
      const leaf = leafOf(bytesOf(row));
      const kept = noted.leaf(expected - 1);
      if (kept && !kept.equals(leaf)) {
        return verdict(expected, `entry ${expected} was changed, and the hashes behind it were computed anew`);
      }
      last = { position: expected, hash: row.hash };
      entries += 1;
      const head = heads.get(expected);
      if (head !== undefined && head !== row.hash) {
        return verdict(expected, `entry ${expected} is not the one noted outside: it or earlier ones were rewritten`);
      }
      tree?.add(leaf);
      const checkpoint = signed.get(expected);
      if (!tree || !checkpoint) continue;
      if (!tree.root().equals(checkpoint.root)) {
        return verdict(
          lastAgreed + 1,
          `entries ${lastAgreed + 1} to ${expected} are not those that were signed: one of them was changed`,
        );
      }
      lastAgreed = expected;
      agreed += 1;
    }
    if (rows.length < PORTION) break;
    yield;
  }
  const reached = Math.max(
    0,
    ...noted.heads.map((head) => head.position),
    ...noted.checkpoints.map((each) => each.size),
    noted.leaves,
  );
  if (reached > last.position) {
    const count = reached - last.position;
    return verdict(last.position + 1, `the log once reached entry ${reached}; its last ${count} entries are gone`);
  }
  return verdict(null, null);
}

/** To the end without a pause. */
export function verifyChain(db: DatabaseSync, noted: Noted): Verdict {
  const steps = verifySteps(db, noted, Number.MAX_SAFE_INTEGER);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
