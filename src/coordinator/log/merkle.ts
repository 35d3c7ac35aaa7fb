import { hash } from "node:crypto";
import type { RawEntry } from "./chain.ts";

/** Bytes of a SHA-256. */
export const HASH_BYTES = 32;

/** Leaves of one block; a power of two, so that blocks are whole subtrees. 32 KiB of leaves, and a proof reads one block. */
export const BLOCK = 1024;

/** The bytes of an entry that are signed and proven; the chain hashes the same behind the previous hash. */
export function bytesOf(entry: RawEntry): string {
  return JSON.stringify([entry.position, entry.atMs, entry.actor, entry.type, entry.data]);
}

/** RFC 6962 § 2.1: leaves and inner nodes are told apart by their first byte. */
export function leafOf(bytes: string): Buffer {
  return hash("sha256", Buffer.concat([LEAF, Buffer.from(bytes)]), "buffer");
}

const LEAF = Buffer.from([0]);
const NODE = Buffer.from([1]);

function nodeOf(left: Buffer, right: Buffer): Buffer {
  return hash("sha256", Buffer.concat([NODE, left, right]), "buffer");
}

/** Root of a tree without leaves. */
const EMPTY = hash("sha256", "", "buffer");

/** The largest power of two below `size`; where a tree is divided. */
function half(size: number): number {
  return 2 ** Math.ceil(Math.log2(size) - 1);
}

/** Merkle tree hash of RFC 6962 § 2.1 over hashes of whole subtrees, all of one size but perhaps the last. */
export function rootOf(parts: readonly Buffer[]): Buffer {
  if (parts.length === 0) return EMPTY;
  let level = [...parts];
  // Pairs from the left, an odd one goes up as it is: the same tree as dividing at the largest power of two.
  while (level.length > 1) {
    const next: Buffer[] = [];
    for (let at = 0; at < level.length; at += 2) {
      next.push(at + 1 < level.length ? nodeOf(level[at]!, level[at + 1]!) : level[at]!);
    }
    level = next;
  }
  return level[0]!;
}

/** Hashes beside the way from part `index` to the root, from below (RFC 6962 § 2.1.1). */
export function pathOf(parts: readonly Buffer[], index: number): Buffer[] {
  if (parts.length <= 1) return [];
  const at = half(parts.length);
  const left = parts.slice(0, at);
  const right = parts.slice(at);
  return index < at ? [...pathOf(left, index), rootOf(right)] : [...pathOf(right, index - at), rootOf(left)];
}

/** A root that grows by one leaf at a time, for checking many sizes in one pass. */
export class GrowingRoot {
  /** Roots of whole subtrees, largest first, each a power of two of leaves. */
  readonly #peaks: { size: number; root: Buffer }[] = [];
  size = 0;

  add(leaf: Buffer): void {
    this.size += 1;
    let last = { size: 1, root: leaf };
    while (this.#peaks.at(-1)?.size === last.size) {
      const left = this.#peaks.pop()!;
      last = { size: left.size * 2, root: nodeOf(left.root, last.root) };
    }
    this.#peaks.push(last);
  }

  root(): Buffer {
    return (
      this.#peaks.reduceRight<Buffer | null>((right, { root }) => (right ? nodeOf(root, right) : root), null) ?? EMPTY
    );
  }
}
