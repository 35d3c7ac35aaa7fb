import { closeSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { BLOCK, HASH_BYTES, pathOf, rootOf } from "./merkle.ts";

/**
 * Leaf hashes of every entry, 32 bytes each, in a file beside the log: what shows which entry was changed when somebody has
 * computed the chain anew. Appended after each commit and not made durable with it: a crash leaves it shorter, and the rest is
 * taken from the log. In memory are the roots of whole blocks and the leaves of the last one: 32 KiB for a million entries.
 */
export class Leaves {
  readonly #handle: number;
  #size: number;
  readonly #blocks: Buffer[] = [];
  #last: Buffer[] = [];

  constructor(file: string) {
    this.#handle = openSync(file, "a+", 0o600);
    const bytes = readAll(this.#handle);
    const whole = Math.floor(bytes.length / HASH_BYTES);
    if (bytes.length % HASH_BYTES > 0) ftruncateSync(this.#handle, whole * HASH_BYTES);
    this.#size = whole;
    for (let at = 0; at < whole; at++) this.#take(bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES));
  }

  get size(): number {
    return this.#size;
  }

  /** Of entry `index`, counted from 0. */
  at(index: number): Buffer {
    return this.#read(index, 1)[0]!;
  }

  add(leaves: readonly Buffer[]): void {
    if (leaves.length === 0) return;
    const bytes = Buffer.concat(leaves);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#handle, bytes, at);
    } catch (thrown) {
      // A full disk may have taken half a leaf.
      ftruncateSync(this.#handle, this.#size * HASH_BYTES);
      throw thrown;
    }
    for (const leaf of leaves) this.#take(leaf);
    this.#size += leaves.length;
  }

  /** Forgets all from `size` on: what a power cut left there is not what was written. */
  cut(size: number): void {
    ftruncateSync(this.#handle, size * HASH_BYTES);
    const kept = this.#read(0, size);
    this.#blocks.length = 0;
    this.#last = [];
    for (const leaf of kept) this.#take(leaf);
    this.#size = size;
  }

  root(): Buffer {
    return rootOf(this.#parts());
  }

  /** The way from entry `index` to the root of all. */
  path(index: number): Buffer[] {
    const block = Math.floor(index / BLOCK);
    const within = this.#read(block * BLOCK, Math.min(BLOCK, this.#size - block * BLOCK));
    return [...pathOf(within, index % BLOCK), ...pathOf(this.#parts(), block)];
  }

  /** Makes the file durable. */
  flush(): void {
    fsyncSync(this.#handle);
  }

  close(): void {
    closeSync(this.#handle);
  }

  #parts(): Buffer[] {
    return this.#last.length === 0 ? this.#blocks : [...this.#blocks, rootOf(this.#last)];
  }

  #take(leaf: Buffer): void {
    this.#last.push(leaf);
    if (this.#last.length < BLOCK) return;
    this.#blocks.push(rootOf(this.#last));
    this.#last = [];
  }

  #read(from: number, count: number): Buffer[] {
    const bytes = Buffer.alloc(count * HASH_BYTES);
    readSync(this.#handle, bytes, 0, bytes.length, from * HASH_BYTES);
    return Array.from({ length: count }, (_, at) => bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES));
  }
}

function readAll(handle: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const part = Buffer.alloc(1 << 20);
    const length = readSync(handle, part, 0, part.length, at);
    if (length === 0) return Buffer.concat(parts);
    parts.push(part.subarray(0, length));
    at += length;
  }
}
