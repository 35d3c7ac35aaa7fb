import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

/** Size and root of the log at a moment, as a signed note (C2SP tlog-checkpoint): its text, and what it says. */
export interface Checkpoint {
  note: string;
  origin: string;
  size: number;
  root: Buffer;
}

/** An Ed25519 signature, as C2SP signed-note numbers them. */
const ED25519 = Buffer.from([1]);

/** Text, an empty line, one signature line. */
const NOTE = /^([^\n]+)\n(\d+)\n([A-Za-z0-9+/=]+)\n\n— (\S+) ([A-Za-z0-9+/=]+)\n/gm;

/**
 * Signed checkpoints of one town, appended to a file outside the log. Who can write this folder can also sign; so a copy of a
 * checkpoint kept elsewhere is what proves the log against its own machine.
 */
export class Checkpoints {
  readonly #file: string;
  readonly #origin: string;
  readonly #key: KeyObject;
  readonly #public: KeyObject;

  /** `keyFile` is made, private, when it is missing. */
  constructor(file: string, keyFile: string, origin: string) {
    this.#file = file;
    this.#origin = origin;
    if (!existsSync(keyFile)) {
      const pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
      writeFileSync(`${keyFile}.new`, pem, { mode: 0o600 });
      renameSync(`${keyFile}.new`, keyFile);
    }
    this.#key = createPrivateKey(readFileSync(keyFile));
    this.#public = createPublicKey(this.#key);
  }

  /** SPKI, PEM. */
  get publicKey(): string {
    return this.#public.export({ type: "spki", format: "pem" }).toString();
  }

  sign(size: number, root: Buffer): Checkpoint {
    const origin = this.#origin;
    const text = `${origin}\n${size}\n${root.toString("base64")}\n`;
    const signature = sign(null, Buffer.from(text), this.#key);
    const signed = Buffer.concat([keyId(origin, this.#public), signature]).toString("base64");
    return { note: `${text}\n— ${origin} ${signed}\n`, origin, size, root };
  }

  append(checkpoint: Checkpoint): void {
    appendFileSync(this.#file, `${checkpoint.note}\n`, { mode: 0o600 });
  }

  /** All that are in the file, oldest first, and how many of them are not signed by our key. */
  read(): { checkpoints: Checkpoint[]; forged: number } {
    const text = existsSync(this.#file) ? readFileSync(this.#file, "utf8") : "";
    const all = notesIn(text);
    const good = all.filter((each) => isSigned(each, this.#public));
    return { checkpoints: good, forged: all.length - good.length };
  }
}

/** Checkpoints in a text, signed by whomever. */
export function notesIn(text: string): Checkpoint[] {
  return [...text.matchAll(NOTE)].map(([note, origin, size, root]) => ({
    note,
    origin: origin!,
    size: Number(size),
    root: Buffer.from(root!, "base64"),
  }));
}

export function isSigned({ note, origin }: Checkpoint, key: KeyObject): boolean {
  const end = note.indexOf("\n\n") + 1;
  const signed = Buffer.from(
    note
      .slice(end + 1)
      .split(" ")
      .at(-1)!,
    "base64",
  );
  return (
    signed.subarray(0, 4).equals(keyId(origin, key)) &&
    verify(null, Buffer.from(note.slice(0, end)), key, signed.subarray(4))
  );
}

/** C2SP signed-note § Signatures: four bytes that say which key, by name and algorithm. */
function keyId(name: string, key: KeyObject): Buffer {
  const raw = key.export({ type: "spki", format: "der" }).subarray(-32);
  return hash("sha256", Buffer.concat([Buffer.from(`${name}\n`), ED25519, raw]), "buffer").subarray(0, 4);
}
