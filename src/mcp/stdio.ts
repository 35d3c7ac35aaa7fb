import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { type Connection, openConnection, readToken } from "../client/connection.ts";
import type { Place } from "../client/place.ts";
import { BosunError } from "../protocol/error.ts";
import type { AgentInfo } from "../protocol/registry.ts";
import { agentOf, type Caller, type Guest, idFrom, refresh, strangerName, type Wish } from "./guest.ts";
import { mcpServer } from "./server.ts";
import type { Profile } from "./tools.ts";

/** Names that are tried for a stranger who gave none. */
const NAMES_TRIED = 5;

/**
 * The guest of one stdio server. With a credential it is that agent. Without one it comes as the person who owns the socket,
 * and registers an agent of its own at the first call; the token stays in here, no model sees it.
 */
export class StdioGuest implements Guest {
  readonly room: string | null;
  mailShownAtMs = 0;
  readonly #place: Place;
  readonly #reach: () => Promise<void>;
  readonly #speaking = new Map<string, Promise<Connection>>();
  #token: string | undefined;
  #agent: AgentInfo | null = null;
  /** Two calls at once must not register two agents. */
  #opening: Promise<unknown> = Promise.resolve();
  #connection: Promise<Connection> | null = null;
  /** It has registered itself, and takes itself off again. */
  #own = false;
  /** From then on no coordinator is started: one that has stopped meanwhile stays so. */
  #leaving = false;

  /** `reach` makes sure that the coordinator runs. */
  constructor(place: Place, reach: () => Promise<void>, room: string | null) {
    this.#place = place;
    this.#reach = reach;
    this.room = room;
    this.#token = readToken(place.tokenFile);
  }

  async self(): Promise<string> {
    return (
      (await this.#opened({}))?.session_id ?? (await (await this.#connected()).call("message.inbox", { limit: 1 })).who
    );
  }

  async caller(): Promise<Caller> {
    await this.#opened({});
    return this.#connected();
  }

  open(wish: Wish): Promise<AgentInfo | null> {
    return this.#opened(wish);
  }

  async as(id: string): Promise<Caller> {
    if (this.#agent?.session_id === id) return this.#connected();
    if (this.#place.tokenFile === null) return this.#kept(`as ${id}`, () => this.#open(undefined, id));
    throw new BosunError({
      code: "REFUSED",
      what: `you may not speak as ${id}`,
      why: "an agent speaks as its credential says",
      fix: `use ${(await this.#opened({}))?.session_id ?? "your own id"}`,
    });
  }

  /** Leaves word that it has gone; of nobody else's agent. */
  async leave(): Promise<void> {
    this.#leaving = true;
    const connection = await this.#connection?.catch(() => null);
    if (this.#own && connection) await connection.call("agent.status", { status: "offline" }).catch(() => {});
    for (const each of [this.#connection, ...this.#speaking.values()]) (await each?.catch(() => null))?.close();
  }

  #opened(wish: Wish): Promise<AgentInfo | null> {
    const opened = this.#opening.then(() => this.#openNow(wish));
    this.#opening = opened.catch(() => {});
    return opened;
  }

  async #openNow(wish: Wish): Promise<AgentInfo | null> {
    if (this.#agent && (wish.id === undefined || wish.id === this.#agent.session_id)) {
      if (wish.name === undefined && wish.capabilities === undefined) return this.#agent;
      this.#agent = await refresh(await this.#connected(), this.#agent, wish);
      return this.#agent;
    }
    if (this.#place.tokenFile === null) return this.#register(wish);
    const agent = await agentOf(await this.#connected());
    this.#agent = agent && (await refresh(await this.#connected(), agent, wish));
    return this.#agent;
  }

  /** As the person: a new agent, whose credential is used from then on. */
  async #register(wish: Wish): Promise<AgentInfo> {
    const person: Caller = await this.#kept("person", () => this.#open());
    const given = wish.id ?? (wish.name === undefined ? null : idFrom(wish.name));
    for (let attempt = 1; ; attempt++) {
      const id = given ?? strangerName();
      try {
        const { name = id, type = "mcp", user = process.env.USER, capabilities } = wish;
        const facts = { id, name, type, ...(user && { user }), ...(capabilities && { capabilities }) };
        const { agent, tokenFile } = await person.call("agent.register", facts);
        if (this.#agent === null) {
          this.#token = readToken(tokenFile);
          this.#connection = null;
          this.#agent = agent;
          this.#own = true;
        }
        return agent;
      } catch (error) {
        const taken = error instanceof BosunError && error.code === "CONFLICT";
        if (!taken || given !== null || attempt >= NAMES_TRIED) throw error;
      }
    }
  }

  async #connected(): Promise<Connection> {
    if (this.#connection === null) {
      const opening = this.#open(this.#token);
      this.#connection = opening;
      const forget = (): void => {
        if (this.#connection === opening) this.#connection = null;
      };
      opening.then((connection) => void connection.closed.then(forget), forget);
    }
    return this.#connection;
  }

  #kept(name: string, open: () => Promise<Connection>): Promise<Connection> {
    const known = this.#speaking.get(name);
    if (known) return known;
    const opening = open();
    this.#speaking.set(name, opening);
    const forget = (): void => void this.#speaking.delete(name);
    opening.then((connection) => void connection.closed.then(forget), forget);
    return opening;
  }

  async #open(token?: string, as?: string): Promise<Connection> {
    try {
      return await openConnection(this.#place.socket, token, as);
    } catch (error) {
      if (this.#leaving || this.#place.given || !(error instanceof BosunError)) throw error;
      await this.#reach();
      return openConnection(this.#place.socket, token, as);
    }
  }
}

/** Serves until standard input ends. Standard output carries JSON-RPC and nothing else. */
export async function serveOverStdio(
  guest: StdioGuest,
  profile: Profile,
  version: string,
  say: (text: string) => void,
) {
  const serving = serveStdio(() => mcpServer({ guest, profile, version }), { onerror: (error) => say(error.message) });
  await new Promise<void>((ended) => {
    process.stdin.once("close", ended);
    process.stdin.once("end", ended);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => ended());
  });
  await guest.leave();
  await serving.close();
}
