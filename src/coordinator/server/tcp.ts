import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { BosunError } from "../../protocol/error.ts";
import { httpClose, httpOpen, httpShow } from "../../protocol/hub.ts";
import type { InputOf } from "../../protocol/operation.ts";
import { owner } from "../credentials.ts";
import type { Dispatch } from "../dispatch.ts";
import type { Town } from "../town.ts";
import type { Rules } from "./gate.ts";
import type { HttpDoor } from "./http-door.ts";

/** What was asked for, kept in a file: a coordinator that starts again listens again, on the same port. */
interface Wish {
  host: string;
  port: number;
  origin: string[];
  allowRemote: boolean;
}

const LOOPBACK = "127.0.0.1";
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/**
 * Listening on TCP, when somebody asks for it. Every request there needs a token; the one made for it has the rights of an
 * operator, and is in a file only its owner can read.
 */
export class Tcp {
  readonly #town: Town;
  readonly #door: HttpDoor;
  readonly #file: string;
  #open: (Wish & { tokenFile: string }) | null = null;
  /** One change at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(town: Town, door: HttpDoor) {
    this.#town = town;
    this.#door = door;
    this.#file = join(town.cradle.stateFolder, "http.json");
  }

  register(dispatch: Dispatch): void {
    dispatch.handle(httpOpen, (input) => this.#inTurn(() => this.open(input)));
    dispatch.handle(httpClose, () => this.#inTurn(() => this.#close()));
    dispatch.handle(httpShow, () => ({ url: this.#url(), tokenFile: this.#open?.tokenFile ?? null }));
  }

  /** After a start of the coordinator: listens again where it did. A port that somebody took meanwhile is reported. */
  async restore(): Promise<void> {
    let wish: Wish;
    try {
      wish = JSON.parse(readFileSync(this.#file, "utf8")) as Wish;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      return this.#town.log.warn({ err: error }, "where to listen on TCP cannot be read");
    }
    await this.#inTurn(() => this.open(wish)).catch((error: unknown) =>
      this.#town.log.warn({ err: error }, "not listening on TCP"),
    );
  }

  async open(input: InputOf<typeof httpOpen>) {
    const host = input.host ?? this.#open?.host ?? LOOPBACK;
    const remote = !isLoopback(host);
    if (remote && !input.allowRemote) throw remoteRefused(host);
    const open = this.#open;
    const moved = open && (open.host !== host || (input.port && input.port !== open.port));
    if (moved) {
      throw new BosunError({
        code: "CONFLICT",
        what: `the coordinator already listens on ${this.#url()}`,
        why: "it listens in one place",
        fix: "bosun serve --close, then ask again",
      });
    }
    const origin = input.origin?.map(originOf) ?? open?.origin ?? [];
    const wish = { host, port: open?.port ?? input.port ?? 0, origin, allowRemote: input.allowRemote ?? false };
    const tokenFile = await this.#token();
    const face = await this.#door.face();
    // Asked again: the same port, perhaps with other origins. Those who are connected connect again.
    if (open && !sameOrigins(open.origin, origin)) await face.unlisten();
    if (!open || !sameOrigins(open.origin, origin)) {
      this.#open = null;
      const port = await face.listen(host, wish.port, rulesFor(wish)).catch((error: unknown) => {
        throw notListening(host, wish.port, error);
      });
      this.#open = { ...wish, port, tokenFile };
      this.#keep({ ...wish, port });
    }
    return {
      url: this.#url()!,
      tokenFile,
      ...(remote ? { risk: "other machines can reach it, and nothing on the way is encrypted" } : {}),
    };
  }

  async #close(): Promise<{ closed: boolean }> {
    rmSync(this.#file, { force: true });
    if (!this.#open) return { closed: false };
    this.#open = null;
    await (await this.#door.face()).unlisten();
    return { closed: true };
  }

  #url(): string | null {
    if (!this.#open) return null;
    const { host, port } = this.#open;
    return `http://${inHeader(host)}:${port}`;
  }

  #keep(wish: Wish): void {
    writeFileSync(`${this.#file}.new`, `${JSON.stringify(wish)}\n`, { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
  }

  /** The file with the token in force, made when there is none. */
  async #token(): Promise<string> {
    const { ledger, cradle } = this.#town;
    const { credentials } = cradle;
    const actor = owner().name;
    const file = credentials.fileOf(`${actor}/http`);
    try {
      credentials.actorOf(readFileSync(file, "utf8").trim());
      return file;
    } catch {
      // None yet, or one that is good no more.
    }
    const issued = credentials.issue(actor, "operator", null, 0, `${actor}/http`);
    await ledger.write({ actor, decide: () => ({ events: [issued.event], result: null }) });
    return issued.tokenFile;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

/** Listening everywhere, the machine's own name and addresses are good; another name is one that somebody pointed here. */
function rulesFor({ host, origin }: Wish): Rules {
  const everywhere = host === "0.0.0.0" || host === "::";
  const addresses = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
  const own = everywhere ? [hostname(), ...addresses] : [host];
  return { hosts: new Set([...LOOPBACK_NAMES, ...own.map(inHeader)]), origins: new Set(origin) };
}

/** A host as it stands in a `Host` header and an address. */
function inHeader(host: string): string {
  return isIP(host) === 6 ? `[${host.toLowerCase()}]` : host.toLowerCase();
}

/** `https://desk.example`, as browsers send it. Throws USAGE for what can be none. */
function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && url.origin !== "null" && /^\/?$/.test(url.pathname) && url.search === "") return url.origin;
  throw new BosunError({
    code: "USAGE",
    what: `"${text}" is no origin of a web page`,
    why: "an origin is scheme, host and port: https://desk.example",
    fix: "bosun serve --origin https://desk.example",
  });
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function sameOrigins(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((origin) => other.includes(origin));
}

function remoteRefused(host: string): BosunError {
  return new BosunError({
    code: "REFUSED",
    what: `${host} can be reached from other machines`,
    why: "the token and everything else would cross the network unencrypted; whoever gets it runs the floor",
    fix: "bosun serve --host HOST --allow-remote, behind something that speaks TLS; or ssh -L PORT:127.0.0.1:PORT",
  });
}

function notListening(host: string, port: number, error: unknown): BosunError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new BosunError({
    code: code === "EADDRINUSE" ? "CONFLICT" : "REFUSED",
    what: `nothing can listen on ${host} port ${port}`,
    why: code === "EADDRINUSE" ? "another program has it" : message,
    fix: "bosun serve   takes a free port",
  });
}
