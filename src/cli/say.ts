import { userInfo } from "node:os";
import { type Connection, openConnection, readToken } from "../client/connection.ts";
import type { OperationInput } from "../client/operations.gen.ts";
import { BosunError, toErrorBody } from "../protocol/error.ts";
import type { Line } from "../protocol/room.ts";
import type { Invocation } from "./command.ts";
import { retryAfterMs } from "./feed.ts";
import { FeedLines } from "./feed-lines.ts";
import { printError } from "./print-error.ts";
import { pause } from "./time.ts";

type Post = OperationInput<"room.post">;

/** Lines on their way at once: enough to hide a durable write's latency, few enough to hold in memory. */
const MOST_UNANSWERED = 512;

/** A line of input as something to post: a JSON object with a text, or the line itself. Null for an empty line. */
export function postOf(text: string, base: Post): Post | null {
  if (text.trim() === "") return null;
  if (text.startsWith("{")) {
    try {
      const { msg, content, level, tags, type, data } = JSON.parse(text) as Record<string, unknown>;
      if (typeof (msg ?? content) === "string") {
        const given = { msg: msg ?? content, level, tags, type, data };
        return {
          ...base,
          ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
        } as Post;
      }
    } catch {
      // Not JSON after all: a text that begins with a brace.
    }
  }
  return { ...base, msg: text };
}

/**
 * Posts every line of stdin, pipelined, and prints each when it is durable, in the order of the input. A lost connection is
 * made again and unanswered lines are sent again under the same key, so each counts once.
 */
export async function sayFromStdin(invocation: Invocation, base: Post): Promise<number> {
  const { createInterface } = await import("node:readline");
  const { randomUUID } = await import("node:crypto");
  const place = invocation.place();
  const run = randomUUID();
  const link = new Link(await invocation.connect(), () => openConnection(place.socket, readToken(place.tokenFile)));
  const echo = echoOf(invocation);
  let count = 0;
  let failed = 0;
  let open = 0;
  let wake: (() => void) | undefined;
  let printed: Promise<void> = Promise.resolve();
  for await (const text of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    const post = postOf(text, base);
    if (!post) continue;
    open += 1;
    const said = link.post(post, `${run}-${++count}`).then(
      (answer) => () => echo(post, answer),
      (error: unknown) => () => {
        failed += 1;
        printError(toErrorBody(error), invocation.out);
      },
    );
    printed = printed.then(async () => {
      (await said)();
      open -= 1;
      wake?.();
    });
    while (open >= MOST_UNANSWERED) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  await printed;
  link.close();
  return failed > 0 ? 1 : 0;
}

function echoOf({ out }: Invocation): (post: Post, answer: { id: string; seq: number; ts: string }) => void {
  if (out.wish.json) return (_, answer) => out.json(answer);
  if (out.wish.quiet) return () => {};
  const look = { roomColumn: true, fields: null, toTerminal: out.stdoutIsTerminal, style: out.style.bind(out) };
  const lines = new FeedLines({ ...look, form: out.wish.plain ? "plain" : "pane" });
  const from = process.env.BOSUN_AGENT || process.env.BOSUN_USER || userInfo().username;
  return (post, { id, seq, ts }) => {
    const said: Line = {
      id,
      seq,
      ts,
      room: post.room,
      from,
      type: "",
      level: post.level ?? "info",
      msg: post.msg ?? "",
      tags: post.tags ?? [],
    };
    const text = lines.text(said);
    out.write(out.wish.plain ? text : `${text.slice(0, -1)}  ${out.style(id, "dim")}\n`);
  };
}

/** A connection that comes back. */
class Link {
  #connection: Promise<Connection>;
  readonly #reconnect: () => Promise<Connection>;

  constructor(first: Connection, reconnect: () => Promise<Connection>) {
    this.#connection = Promise.resolve(first);
    this.#reconnect = reconnect;
  }

  async post(post: Post, key: string): Promise<{ id: string; seq: number; ts: string }> {
    for (;;) {
      const used = this.#connection;
      try {
        // `then` instead of `await`: lines must reach the socket in the order they were read.
        return await used.then((connection) => connection.call("room.post", post, { key }));
      } catch (error) {
        if (!(error instanceof BosunError) || error.code !== "UNREACHABLE") throw error;
        if (this.#connection === used) this.#connection = this.#again();
      }
    }
  }

  async #again(): Promise<Connection> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#reconnect();
      } catch (error) {
        if (!(error instanceof BosunError) || error.code !== "UNREACHABLE") throw error;
        await pause(retryAfterMs(attempt, Math.random()));
      }
    }
  }

  close(): void {
    void this.#connection.then((connection) => connection.close());
  }
}
