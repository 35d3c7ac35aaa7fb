import {
  appendFileSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { ModelMessage, ToolCallPart } from "ai";
import type { ChatTotals } from "../protocol/chat.ts";

/** One line of the file. */
type Line =
  | { at: string; type: "message"; message: ModelMessage; totals: ChatTotals }
  /** What the model had said so far of an answer that is not whole yet. */
  | { at: string; type: "partial"; text: string }
  | { at: string; type: "turn"; state: "begun" | "done" | "stopped" | "failed"; why?: string; totals: ChatTotals };

/** What a tool's answer is when the process ended between the call and it. */
const UNKNOWN = "It is not known whether this ran: the conversation was interrupted. Look before you call it again.";

/**
 * A conversation on disk: JSON lines, each on the disk before anything else happens, so that a crash at any moment loses no more
 * than the words of an answer that was just coming. What cannot be read is counted and left out.
 */
export class ChatRecord {
  readonly file: string;
  readonly messages: ModelMessage[] = [];
  totals: ChatTotals = { turns: 0, input: 0, output: 0, cost: null };
  damaged = 0;
  /** A turn was begun and never ended. */
  unfinished = false;
  /** What of its answer had come. */
  partial = "";
  readonly #descriptor: number;

  constructor(file: string) {
    this.file = file;
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    appendFileSync(file, "", { mode: 0o600 });
    this.#read();
    this.#descriptor = openSync(file, "a", 0o600);
    this.#mend();
  }

  message(message: ModelMessage): void {
    this.messages.push(message);
    this.partial = "";
    this.#write({ type: "message", message, totals: this.totals });
  }

  said(text: string): void {
    this.partial += text;
    this.#write({ type: "partial", text });
  }

  turn(state: "begun" | "done" | "stopped" | "failed", why?: string): void {
    this.unfinished = state === "begun";
    if (state === "begun") this.totals.turns++;
    this.#write({ type: "turn", state, ...(why !== undefined && { why }), totals: this.totals });
  }

  /** Calls of the last answer that nobody has answered. */
  openCalls(): ToolCallPart[] {
    const at = this.messages.findLastIndex((each) => each.role === "assistant");
    const last = this.messages[at];
    if (last?.role !== "assistant" || typeof last.content === "string") return [];
    const answered = new Set(
      this.messages
        .slice(at + 1)
        .flatMap((each) => (each.role === "tool" ? each.content : []))
        .flatMap((part) => (part.type === "tool-result" ? [part.toolCallId] : [])),
    );
    return last.content.filter((part) => part.type === "tool-call").filter((part) => !answered.has(part.toolCallId));
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #write(line: Record<string, unknown>): void {
    writeSync(this.#descriptor, `${JSON.stringify({ at: new Date().toISOString(), ...line })}\n`);
    fsyncSync(this.#descriptor);
  }

  #read(): void {
    const bytes = readFileSync(this.file);
    const whole = bytes.lastIndexOf(0x0a) + 1;
    // A line that was being written when the process ended.
    if (whole < bytes.length) truncateSync(this.file, whole);
    for (const text of bytes.toString("utf8", 0, whole).split("\n").slice(0, -1)) {
      let line: Line;
      try {
        line = JSON.parse(text) as Line;
      } catch {
        this.damaged++;
        continue;
      }
      if (line.type === "message" && typeof line.message?.role === "string") {
        this.messages.push(line.message);
        this.totals = line.totals ?? this.totals;
        this.partial = "";
      } else if (line.type === "partial" && typeof line.text === "string") this.partial += line.text;
      else if (line.type === "turn" && line.totals) {
        this.unfinished = line.state === "begun";
        this.totals = line.totals;
      } else this.damaged++;
    }
  }

  /** Every call has an answer: no model takes a conversation in which one has none. */
  #mend(): void {
    for (const { toolCallId, toolName } of this.openCalls())
      this.message({
        role: "tool",
        content: [{ type: "tool-result", toolCallId, toolName, output: { type: "error-text", value: UNKNOWN } }],
      });
  }
}
