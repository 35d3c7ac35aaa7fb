import type { ToolCallPart } from "ai";
import { sanitise } from "../protocol/text.ts";
import { keysOf } from "../terminal/keys.ts";
import { LineEditor } from "../terminal/line-editor.ts";
import { promptRows } from "./prompt.ts";
import { type Conversation, ceiling, takeTurn } from "./turn.ts";

export interface ChatTerminal {
  columns(): number;
  write(text: string): void;
  colour: boolean;
}

/** What the conversation does, told to the coordinator; gives a line to pass on to the model, or null. */
export type Signal = (
  type: "turn.begun" | "turn.ended" | "approval" | "failed",
  text?: string,
) => Promise<string | null>;

/** Before what a person has said: not the prompt, behind which something is still being typed. */
const SAID = "»";

/** Earlier messages shown when a conversation is taken up again. */
const SHOWN_BEFORE = 20;

/** Of a tool's input and answer, so much is shown. */
const SHOWN_CHARS = 300;

/** A conversation on a terminal: what is typed goes to the model, what it says appears as it comes. */
export class Chat {
  readonly #conversation: Conversation;
  readonly #terminal: ChatTerminal;
  readonly #signal: Signal;
  readonly #leave: () => void;
  readonly #editor = new LineEditor();
  readonly #waiting: string[] = [];
  /** Row of the cursor in the prompt that is drawn, or null while none is. */
  #drawn: number | null = null;
  #turn: AbortController | null = null;
  #asked: ((word: "yes" | "always" | "no") => void) | null = null;

  constructor(conversation: Conversation, terminal: ChatTerminal, signal: Signal, leave: () => void) {
    this.#conversation = conversation;
    this.#terminal = terminal;
    this.#signal = signal;
    this.#leave = leave;
  }

  /** Shows what was said, and goes on with a turn that was interrupted. */
  async start(): Promise<void> {
    const { record, spec, tools } = this.#conversation;
    this.#say(
      this.#dim(`${spec.model} · ${Object.keys(tools.set).length} tools · escape stops an answer, ctrl-d leaves`),
    );
    for (const { server, why } of tools.missing)
      this.#say(this.#dim(`no tools of ${sanitise(server)}: ${sanitise(why)}`));
    if (record.damaged > 0)
      this.#say(this.#dim(`${record.damaged} lines of ${record.file} cannot be read; the rest is here`));
    for (const message of record.messages.slice(-SHOWN_BEFORE)) {
      const text = typeof message.content === "string" ? message.content : textOf(message.content);
      if (text === "") continue;
      this.#say(message.role === "user" ? `${this.#bold(SAID)} ${sanitise(text)}` : sanitise(text));
    }
    if (record.unfinished) {
      if (record.partial !== "") this.#say(sanitise(record.partial));
      this.#say(this.#dim("interrupted here; the question is asked again"));
      await this.#take(null);
    } else {
      this.#draw();
      await this.#signal("turn.ended");
    }
  }

  input(text: string): void {
    for (const key of keysOf(text)) {
      if ("text" in key) this.#typed(key.text);
      else this.#pressed(key.key);
    }
    this.#draw();
  }

  resized(): void {
    this.#draw();
  }

  #typed(text: string): void {
    if (this.#asked) {
      const word = ({ y: "yes", a: "always", n: "no" } as const)[text.trim().toLowerCase().slice(0, 1)];
      if (word) this.#asked(word);
      return;
    }
    this.#editor.insert(text.replaceAll(/\r\n?/g, "\n"));
  }

  #pressed(key: string): void {
    const editor = this.#editor;
    if (this.#asked) {
      if (key === "escape") this.#asked("no");
      if (key === "ctrl-c") this.#stop();
    } else if (key === "escape" || key === "ctrl-c") {
      if (this.#turn) this.#stop();
      else editor.set("");
    } else if (key === "ctrl-d" && editor.text === "" && !this.#turn) this.#leave();
    else if (key !== "enter") editor.key(key);
    else if (editor.text.trim() !== "") {
      const wish = editor.take();
      if (this.#turn) this.#waiting.push(wish);
      else void this.#take(wish);
    }
  }

  #stop(): void {
    this.#turn?.abort();
    this.#asked?.("no");
  }

  /** One turn, and those that were typed meanwhile. Null: the one that was begun before. */
  async #take(wish: string | null): Promise<void> {
    const { record } = this.#conversation;
    this.#turn = new AbortController();
    this.#erase();
    if (wish !== null) this.#say(`${this.#bold(SAID)} ${sanitise(wish)}`);
    let why: string | null = null;
    try {
      const told = await this.#signal("turn.begun");
      record.turn("begun");
      if (wish !== null) record.message({ role: "user", content: told === null ? wish : `${wish}\n\n(${told})` });
      await takeTurn(this.#conversation, this, this.#turn.signal);
      record.turn("done");
    } catch (error) {
      const stopped = this.#turn.signal.aborted;
      why = stopped ? null : error instanceof Error ? error.message : String(error);
      // What had come of the answer is part of the conversation.
      if (record.partial !== "") record.message({ role: "assistant", content: `${record.partial} …` });
      for (const { toolCallId, toolName } of record.openCalls())
        record.message({
          role: "tool",
          content: [
            { type: "tool-result", toolCallId, toolName, output: { type: "error-text", value: "stopped by a person" } },
          ],
        });
      record.turn(stopped ? "stopped" : "failed", why ?? "a person stopped it");
    }
    this.#turn = null;
    this.#terminal.write("\r\n");
    if (why !== null) this.#say(`! ${sanitise(why)}`);
    const { input, output, cost } = record.totals;
    const reached = ceiling(this.#conversation);
    this.#say(
      this.#dim(
        `${input} tokens in, ${output} out${cost === null ? "" : `, $${cost.toFixed(4)}`}${reached ? ` · ${reached}` : ""}`,
      ),
    );
    const next = this.#waiting.shift();
    if (next !== undefined) return this.#take(next);
    this.#draw();
    const last = record.messages.at(-1);
    const said = last?.role === "assistant" && typeof last.content !== "string" ? textOf(last.content) : undefined;
    await this.#signal(why === null ? "turn.ended" : "failed", why ?? said);
  }

  text(delta: string): void {
    this.#terminal.write(sanitise(delta).replaceAll("\n", "\r\n"));
  }

  tool(call: ToolCallPart, { ok, text }: { ok: boolean; text: string }): void {
    this.#say(this.#dim(`\n${ok ? "✓" : "✗"} ${call.toolName} ${shortened(JSON.stringify(call.input))}`));
    this.#say(this.#dim(`  ${shortened(text)}`));
  }

  async approve(call: ToolCallPart): Promise<"yes" | "always" | "no"> {
    const wish = `${call.toolName} ${shortened(JSON.stringify(call.input))}`;
    this.#say(`\nMay it call ${wish}?\n${this.#bold("y")} yes · ${this.#bold("a")} always · ${this.#bold("n")} no`);
    void this.#signal("approval", wish);
    const word = await new Promise<"yes" | "always" | "no">((resolve) => {
      this.#asked = resolve;
    });
    this.#asked = null;
    this.#say(word);
    void this.#signal("turn.begun");
    return word;
  }

  #say(text: string): void {
    this.#erase();
    this.#terminal.write(`${text.replaceAll("\n", "\r\n")}\r\n`);
  }

  #erase(): void {
    if (this.#drawn === null) return;
    this.#terminal.write(`${this.#drawn > 0 ? `\x1b[${this.#drawn}A` : ""}\r\x1b[J`);
    this.#drawn = null;
  }

  /** The prompt stands only while it is for the person to speak: then, and only then, can anything be typed for them. */
  #draw(): void {
    if (this.#turn) return;
    this.#erase();
    const { rows, x, y } = promptRows(sanitise(this.#editor.text), this.#editor.cursor, this.#terminal.columns());
    const up = rows.length - 1 - y;
    this.#terminal.write(`${rows.join("\r\n")}${up > 0 ? `\x1b[${up}A` : ""}\r\x1b[${x}C`);
    this.#drawn = y;
  }

  #dim(text: string): string {
    return this.#terminal.colour ? `\x1b[2m${text}\x1b[m` : text;
  }

  #bold(text: string): string {
    return this.#terminal.colour ? `\x1b[1m${text}\x1b[m` : text;
  }
}

function textOf(content: readonly { type: string; text?: string }[]): string {
  return content.flatMap((part) => (part.type === "text" ? [part.text ?? ""] : [])).join("");
}

function shortened(text: string): string {
  const line = sanitise(text).replaceAll("\n", " ");
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS)}…` : line;
}
