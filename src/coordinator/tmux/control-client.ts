import { type ChildProcess, spawn } from "node:child_process";
import { BosunError } from "../../protocol/error.ts";
import { type ControlEvent, ControlParser } from "./control-parser.ts";
import { type Command, controlLine } from "./words.ts";

/** An answer that takes longer means that the connection, or the server, hangs. */
const ANSWER_WITHIN_MS = 10_000;
const READY_WITHIN_MS = 5_000;

/** Answers of one list of commands: one block each, up to the first that failed. */
interface Waiting {
  expected: number;
  blocks: string[][];
  resolve: (blocks: string[][]) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

/** What tmux said no to; the connection is fine. Between a look and a command what it is about may have ended. */
export class TmuxRefusal extends BosunError {
  constructor(said: string) {
    super(
      /can't find (session|window|pane)|no current (target|session)/.test(said)
        ? { code: "UNKNOWN_SESSION", what: "it has just ended", why: said, fix: "bosun ls shows what runs" }
        : { code: "FAILED", what: "tmux refused", why: said },
    );
    this.said = said;
  }

  /** tmux's own words. */
  readonly said: string;
}

/** One tmux client in control mode. Lists of commands go out at once and are answered in order. */
export class ControlClient {
  /** Resolves when the connection has ended, from whichever side. */
  readonly gone: Promise<void>;
  readonly #tellGone: () => void;
  readonly #child: ChildProcess;
  readonly #onEvent: (event: Exclude<ControlEvent, { kind: "answer" }>) => void;
  readonly #onGone: (because: string) => void;
  #waiting: Waiting[] = [];
  #ready: { resolve: () => void; reject: (error: Error) => void } | null = null;
  #gone: string | null = null;
  #stderr = "";

  constructor(
    argv: string[],
    env: Record<string, string>,
    handlers: {
      onEvent: (event: Exclude<ControlEvent, { kind: "answer" }>) => void;
      onGone: (because: string) => void;
    },
  ) {
    const gone = Promise.withResolvers<void>();
    this.gone = gone.promise;
    this.#tellGone = gone.resolve;
    this.#onEvent = handlers.onEvent;
    this.#onGone = handlers.onGone;
    const parser = new ControlParser((event) => this.#receive(event));
    this.#child = spawn("tmux", argv, { env, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stdout!.on("data", (chunk: Buffer) => {
      try {
        parser.push(chunk);
      } catch (error) {
        this.#lost(error instanceof Error ? error.message : String(error));
      }
    });
    this.#child.stderr!.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString("utf8")).slice(-2_000);
    });
    // EPIPE after the client went; "close" tells the same with the reason.
    this.#child.stdin!.on("error", () => {});
    this.#child.once("error", (error) => this.#lost(error.message));
    this.#child.once("close", () => this.#lost(this.#stderr.trim() || "the control client ended"));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Resolves when the first command, the attaching one, has been answered. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#gone !== null) {
        reject(unreachable(this.#gone));
        return;
      }
      const timer = setTimeout(() => this.#lost("tmux did not answer"), READY_WITHIN_MS);
      this.#ready = {
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
    });
  }

  /** One block of output lines per command. Rejects with TmuxRefusal at the first that fails; those behind it do not run. */
  run(commands: readonly Command[]): Promise<string[][]> {
    if (this.#gone !== null) return Promise.reject(unreachable(this.#gone));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#lost("tmux did not answer in time"), ANSWER_WITHIN_MS);
      this.#waiting.push({ expected: commands.length, blocks: [], resolve, reject, timer });
      this.#child.stdin!.write(controlLine(commands));
    });
  }

  end(): void {
    this.#lost("closed");
  }

  #receive(event: ControlEvent): void {
    if (event.kind !== "answer") {
      this.#onEvent(event);
      return;
    }
    if (!event.ours) {
      if (event.ok) this.#ready?.resolve();
      else this.#ready?.reject(unreachable(event.lines.join(" ")));
      this.#ready = null;
      return;
    }
    const first = this.#waiting[0];
    if (!first) return;
    if (event.ok) {
      first.blocks.push(event.lines);
      if (first.blocks.length < first.expected) return;
    }
    this.#waiting.shift();
    clearTimeout(first.timer);
    if (event.ok) first.resolve(first.blocks);
    else first.reject(new TmuxRefusal(event.lines.join(" ")));
  }

  #lost(because: string): void {
    if (this.#gone !== null) return;
    this.#gone = because;
    this.#child.stdin!.end();
    this.#child.kill("SIGTERM");
    const error = unreachable(because);
    this.#ready?.reject(error);
    for (const each of this.#waiting) {
      clearTimeout(each.timer);
      each.reject(error);
    }
    this.#waiting = [];
    this.#tellGone();
    this.#onGone(because);
  }
}

export function unreachable(because: string): BosunError {
  return new BosunError({
    code: "UNREACHABLE",
    what: "tmux cannot be asked",
    why: because,
    fix: "try again; bosun status shows when it answers",
  });
}
