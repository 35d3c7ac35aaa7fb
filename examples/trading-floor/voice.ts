import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";

/**
 * An agent's line to the coordinator, in nothing but `node:net`: what a narrator in any language has to do.
 *
 *   say      every line is queued with a key of its own and leaves the queue only when the coordinator has answered. After a
 *            lost connection the unanswered ones are sent again, under the same keys, so each counts once.
 *   listen   questions arrive as events of `agent.listen`; each is answered with `ask.answer`.
 *   return   a connection that goes is made again, after 0.1 s, 0.2 s, 0.4 s … up to 5 s.
 */
export class Voice {
  readonly #options: VoiceOptions;
  readonly #queue: Queued[] = [];
  readonly #answers = new Map<number, (answer: Answer) => void>();
  #socket: Socket | null = null;
  #nextId = 1;
  #listenId = 0;
  #failures = 0;
  #closed = false;
  #connected: () => void = () => {};
  /** Resolves at the first connection. */
  readonly connected = new Promise<void>((resolve) => {
    this.#connected = resolve;
  });

  constructor(options: VoiceOptions) {
    this.#options = options;
    this.#open();
  }

  /** Lines not yet safe with the coordinator. */
  get waiting(): number {
    return this.#queue.length;
  }

  get online(): boolean {
    return this.#socket !== null;
  }

  /** Queues a line; `said` hears when it is stored. The same key always means the same line. */
  say(line: Line, key: string): void {
    this.#queue.push({ line, key, sent: false });
    this.#flush();
  }

  /** The newest line this agent said in `room`, or null; null too when the coordinator cannot be asked. */
  async lastLine(room: string, agent: string): Promise<{ data?: unknown } | null> {
    const input = { rooms: [room], last: 1, filter: { agent: [agent] } };
    const answer = await new Promise<Answer>((resolve) => this.#request("room.read", input, resolve));
    return (answer.ok as { lines: { data?: unknown }[] } | undefined)?.lines.at(-1) ?? null;
  }

  close(): void {
    this.#closed = true;
    this.#socket?.destroy();
  }

  #open(): void {
    const socket = connect(this.#options.socket);
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("connect", () => {
      this.#failures = 0;
      this.#socket = socket;
      socket.write(`${JSON.stringify({ hello: { v: 1, token: this.#token() } })}\n`);
      this.#listenId = this.#request("agent.listen", {}, (answer) => {
        if (answer.error) this.#options.trouble(`questions will not arrive: ${answer.error.what}`);
      });
      this.#connected();
      this.#flush();
    });
    socket.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (line !== "") this.#receive(JSON.parse(line) as Frame);
    });
    // "close" follows, and does what there is to do.
    socket.on("error", () => {});
    socket.on("close", () => this.#lost());
  }

  /** Read anew each time: a restarted session has a new token in the same place. */
  #token(): string | undefined {
    try {
      return this.#options.tokenFile ? readFileSync(this.#options.tokenFile, "utf8").trim() : undefined;
    } catch {
      // Without it the coordinator refuses, and says so better than we could.
      return undefined;
    }
  }

  #lost(): void {
    if (this.#socket) this.#options.trouble("the coordinator is away; lines wait here");
    this.#socket = null;
    for (const queued of this.#queue) queued.sent = false;
    const open = [...this.#answers.values()];
    this.#answers.clear();
    for (const answer of open) answer({ error: { code: "UNREACHABLE", what: "the connection was lost" } });
    if (this.#closed) return;
    const delayMs = Math.min(5_000, 100 * 2 ** this.#failures++) * (0.75 + Math.random() / 2);
    setTimeout(() => this.#open(), delayMs);
  }

  #request(op: string, input: unknown, answered: (answer: Answer) => void, key?: string): number {
    const id = this.#nextId++;
    this.#answers.set(id, answered);
    this.#socket?.write(`${JSON.stringify({ id, op, in: input, ...(key && { key }) })}\n`);
    return id;
  }

  #receive(frame: Frame): void {
    if (frame.event && frame.id === this.#listenId) {
      const { ask, text } = frame.event;
      this.#request("ask.answer", { ask, text: this.#options.answer(text) }, () => {});
      return;
    }
    if (frame.id === 0 && frame.error) {
      this.#options.trouble(`${frame.error.what}${frame.error.fix ? `; ${frame.error.fix}` : ""}`);
      return;
    }
    const answered = this.#answers.get(frame.id);
    this.#answers.delete(frame.id);
    answered?.(frame);
  }

  #flush(): void {
    if (!this.#socket) return;
    const room = MOST_UNANSWERED - this.#queue.filter((queued) => queued.sent).length;
    for (const queued of this.#queue.filter((each) => !each.sent).slice(0, room)) {
      queued.sent = true;
      this.#request("room.post", queued.line, (answer) => this.#posted(queued, answer), queued.key);
    }
  }

  #posted(queued: Queued, { ok, error }: Answer): void {
    if (error && (error.code === "UNREACHABLE" || error.retryAfterMs !== undefined)) {
      queued.sent = false;
      if (error.retryAfterMs !== undefined) setTimeout(() => this.#flush(), error.retryAfterMs);
      return;
    }
    this.#queue.splice(this.#queue.indexOf(queued), 1);
    if (error) this.#options.trouble(`not said: ${error.what}`);
    else this.#options.said(queued.line, ok as { id: string; duplicate: boolean });
    this.#flush();
  }
}

export interface VoiceOptions {
  socket: string;
  tokenFile: string | undefined;
  /** Gives the answer to a question, at once. */
  answer: (question: string) => string;
  said: (line: Line, stored: { id: string; duplicate: boolean }) => void;
  /** One line about something that went wrong, for the pane. */
  trouble: (text: string) => void;
}

export interface Line {
  room: string;
  msg: string;
  level?: string;
  type?: string;
  tags: string[];
  data: unknown;
}

interface Queued {
  line: Line;
  key: string;
  sent: boolean;
}

interface Answer {
  ok?: unknown;
  error?: { code: string; what: string; fix?: string; retryAfterMs?: number };
}

interface Frame extends Answer {
  id: number;
  event?: { ask: string; from: string; text: string };
}

/** Enough on the way to hide the time of a durable write; a line of ours is some 200 bytes. */
const MOST_UNANSWERED = 64;
