import { z } from "zod";
import { defineOperation } from "./operation.ts";
import { KEYED_PROVIDERS, providerOf } from "./providers.ts";

/** What a conversation has used so far. */
export interface ChatTotals {
  turns: number;
  input: number;
  output: number;
  /** Dollars; null without a price. */
  cost: number | null;
}

/** How a conversation with a model is set up. */
export const ChatSpec = z
  .strictObject({
    model: z
      .string()
      .regex(/^[\w.-]+\/\S+$/, "provider/model")
      .describe("provider/model: anthropic/…, openai/…, google/…, ollama/…, or any name with base_url"),
    base_url: z
      .string()
      .regex(/^https?:\/\/\S+$/, "a URL")
      .optional()
      .describe("an endpoint that speaks OpenAI's chat format"),
    system: z.string().optional().describe("what the model is told first"),
    tools: z
      .array(z.string().regex(/^(bosun|[\w-]+=\S.*)$/, "bosun, NAME=COMMAND or NAME=URL"))
      .optional()
      .describe("MCP servers: bosun, NAME=COMMAND, NAME=https://…; default bosun"),
    approve: z
      .enum(["all", "writes", "none"])
      .optional()
      .describe("which tool calls wait for a person: all, those that change something (default), none"),
    max_tokens: z
      .number()
      .int()
      .positive()
      .optional()
      .describe("the conversation ends after so many, sent and received"),
    max_cost: z.number().positive().optional().describe("the same in dollars; needs price"),
    price: z
      .strictObject({
        input: z.number().nonnegative().describe("for a million tokens sent"),
        output: z.number().nonnegative().describe("for a million tokens received"),
      })
      .optional()
      .describe("dollars for a million tokens, sent and received"),
  })
  .refine(
    (spec) => spec.base_url !== undefined || [...Object.keys(KEYED_PROVIDERS), "ollama"].includes(providerOf(spec)),
    "a provider other than anthropic, openai, google and ollama needs its base_url",
  );
export type ChatSpec = z.infer<typeof ChatSpec>;

const Which = z.string().describe("a session: its name, number, plan id, or a unique beginning of one");

export const chatList = defineOperation({
  name: "chat.list",
  summary: "The conversations with models, and what they have used",
  effect: "read",
  role: "viewer",
  input: z.strictObject({}),
  output: z.looseObject({
    chats: z.array(
      z.looseObject({
        session: z.string(),
        name: z.string(),
        model: z.string(),
        state: z.string(),
        turns: z.number(),
        input_tokens: z.number(),
        output_tokens: z.number(),
        cost: z.number().nullable(),
        max_tokens: z.number().nullable(),
        file: z.string(),
      }),
    ),
  }),
});

export const chatHistory = defineOperation({
  name: "chat.history",
  summary: "What was said in a conversation, message by message",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    session: Which,
    last: z.number().int().min(1).max(10_000).optional().describe("the newest N messages"),
  }),
  output: z.looseObject({
    session: z.string(),
    messages: z.array(
      z.looseObject({ at: z.string(), role: z.string(), text: z.string(), tool: z.string().nullable() }),
    ),
    /** Lines of its file that cannot be read. */
    damaged: z.number(),
  }),
  errors: ["UNKNOWN_SESSION", "NOT_FOUND"],
});
