/** What a proof shows, or why it shows nothing. */
export type Checked = { ok: true; seq: number; size: number; origin: string } | { ok: false; why: string };

interface Proof {
  seq: number;
  entry: string;
  index: number;
  size: number;
  path: string[];
  checkpoint: string;
  publicKey: string;
}

/** Text, an empty line, one signature line (C2SP signed-note). */
const NOTE = /^([^\n]+)\n(\d+)\n([A-Za-z0-9+/=]+)\n\n— \S+ ([A-Za-z0-9+/=]+)\n$/;

/**
 * Checks what `audit prove` gave, with nothing else of the log: the entry's leaf leads along the path to the root (RFC 9162
 * § 2.1.3.2), and the root is signed with `key`, or with the key the proof brings along when that is null.
 */
export function checkProof(text: string, key: string | null): Checked {
  const proof = parsed(text);
  if (!proof) return { ok: false, why: "it is no proof: `bosun audit prove ID` gives one" };
  const { createPublicKey, verify } = process.getBuiltinModule("node:crypto");
  const note = NOTE.exec(proof.checkpoint);
  if (!note) return { ok: false, why: "its checkpoint is no signed note" };
  const [, origin, size, root, signed] = note as unknown as [string, string, string, string, string];
  const signature = Buffer.from(signed, "base64").subarray(4);
  const body = Buffer.from(`${origin}\n${size}\n${root}\n`);
  if (!verify(null, body, createPublicKey(key ?? proof.publicKey), signature)) {
    return { ok: false, why: "the checkpoint is not signed with that key" };
  }
  if (Number(size) !== proof.size) return { ok: false, why: "the checkpoint is of another size" };
  const path = proof.path.map((each) => Buffer.from(each, "hex"));
  const found = rootFrom(hashOf(0, Buffer.from(proof.entry)), proof.index, proof.size, path);
  if (found?.toString("base64") !== root) return { ok: false, why: "the entry does not lead to the signed root" };
  const [position] = JSON.parse(proof.entry) as [number];
  if (position !== proof.seq || proof.index !== position - 1) {
    return { ok: false, why: "the entry stands at another place than the proof says" };
  }
  return { ok: true, seq: proof.seq, size: proof.size, origin };
}

function parsed(text: string): Proof | null {
  try {
    const proof = JSON.parse(text) as Proof;
    const whole =
      [proof.entry, proof.checkpoint, proof.publicKey].every((each) => typeof each === "string") &&
      [proof.seq, proof.index, proof.size].every((each) => Number.isSafeInteger(each)) &&
      Array.isArray(proof.path);
    return whole ? proof : null;
  } catch {
    return null;
  }
}

function rootFrom(leaf: Buffer, index: number, size: number, path: readonly Buffer[]): Buffer | null {
  let place = index;
  let last = size - 1;
  let root = leaf;
  for (const beside of path) {
    if (last === 0) return null;
    if (place % 2 === 1 || place === last) {
      root = hashOf(1, beside, root);
      while (place % 2 === 0 && place !== 0) {
        place = Math.floor(place / 2);
        last = Math.floor(last / 2);
      }
    } else root = hashOf(1, root, beside);
    place = Math.floor(place / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? root : null;
}

/** Leaves begin with 0, inner nodes with 1 (RFC 6962 § 2.1). */
function hashOf(kind: 0 | 1, ...parts: Buffer[]): Buffer {
  const { hash } = process.getBuiltinModule("node:crypto");
  return hash("sha256", Buffer.concat([Buffer.from([kind]), ...parts]), "buffer");
}
