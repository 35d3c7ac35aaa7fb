import { type LanguageModel, streamText, type ToolCallPart } from "ai";
import type { ChatSpec } from "../protocol/chat.ts";
import type { ChatRecord } from "./record.ts";
import type { Tools } from "./tools.ts";

/** Answers of one turn that ask for tools: a model that never ends is stopped. */
const MOST_STEPS = 50;

/** Words of an answer are on the disk within this. */
const KEPT_EVERY_MS = 500;

/** What a turn shows and asks. */
export interface TurnFace {
  text(delta: string): void;
  tool(call: ToolCallPart, answer: { ok: boolean; text: string }): void;
  /** Asks a person; resolves with their word. */
  approve(call: ToolCallPart): Promise<"yes" | "always" | "no">;
}

export interface Conversation {
  spec: ChatSpec;
  model: LanguageModel;
  tools: Tools;
  record: ChatRecord;
  /** Tools a person has allowed for good in this run. */
  allowed: Set<string>;
}

/** The ceiling that is reached, in words, or null. */
export function ceiling({ spec, record }: Pick<Conversation, "spec" | "record">): string | null {
  const { input, output, cost } = record.totals;
  if (spec.max_tokens !== undefined && input + output >= spec.max_tokens)
    return `${input + output} of ${spec.max_tokens} tokens are used (max_tokens)`;
  if (spec.max_cost !== undefined && cost !== null && cost >= spec.max_cost)
    return `$${cost.toFixed(4)} of $${spec.max_cost} are spent (max_cost)`;
  return null;
}

/**
 * From the last message to an answer that asks for nothing more. Every answer and every tool's result is kept before the next
 * thing happens. Throws what the model's endpoint says, and AbortError.
 */
export async function takeTurn(conversation: Conversation, face: TurnFace, signal: AbortSignal): Promise<void> {
  const { record, tools } = conversation;
  for (let step = 0; step < MOST_STEPS; step++) {
    const reached = ceiling(conversation);
    if (reached !== null) throw new Error(reached);
    await answer(conversation, face, signal);
    const calls = record.openCalls();
    // A call of a tool that is not there has been answered already.
    if (calls.length === 0 && record.messages.at(-1)?.role !== "tool") return;
    for (const call of calls) {
      signal.throwIfAborted();
      const said = await mayRun(conversation, face, call);
      const result = said
        ? await tools.call(call.toolName, call.input)
        : { ok: false, text: "A person has refused this call. Do not try it again; go on without it, or ask." };
      record.message({
        role: "tool",
        content: [
          {
            type: "tool-result",
            toolCallId: call.toolCallId,
            toolName: call.toolName,
            output: { type: result.ok ? "text" : "error-text", value: result.text },
          },
        ],
      });
      face.tool(call, result);
    }
  }
  throw new Error(`it asked for tools ${MOST_STEPS} times in one turn`);
}

async function mayRun({ spec, tools, allowed }: Conversation, face: TurnFace, call: ToolCallPart): Promise<boolean> {
  const wish = spec.approve ?? "writes";
  if (wish === "none" || allowed.has(call.toolName)) return true;
  if (wish === "writes" && tools.reads(call.toolName)) return true;
  const word = await face.approve(call);
  if (word === "always") allowed.add(call.toolName);
  return word !== "no";
}

/** One answer of the model, streamed, kept and counted. */
async function answer(
  { spec, model, tools, record }: Conversation,
  face: TurnFace,
  signal: AbortSignal,
): Promise<void> {
  const result = streamText({
    model,
    messages: record.messages,
    ...(spec.system !== undefined && { system: spec.system }),
    tools: tools.set,
    abortSignal: signal,
    // What goes wrong comes as a part of the stream.
    onError: () => {},
  });
  let unkept = "";
  let keptAtMs = performance.now();
  const keep = (): void => {
    if (unkept !== "") record.said(unkept);
    unkept = "";
    keptAtMs = performance.now();
  };
  for await (const part of result.stream) {
    if (part.type === "text-delta") {
      face.text(part.text);
      unkept += part.text;
      if (performance.now() - keptAtMs > KEPT_EVERY_MS) keep();
    } else if (part.type === "error") {
      keep();
      throw part.error;
    } else if (part.type === "abort") keep();
  }
  signal.throwIfAborted();
  const usage = await result.usage;
  const { totals } = record;
  totals.input += usage.inputTokens ?? 0;
  totals.output += usage.outputTokens ?? 0;
  if (spec.price) totals.cost = (totals.input * spec.price.input + totals.output * spec.price.output) / 1_000_000;
  for (const message of await result.responseMessages) record.message(message);
}
