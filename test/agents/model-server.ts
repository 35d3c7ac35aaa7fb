import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** How long an answer to a wish with the word `slow` takes. */
const SLOW_MS = 4_000;

/** An answer that comes word by word. */
const TRICKLE_WORDS = 20;
const TRICKLE_EVERY_MS = 150;

const ANSWER = "All done here.";

/**
 * A model on loopback that says what its script says, in the wire formats of Anthropic (messages), OpenAI (responses, chat
 * completions) and Google (generateContent): `slow` in the wish makes it think for a while, `make-a-file` makes it want to run a command, and
 * everything else is answered with one sentence.
 */
export class ModelServer {
  readonly #server: Server;
  /** Path and last wish of each request. */
  readonly asked: string[] = [];
  /** What each request told the model before anything else (chat completions). */
  readonly told: string[] = [];

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => this.#answer(request, Buffer.concat(chunks).toString("utf8"), response));
    });
  }

  /** Gives the URL without a path. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, body: string, response: ServerResponse): void {
    const url = request.url ?? "";
    const wish = body === "" ? {} : (JSON.parse(body) as Record<string, unknown>);
    const turns = (wish.messages ?? wish.input ?? wish.contents ?? []) as { role?: string; type?: string }[];
    const answeredAt = turns.findLastIndex(
      ({ role, type }) => role === "assistant" || role === "model" || type === "function_call",
    );
    const last = JSON.stringify(turns.slice(answeredAt + 1));
    const first = (wish.messages as { role?: string; content?: unknown }[] | undefined)?.[0];
    this.told.push(first?.role === "system" ? JSON.stringify(first.content) : "");
    this.asked.push(`${url.split("?")[0]} ${last.slice(-200)}`);
    const answered = /tool_result|function_call_output|functionResponse|"role":"tool"/.test(last);
    const tool = last.includes("make-a-file") && !answered;
    const say = (): void => {
      if (url.startsWith("/v1/messages/count_tokens")) json(response, { input_tokens: 5 });
      else if (url.startsWith("/v1/messages")) anthropic(response, wish, tool);
      else if (url.includes("/responses")) openai(response, tool);
      else if (url.endsWith("/chat/completions")) completions(response, wish, last, tool);
      else if (url.includes("enerateContent")) google(response, url, tool);
      else json(response, {}, request.method === "HEAD" ? 200 : 404);
    };
    if (last.includes("slow")) setTimeout(say, SLOW_MS);
    else say();
  }
}

function json(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function events(response: ServerResponse, list: [string | null, unknown][]): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const [name, data] of list)
    response.write(`${name === null ? "" : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`);
  response.end();
}

function anthropic(response: ServerResponse, wish: Record<string, unknown>, tool: boolean): void {
  const usage = { input_tokens: 5, output_tokens: 5 };
  // A program takes messages of one id for parts of one.
  const message = {
    id: `msg_${randomUUID()}`,
    type: "message",
    role: "assistant",
    model: wish.model,
    stop_sequence: null,
    usage,
  };
  const reason = tool ? "tool_use" : "end_turn";
  if (wish.stream !== true) {
    json(response, { ...message, content: [{ type: "text", text: ANSWER }], stop_reason: "end_turn" });
    return;
  }
  const block = tool
    ? { type: "tool_use", id: `toolu_${randomUUID()}`, name: "Bash", input: {} }
    : { type: "text", text: "" };
  const delta = tool
    ? {
        type: "input_json_delta",
        partial_json: JSON.stringify({ command: "touch made-by-agent", description: "Make a file" }),
      }
    : { type: "text_delta", text: ANSWER };
  const list = [
    { type: "message_start", message: { ...message, content: [], stop_reason: null } },
    { type: "content_block_start", index: 0, content_block: block },
    { type: "content_block_delta", index: 0, delta },
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: reason, stop_sequence: null }, usage },
    { type: "message_stop" },
  ];
  events(
    response,
    list.map((each) => [each.type, each]),
  );
}

function openai(response: ServerResponse, tool: boolean): void {
  const item = tool
    ? {
        type: "function_call",
        id: "fc_1",
        call_id: "call_1",
        name: "exec_command",
        arguments: JSON.stringify({
          cmd: "touch made-by-agent",
          sandbox_permissions: "require_escalated",
          justification: "Make a file?",
        }),
        status: "completed",
      }
    : {
        type: "message",
        id: "msg_1",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: ANSWER, annotations: [] }],
      };
  const usage = { input_tokens: 5, output_tokens: 5, total_tokens: 10 };
  const list = [
    { type: "response.created", response: { id: "resp_1", created_at: 1, model: "m" } },
    { type: "response.output_item.added", output_index: 0, item },
    ...(tool ? [] : [{ type: "response.output_text.delta", item_id: item.id, output_index: 0, delta: ANSWER }]),
    { type: "response.output_item.done", output_index: 0, item },
    { type: "response.completed", response: { id: "resp_1", status: "completed", output: [item], usage } },
  ];
  events(
    response,
    list.map((each) => [each.type, each]),
  );
}

/** `call NAME {…}` in the wish asks for that tool, `trickle` lets the answer come word by word for some seconds. */
function completions(response: ServerResponse, wish: Record<string, unknown>, last: string, tool: boolean): void {
  const offered = ((wish.tools ?? []) as { function: { name: string } }[]).map((each) => each.function.name);
  const named = /call ([\w-]+) (\{.*?\})"/.exec(last.replaceAll('\\"', "'"));
  const shell = named?.[1] ?? offered.find((name) => /bash|shell/.test(name));
  const asks = (tool || (named !== null && !last.includes('"role":"tool"'))) && shell !== undefined;
  const base = { id: "chat_1", object: "chat.completion.chunk", created: 1, model: wish.model };
  const args = named
    ? named[2]!.replaceAll("'", '"')
    : JSON.stringify({ command: "touch made-by-agent", description: "Make a file" });
  const call = { index: 0, id: `call_${randomUUID()}`, type: "function", function: { name: shell, arguments: args } };
  const said = asks ? { tool_calls: [call] } : { content: ANSWER };
  const finish = asks ? "tool_calls" : "stop";
  const usage = { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 };
  if (wish.stream !== true) {
    const message = { role: "assistant", content: null, ...said };
    const choices = [{ index: 0, message, finish_reason: finish }];
    json(response, { ...base, object: "chat.completion", choices, usage });
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  if (last.includes("trickle")) {
    let count = 0;
    const timer = setInterval(() => {
      const word = { content: `word${++count} ` };
      if (count <= TRICKLE_WORDS)
        response.write(
          `data: ${JSON.stringify({ ...base, choices: [{ index: 0, delta: word, finish_reason: null }] })}\n\n`,
        );
      else {
        clearInterval(timer);
        response.end(
          `data: ${JSON.stringify({ ...base, choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage })}\n\ndata: [DONE]\n\n`,
        );
      }
    }, TRICKLE_EVERY_MS);
    response.on("close", () => clearInterval(timer));
    return;
  }
  const chunks = [
    { ...base, choices: [{ index: 0, delta: { role: "assistant", ...said }, finish_reason: null }] },
    { ...base, choices: [{ index: 0, delta: {}, finish_reason: finish }] },
    { ...base, choices: [], usage },
  ];
  response.end(`${chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`).join("")}data: [DONE]\n\n`);
}

function google(response: ServerResponse, url: string, tool: boolean): void {
  const part = tool
    ? {
        functionCall: {
          name: "run_shell_command",
          args: { command: "touch made-by-agent", description: "Make a file" },
        },
      }
    : { text: ANSWER };
  const whole = {
    candidates: [{ content: { role: "model", parts: [part] }, finishReason: "STOP", index: 0 }],
    usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 5, totalTokenCount: 10 },
  };
  if (url.includes("stream")) {
    events(response, [[null, whole]]);
    return;
  }
  // Asked without a stream, it is to choose the model that answers.
  const choice = { text: JSON.stringify({ reasoning: "simple", model_choice: "flash" }) };
  json(response, { ...whole, candidates: [{ ...whole.candidates[0], content: { role: "model", parts: [choice] } }] });
}
