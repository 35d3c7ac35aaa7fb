import { call } from "../client/index.ts";
import type { ChatSpec } from "../protocol/chat.ts";
import { toErrorBody } from "../protocol/error.ts";
import { chatFile } from "../protocol/providers.ts";
import { Chat, type Signal } from "./chat.ts";
import { modelOf } from "./model.ts";
import { ChatRecord } from "./record.ts";
import { Tools } from "./tools.ts";

/** A conversation on this process's terminal, until somebody leaves it. `own` begins our MCP server. */
export async function openChat(spec: ChatSpec, own: readonly string[], colour: boolean): Promise<void> {
  const { stdin, stdout, env } = process;
  const home = env.BOSUN_HOME!;
  const record = new ChatRecord(chatFile(`${home}/${env.BOSUN_TOWN}`, env.BOSUN_SESSION!));
  let leave = (): void => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  // Hung up or told to end: the record is whole at any moment.
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(0));
  stdin.setRawMode?.(true);
  stdin.setEncoding("utf8");
  stdout.write("\x1b[?2004h");
  try {
    const model = await modelOf(spec, home, env);
    const tools = await Tools.begin(spec.tools ?? ["bosun"], own);
    const terminal = { columns: () => stdout.columns ?? 80, write: (text: string) => void stdout.write(text), colour };
    const told = await opened(spec);
    const chat = new Chat({ spec: told, model, tools, record, allowed: new Set() }, terminal, reporting(record), leave);
    stdin.on("data", (text: string) => chat.input(text));
    stdout.on("resize", () => chat.resized());
    await chat.start();
    await left;
    await tools.close();
  } catch (error) {
    // It stays, so that a person can read it, and says so to whoever asks what this session does.
    const { what, why, fix } = toErrorBody(error);
    const lines = [`! ${what}${why ? `: ${why}` : ""}`, ...(fix ?? "").split("\n"), "enter tries again"];
    stdout.write(`${lines.join("\r\n")}\r\n`);
    await tell("failed", what);
    stdin.once("data", leave);
    await left;
    process.exitCode = 75;
  } finally {
    stdout.write("\x1b[?2004l");
    stdin.setRawMode?.(false);
    stdin.pause();
    record.close();
  }
}

/** In a chapter, what was handed over is what the model is told first; to have it is to have read it. */
async function opened(spec: ChatSpec): Promise<ChatSpec> {
  if (!process.env.BOSUN_CHAPTER) return spec;
  try {
    const { text } = await call("chapter.brief", {});
    return { ...spec, system: [...(spec.system === undefined ? [] : [spec.system]), text].join("\n\n") };
  } catch {
    // The coordinator is away: the conversation begins without it, and the chapter is marked blind.
    return spec;
  }
}

/** As `tell`, and in a chapter with the tokens used so far. */
function reporting(record: ChatRecord): Signal {
  return async (type, text) => {
    const line = await tell(type, text);
    if (process.env.BOSUN_CHAPTER)
      await call("chapter.note", { tokens: record.totals.input + record.totals.output }).catch(() => {
        // Closed, or the coordinator is away: the next turn says it again.
      });
    return line;
  };
}

/** The coordinator may be away; the conversation goes on. */
const tell: Signal = async (type, text) => {
  const pane = process.env.TMUX_PANE;
  try {
    const { tell: line } = await call("agent.hook", {
      program: "chat",
      payload: { type, ...(text !== undefined && { text }) },
      ...(pane && { pane }),
    });
    return line;
  } catch {
    return null;
  }
};
