import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import type { Role } from "../protocol/operation.ts";
import type { Actor } from "./dispatch.ts";
import { Refusal } from "./refusals.ts";
import type { CredentialRow } from "./sessions/projection.ts";

export interface Issued {
  tokenFile: string;
  event: Event;
}

/** A credential whose token is not in its file yet. */
export interface Minted extends Issued {
  /** Writes the token file; after the event is durable, so that a refused command replaces nobody's file. */
  save(): void;
}

/** What a caller says about itself before its requests; any of it may be missing. */
export interface Introduction {
  token?: string | undefined;
  /** The registered agent it speaks as. */
  as?: string | undefined;
}

/**
 * Tokens for the programs we start and for strangers who register: 256 random bits in a file only we may read, its SHA-256
 * in the log. One per actor and epoch: when the session starts again, or the agent is registered anew, the old one stops
 * working (STALE_EPOCH).
 *
 * Programs of one user can read each other's files: this gives accountability, not walls.
 */
export class Credentials {
  readonly #folder: string;
  readonly #find: (hash: string) => CredentialRow | null;
  readonly #epochOf: (agent: string) => number | null;

  /** `epochOf` gives the epoch of a registered agent, null when nobody is registered under that id. */
  constructor(
    stateFolder: string,
    find: (hash: string) => CredentialRow | null,
    epochOf: (agent: string) => number | null,
  ) {
    this.#folder = join(stateFolder, "tokens");
    this.#find = find;
    this.#epochOf = epochOf;
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  /**
   * Writes the token file; the caller appends `event` in the same command as the start it belongs to. `fileName` sets apart
   * a second credential of one actor.
   */
  issue(actor: string, role: Role, session: string | null, epoch: number, fileName = actor): Issued {
    const { save, ...issued } = this.mint(actor, role, session, epoch, fileName);
    save();
    return issued;
  }

  /** As `issue`, and writes nothing yet. */
  mint(actor: string, role: Role, session: string | null, epoch: number, fileName = actor): Minted {
    const token = `bosun_tok_${randomBytes(32).toString("base64url")}`;
    const tokenFile = this.fileOf(fileName);
    return {
      tokenFile,
      event: { type: "credential.issued", data: { hash: hashOf(token), actor, role, session, epoch } },
      save() {
        // Another file in its place at once: nobody reads half a token.
        writeFileSync(`${tokenFile}.new`, token, { mode: 0o600 });
        renameSync(`${tokenFile}.new`, tokenFile);
      },
    };
  }

  /** A file name no actor can bend: letters and digits of the id, and a hash that keeps two ids apart. */
  fileOf(actor: string): string {
    const readable = actor.replace(/[^A-Za-z0-9_-]+/g, "_").slice(0, 48);
    return join(this.#folder, `${readable}.${hashOf(actor).slice(0, 8)}`);
  }

  /**
   * Who is calling, by their credential; with `as`, the registered agent they speak as. That is for people who run the town
   * (`admin`); anybody else may only name themselves. Throws Refusal (REFUSED, STALE_EPOCH), or UNKNOWN_AGENT.
   */
  identify({ token, as }: Introduction): Actor {
    const actor = this.actorOf(token);
    if (as === undefined || as === actor.id || as === actor.name) return actor;
    if (actor.kind !== "person" || actor.role !== "admin") {
      throw new Refusal(
        {
          code: "REFUSED",
          what: `${actor.id} may not speak as ${as}`,
          why: "only a person who is admin may speak as an agent; everybody else speaks as their credential says",
          fix: `leave the name away to speak as ${actor.id}`,
        },
        { claimed: as, actor: actor.name },
      );
    }
    const epoch = this.#epochOf(as);
    if (epoch === null) {
      throw new BosunError({
        code: "UNKNOWN_AGENT",
        what: `nobody is registered as "${as}"`,
        why: "to speak as an agent, it must be registered",
        fix: "bosun list --all   shows who is registered; bosun register ID NAME TYPE adds one",
      });
    }
    return { name: `agent:${as}`, id: as, kind: "agent", role: "agent", session: null, epoch, via: actor.name };
  }

  /** Without a token the caller is the person whose socket it is: only they can open it (mode 0600). Throws Refusal. */
  actorOf(token: string | undefined): Actor {
    if (token === undefined) return owner();
    const row = this.#find(hashOf(token));
    if (!row) {
      throw new Refusal({
        code: "REFUSED",
        what: "this credential is not known here",
        why: "it belongs to another town, or its town's state was removed",
        fix: "unset BOSUN_TOKEN_FILE to act as yourself, or enrol again with `bosun enrol NAME`",
      });
    }
    if (row.stale || row.revoked !== null) {
      throw new Refusal(
        {
          code: "STALE_EPOCH",
          what: `the credential of ${row.actor} is from a run that has ended`,
          why: row.revoked ?? "its session was started again since",
          fix: "use the credential of the new run: its file stands in BOSUN_TOKEN_FILE, and `bosun register` prints it",
        },
        { actor: row.actor },
      );
    }
    const [kind = "program", id = row.actor] = splitOnce(row.actor, ":");
    const epoch = (kind === "agent" ? this.#epochOf(id) : null) ?? row.epoch;
    return { name: row.actor, id, kind: kind as Actor["kind"], role: row.role as Role, session: row.session, epoch };
  }

  forget(actor: string): void {
    rmSync(this.fileOf(actor), { force: true });
  }
}

let ownerId: string | undefined;

/** The person who owns the town: the user this process runs as. */
export function owner(): Actor {
  // Asked for with every call of theirs, and to ask the system reads a file.
  ownerId ??= userInfo().username;
  const id = process.env.BOSUN_USER || ownerId;
  return { name: `person:${id}`, id, kind: "person", role: "admin", session: null, epoch: 0 };
}

/**
 * What a request says about its sender must be what the credential says. Throws Refusal (REFUSED) for another's name, and
 * for `human: true` from anybody but a person.
 */
export function checkClaims(actor: Actor, claims: { from?: string | undefined; human?: boolean | undefined }): void {
  const { from, human } = claims;
  if (from !== undefined && from !== actor.id && from !== actor.name) {
    throw new Refusal(
      {
        code: "REFUSED",
        what: `${actor.id} may not write as ${from}`,
        why: "who wrote it comes from the credential",
        fix: "leave `from` away; a person who is admin may speak as an agent by naming it when the connection opens",
      },
      { claimed: `from ${from}` },
    );
  }
  if (human === true && actor.kind !== "person") {
    throw new Refusal(
      {
        code: "REFUSED",
        what: `${actor.id} is not a person`,
        why: "only the credential of a person may say so",
        fix: "leave `human` away",
      },
      { claimed: "human" },
    );
  }
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

function splitOnce(text: string, separator: string): [string, string] | [] {
  const at = text.indexOf(separator);
  return at < 0 ? [] : [text.slice(0, at), text.slice(at + 1)];
}
