import { z } from "zod";
import { BosunError, type ErrorBody, toErrorBody } from "../protocol/error.ts";
import type { Guest } from "./guest.ts";
import { inboxRead, messageAck, messageSend, search, threadRead } from "./mail-tools.ts";
import { memoryGet, memoryPut } from "./memory-tools.ts";
import { ORIGINAL_TOOLS } from "./original-tools.ts";
import { sessionClose, sessionList, sessionOpen, sessionStatus } from "./session-tools.ts";
import { mailLine, textOf } from "./text.ts";
import type { Facts, Tool } from "./tool.ts";
import { ask, feedPost, feedRead, handoff, lease } from "./work-tools.ts";

const CORE = [sessionOpen, sessionStatus, sessionList, messageSend, inboxRead, messageAck, sessionClose];

/** What is listed. Every name below answers in every profile, listed or not. */
export const PROFILES = {
  full: [...CORE, threadRead, search, memoryPut, memoryGet, feedPost, feedRead, ask, handoff, lease],
  core: CORE,
  /** The nine of the server this one replaces. */
  original: ORIGINAL_TOOLS,
} as const satisfies Record<string, readonly Tool[]>;

export type Profile = keyof typeof PROFILES;

/** Between two mail lines; each costs the model a line of context. */
const MAIL_LINE_EVERY_MS = 60_000;

/** `tools/list`: the same order and text every time. */
export function toolList(profile: Profile) {
  return PROFILES[profile].map(({ name, about, input, hints }) => ({
    name,
    description: about,
    inputSchema: schemaOf(input),
    annotations: hints,
  }));
}

/** JSON Schema without what no model needs: dialect, and the bounds that every integer has. */
function schemaOf(input: z.ZodObject): { type: "object" } & Record<string, unknown> {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(input, {
    io: "input",
    override({ jsonSchema, zodSchema }) {
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      delete jsonSchema.maxLength;
      delete jsonSchema.minLength;
      delete jsonSchema.pattern;
      delete jsonSchema.propertyNames;
      if (isJson(zodSchema))
        for (const key of Object.keys(jsonSchema)) delete jsonSchema[key as keyof typeof jsonSchema];
    },
  });
  const { $defs: _recursive, ...plain } = schema as Record<string, unknown>;
  return plain as { type: "object" };
}

/** `z.json()` describes itself by six types that refer to each other; `{}` says the same. */
function isJson(schema: unknown): boolean {
  return (schema as { _zod?: { def?: { type?: string } } })._zod?.def?.type === "lazy";
}

export interface ToolResult extends Record<string, unknown> {
  content: { type: "text"; text: string }[];
  structuredContent: Facts;
  isError?: boolean;
}

/** The tools that answer to a name, the one of the profile first; several when both sets have it. */
function named(name: string, profile: Profile): Tool[] {
  const order: Profile[] = profile === "original" ? ["original", "full"] : ["full", "original"];
  return order.flatMap((set) => (PROFILES[set] as readonly Tool[]).filter((each) => each.name === name));
}

/** Runs a tool; null = there is none of that name. Never throws for what a model or the town did: that is a result. */
export async function runTool(name: string, args: unknown, guest: Guest, profile: Profile): Promise<ToolResult | null> {
  const candidates = named(name, profile);
  const [first] = candidates;
  if (!first) return null;
  const chosen = candidates.find((each) => each.input.safeParse(args ?? {}).success) ?? first;
  const read = chosen.input.safeParse(args ?? {});
  if (!read.success) return failure(chosen, wrongArguments(chosen, read.error));
  try {
    const facts = await chosen.run(read.data as never, guest);
    const text = chosen.asJson ? JSON.stringify(facts) : textOf(facts);
    const mail = await unreadMail(chosen, guest);
    if (!mail) return { content: [{ type: "text", text }], structuredContent: facts };
    const line = mailLine(mail.unread, mail.urgent);
    return { content: [{ type: "text", text: `${text}\n${line}` }], structuredContent: { ...facts, mail } };
  } catch (thrown) {
    return failure(chosen, toErrorBody(thrown));
  }
}

async function unreadMail(chosen: Tool, guest: Guest): Promise<{ unread: number; urgent: number } | null> {
  if (chosen.mailLine === false || Date.now() - guest.mailShownAtMs < MAIL_LINE_EVERY_MS) return null;
  try {
    const caller = await guest.caller();
    const { unread, urgent } = await caller.call("message.inbox", { unread: true, bodies: false, limit: 1 });
    if (unread === 0) return null;
    guest.mailShownAtMs = Date.now();
    return { unread, urgent };
  } catch (error) {
    // The tool has done its work; who may not read mail simply hears nothing of it.
    if (error instanceof BosunError) return null;
    throw error;
  }
}

/** For every tool: what helps when the town says no. */
const NEXT: Partial<Record<ErrorBody["code"], string>> = {
  STALE_EPOCH: "another run of you has taken over; end this one",
  REFUSED: "do not repeat it; ask a person if it is needed",
  UNREACHABLE: "wait a few seconds and call it again",
  TIMEOUT: "call it again",
  TOO_LARGE: "put it in a file and send the path",
};

function failure(chosen: Tool, body: ErrorBody): ToolResult {
  const wait =
    body.retryAfterMs === undefined ? undefined : `call it again in ${Math.ceil(body.retryAfterMs / 1000)} s`;
  const next =
    wait ?? chosen.next?.[body.code] ?? NEXT[body.code] ?? body.fix ?? `call ${chosen.name} with other arguments`;
  const facts: Facts = { error: body.code, what: body.what, ...(body.why && { why: body.why }), next };
  const text = `${body.code}: ${body.what}${body.why ? ` (${body.why})` : ""}\nnext: ${next}`;
  return { content: [{ type: "text", text }], structuredContent: facts, isError: true };
}

/** Names the fields, never the values: they may be long, and the model has them. */
function wrongArguments(chosen: Tool, error: z.ZodError): ErrorBody {
  const [issue, ...more] = error.issues;
  const place = issue!.path.join(".").slice(0, 80);
  const what = issue!.code === "unrecognized_keys" ? `${issue!.keys.length} unknown field(s)` : issue!.message;
  const fields = Object.entries(chosen.input.shape).map(([name, field]) =>
    (field as z.ZodType).safeParse(undefined).success ? `[${name}]` : name,
  );
  return {
    code: "USAGE",
    what: `${chosen.name}: ${place ? `${place}: ` : ""}${what}${more.length > 0 ? `, and ${more.length} more` : ""}`,
    fix: `call ${chosen.name} again; its fields are ${fields.join(", ") || "none"}`,
  };
}
