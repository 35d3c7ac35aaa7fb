import { createPublicKey, hash } from "node:crypto";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { chainHash, GENESIS } from "./chain.ts";
import { isSigned, notesIn } from "./checkpoints.ts";
import { Leaves } from "./leaves.ts";
import { type Ledger, openLedger, verifyFolder } from "./ledger.ts";
import { BLOCK, GrowingRoot, leafOf, pathOf, rootOf } from "./merkle.ts";

const root = mkdtempSync(join(tmpdir(), "bosun-merkle-"));
afterAll(() => rmSync(root, { recursive: true }));

const sha = (...parts: Buffer[]): Buffer => hash("sha256", Buffer.concat(parts), "buffer");

/** RFC 6962 § 2.1, word for word. */
function defined(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return sha();
  if (leaves.length === 1) return leaves[0]!;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return sha(Buffer.from([1]), defined(leaves.slice(0, k)), defined(leaves.slice(k)));
}

/** RFC 9162 § 2.1.3.2: from a leaf and the way up to a root. */
function rootFrom(leaf: Buffer, index: number, size: number, path: readonly Buffer[]): Buffer | null {
  let fn = index;
  let sn = size - 1;
  let r = leaf;
  for (const p of path) {
    if (sn === 0) return null;
    if (fn % 2 === 1 || fn === sn) {
      r = sha(Buffer.from([1]), p, r);
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else r = sha(Buffer.from([1]), r, p);
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 ? r : null;
}

const leavesOf = (count: number): Buffer[] => Array.from({ length: count }, (_, index) => leafOf(`entry ${index}`));

test("the root is the one RFC 6962 defines, grown or computed at once, and every path leads to it", () => {
  for (let count = 0; count <= 70; count++) {
    const leaves = leavesOf(count);
    const growing = new GrowingRoot();
    for (const leaf of leaves) growing.add(leaf);
    expect([rootOf(leaves).equals(defined(leaves)), growing.root().equals(defined(leaves))]).toEqual([true, true]);
    for (let index = 0; index < count; index++) {
      expect(rootFrom(leaves[index]!, index, count, pathOf(leaves, index))?.equals(defined(leaves))).toBe(true);
    }
  }
});

test("leaves in a file give the same root and paths over block borders, also when opened again", () => {
  const file = join(root, "leaves");
  const all = leavesOf(3 * BLOCK + 5);
  let leaves = new Leaves(file);
  let at = 0;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 700 }), fc.boolean(), (count, again) => {
      leaves.add(all.slice(at, at + count));
      at = Math.min(all.length, at + count);
      if (again) {
        leaves.close();
        leaves = new Leaves(file);
      }
      expect([leaves.size, leaves.root().equals(defined(all.slice(0, at)))]).toEqual([at, true]);
    }),
    { numRuns: 12 },
  );
  leaves.add(all.slice(at));
  for (const index of [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 7, 3 * BLOCK, 3 * BLOCK + 4]) {
    expect(rootFrom(all[index]!, index, all.length, leaves.path(index))?.equals(defined(all))).toBe(true);
  }
  leaves.close();
});

const write = (ledger: Ledger, because: string) =>
  ledger.write({
    actor: "person:ann",
    decide: () => ({ events: [{ type: "coordinator.stopped", data: { pid: 1, because } }], result: null }),
  });

async function town(name: string, entries: number): Promise<string> {
  const folder = join(root, name);
  const ledger = openLedger({ folder, projections: [], origin: `bosun/${name}` });
  for (let n = 1; n <= entries; n++) await write(ledger, `entry ${n}`);
  await ledger.close();
  return folder;
}

/** Changes entry `position` as somebody would who knows how: the whole chain behind it is computed anew. */
function rewrite(folder: string, position: number): void {
  const db = new DatabaseSync(join(folder, "log.sqlite"));
  const changed = JSON.stringify({ pid: 1, because: "nothing happened" });
  db.prepare("UPDATE log SET data = ? WHERE position = ?").run(changed, position);
  let previous = GENESIS;
  const columns = "position, at_ms AS atMs, actor, type, data";
  for (const row of db.prepare(`SELECT ${columns} FROM log ORDER BY position`).all() as never[]) {
    previous = chainHash(previous, row);
    db.prepare("UPDATE log SET hash = ? WHERE position = ?").run(previous, (row as { position: number }).position);
  }
  const { n } = db.prepare("SELECT MAX(position) AS n FROM log").get() as { n: number };
  db.close();
  writeFileSync(join(folder, "head.json"), JSON.stringify({ position: n, hash: previous }));
}

test("S4-85: one changed byte is found and its entry named", async () => {
  const folder = await town("byte", 30);
  const db = new DatabaseSync(join(folder, "log.sqlite"));
  db.exec("UPDATE log SET data = replace(data, 'entry 17', 'entry 71') WHERE position = 17");
  db.close();
  expect(verifyFolder(folder)).toMatchObject({ ok: false, firstBad: 17, entries: 16 });
});

test("S4-85: whoever computes the chain anew behind a change is found by the leaves, entry by entry", async () => {
  const folder = await town("chain", 30);
  expect(verifyFolder(folder)).toMatchObject({ ok: true, entries: 30, checkpoints: 1 });
  rewrite(folder, 12);
  expect(verifyFolder(folder)).toMatchObject({ ok: false, firstBad: 12 });
  const ledger = openLedger({ folder, projections: [] });
  await write(ledger, "goes on");
  expect(await ledger.verifySlowly()).toMatchObject({ ok: false, firstBad: 12 });
  await ledger.close();
});

test("S4-85: whoever computes the leaves anew as well is found by the signed checkpoints; a signature cannot be invented", async () => {
  const folder = await town("signed", 30);
  rewrite(folder, 12);
  rmSync(join(folder, "leaves.bin"));
  expect(verifyFolder(folder)).toMatchObject({ ok: false, firstBad: 1, why: expect.stringContaining("1 to 30") });
  const file = join(folder, "checkpoints.txt");
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/\n30\n/, "\n29\n"));
  expect(verifyFolder(folder)).toMatchObject({
    ok: false,
    why: expect.stringContaining("not signed by this town's key"),
  });
});

test("S4-85: a missing end is found by leaves and checkpoints, without the mark", async () => {
  const folder = await town("end", 30);
  const db = new DatabaseSync(join(folder, "log.sqlite"));
  db.exec("DELETE FROM log WHERE position > 25");
  db.close();
  rmSync(join(folder, "head.json"));
  expect(verifyFolder(folder)).toMatchObject({
    ok: false,
    firstBad: 26,
    why: expect.stringContaining("last 5 entries"),
  });
});

test("leaves that a crash left behind, or a power cut as zeroes, are made up for; the log is whole", async () => {
  const folder = await town("crash", 30);
  const file = join(folder, "leaves.bin");
  truncateSync(file, 20 * 32 + 7);
  await openLedger({ folder, projections: [] }).close();
  expect(verifyFolder(folder)).toMatchObject({ ok: true, entries: 30 });
  truncateSync(file, 22 * 32);
  appendFileSync(file, Buffer.alloc(8 * 32));
  await openLedger({ folder, projections: [] }).close();
  expect(verifyFolder(folder)).toMatchObject({ ok: true, entries: 30 });
});

test("an entry is proven to somebody who has only the public key", async () => {
  const folder = await town("proof", 40);
  const ledger = openLedger({ folder, projections: [], origin: "bosun/proof" });
  const proof = ledger.prove(17);
  expect(() => ledger.prove(41)).toThrow(/no entry 41/);
  await ledger.close();
  const buffers = proof.path.map((each) => Buffer.from(each, "hex"));
  expect(JSON.parse(JSON.parse(proof.entry)[4])).toEqual({ pid: 1, because: "entry 17" });
  expect(rootFrom(leafOf(proof.entry), proof.index, proof.size, buffers)?.toString("hex")).toBe(proof.root);
  const [checkpoint] = notesIn(proof.checkpoint);
  expect([checkpoint!.origin, checkpoint!.size, checkpoint!.root.toString("hex")]).toEqual([
    "bosun/proof",
    40,
    proof.root,
  ]);
  expect(isSigned(checkpoint!, createPublicKey(proof.publicKey))).toBe(true);
});
