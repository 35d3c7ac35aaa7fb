import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import type { Role } from "../protocol/operation.ts";
import type { Actor } from "./dispatch.ts";
import type { CredentialRow } from "./sessions/projection.ts";

export interface Issued {
  tokenFile: string;
  event: Event;
}

/** What a caller says about itself before its requests; any of it may be missing. */
export interface Introduction {
  token?: string | undefined;
  /** The registered agent it speaks as. */
  as?: string | undefined;
}

/**
 * Tokens for the programs we start and for strangers who enrol: 256 random bits in a file only we may read, its SHA-256 in
 * the log. One per actor and epoch: when the session starts again, the old one stops working (STALE_EPOCH).
 *
 * Programs of one user can read each other's files: this gives accountability, not walls.
 */
export class Credentials {
  readonly #folder: string;
  readonly #find: (hash: string) => CredentialRow | null;

  constructor(stateFolder: string, find: (hash: string) => CredentialRow | null) {
    this.#folder = join(stateFolder, "tokens");
    this.#find = find;
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  /**
   * Writes the token file; the caller appends `event` in the same command as the start it belongs to. `fileName` sets apart
   * a second credential of one actor.
   */
  issue(actor: string, role: Role, session: string | null, epoch: number, fileName = actor): Issued {
    const token = `bosun_tok_${randomBytes(32).toString("base64url")}`;
    const tokenFile = this.fileOf(fileName);
    writeFileSync(tokenFile, token, { mode: 0o600 });
    return {
      tokenFile,
      event: { type: "credential.issued", data: { hash: hashOf(token), actor, role, session, epoch } },
    };
  }

  /** A file name no actor can bend: letters and digits of the id, and a hash that keeps two ids apart. */
  fileOf(actor: string): string {
    const readable = actor.replace(/[^A-Za-z0-9_-]+/g, "_").slice(0, 48);
    return join(this.#folder, `${readable}.${hashOf(actor).slice(0, 8)}`);
  }

  /** Without a token the caller is the person whose socket it is: only they can open it (mode 0600). */
  actorOf(token: string | undefined): Actor {
    if (token === undefined) return owner();
    const row = this.#find(hashOf(token));
    if (!row) {
      throw new BosunError({
        code: "REFUSED",
        what: "this credential is not known here",
        why: "it belongs to another town, or its town's state was removed",
        fix: "unset BOSUN_TOKEN_FILE to act as yourself, or enrol again with `bosun enrol NAME`",
      });
    }
    if (row.stale || row.revoked !== null) {
      throw new BosunError({
        code: "STALE_EPOCH",
        what: `the credential of ${row.actor} is from a run that has ended`,
        why: "its session was started again since",
        fix: "use the credential of the new run: it stands in its environment as BOSUN_TOKEN_FILE",
      });
    }
    const [kind = "program", id = row.actor] = splitOnce(row.actor, ":");
    return { name: row.actor, id, kind: kind as Actor["kind"], role: row.role as Role, session: row.session };
  }

  forget(actor: string): void {
    rmSync(this.fileOf(actor), { force: true });
  }
}

/** The person who owns the town: the user this process runs as. */
export function owner(): Actor {
  const id = process.env.BOSUN_USER || userInfo().username;
  return { name: `person:${id}`, id, kind: "person", role: "admin", session: null };
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

function splitOnce(text: string, separator: string): [string, string] | [] {
  const at = text.indexOf(separator);
  return at < 0 ? [] : [text.slice(0, at), text.slice(at + 1)];
}
