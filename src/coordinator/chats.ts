import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { type ChatTotals, chatHistory, chatList } from "../protocol/chat.ts";
import { BosunError } from "../protocol/error.ts";
import type { OutputOf } from "../protocol/operation.ts";
import { nameOf } from "../protocol/plan.ts";
import { chatFile } from "../protocol/providers.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Displays } from "./displays.ts";
import type { Town } from "./town.ts";

/** The last lines of a conversation hold what it has used; one may be as long as a whole answer. */
const TAIL_BYTES = 1_048_576;

interface Line {
  at: string;
  totals?: ChatTotals;
  message?: { role: string; content: string | { type: string; text?: string; toolName?: string; output?: unknown }[] };
}

/** What conversations with models have used, and what was said in them. They run in processes of their own. */
export function registerChats(dispatch: Dispatch, town: Town, displays: Displays): void {
  const { stateFolder } = town.cradle;
  dispatch.handle(chatList, () => ({
    chats: (town.plan?.sessions ?? []).flatMap((session) => {
      if (!session.chat) return [];
      const file = chatFile(stateFolder, session.id);
      const totals = linesOf(tailOf(file)).findLast((line) => line.totals)?.totals;
      return [
        {
          session: session.id,
          name: nameOf(session),
          model: session.chat.model,
          state: displays.of(session.id)[0]?.track.activity.state ?? "not running",
          turns: totals?.turns ?? 0,
          input_tokens: totals?.input ?? 0,
          output_tokens: totals?.output ?? 0,
          cost: totals?.cost ?? null,
          max_tokens: session.chat.max_tokens ?? null,
          file,
        },
      ];
    }),
  }));
  dispatch.handle(chatHistory, ({ session: text, last }) => {
    const session = town.declared(text);
    if (!session.chat) {
      throw new BosunError({
        code: "NOT_FOUND",
        what: `${nameOf(session)} is no conversation with a model`,
        fix: `bosun history ${nameOf(session)}   shows what its program wrote`,
      });
    }
    const whole = textIn(chatFile(stateFolder, session.id));
    const lines = linesOf(whole);
    const messages = lines.flatMap(({ at, message }) => (message ? shown(at, message) : []));
    return {
      session: session.id,
      messages: last === undefined ? messages : messages.slice(-last),
      damaged: whole.split("\n").filter((line) => line !== "").length - lines.length,
    };
  });
}

type Shown = OutputOf<typeof chatHistory>["messages"][number];

function shown(at: string, { role, content }: NonNullable<Line["message"]>): Shown[] {
  if (typeof content === "string") return [{ at, role, text: content, tool: null }];
  return content.flatMap((part): Shown[] => {
    if (part.type === "text") return [{ at, role, text: part.text ?? "", tool: null }];
    if (part.type === "tool-call")
      return [{ at, role, text: JSON.stringify((part as { input?: unknown }).input), tool: part.toolName ?? "" }];
    if (part.type !== "tool-result") return [];
    const { value } = part.output as { value?: unknown };
    return [{ at, role, text: typeof value === "string" ? value : JSON.stringify(value), tool: part.toolName ?? "" }];
  });
}

function linesOf(text: string): Line[] {
  return text.split("\n").flatMap((line) => {
    try {
      return line === "" ? [] : [JSON.parse(line) as Line];
    } catch {
      // Cut off, or damaged: the others are none the worse.
      return [];
    }
  });
}

function textIn(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

function tailOf(file: string): string {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
  try {
    const { size } = fstatSync(descriptor);
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    return bytes.toString("utf8", 0, readSync(descriptor, bytes, 0, bytes.length, size - bytes.length));
  } finally {
    closeSync(descriptor);
  }
}
