import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BosunError } from "../protocol/error.ts";
import type { MemoryEntry } from "../protocol/memory.ts";
import type { InboxMessage } from "../protocol/message.ts";
import type { AgentInfo } from "../protocol/registry.ts";

/** The three files of a `.sessions` folder, and what their records are known by. */
const FILES = {
  agents: { path: "active_sessions.json", id: "session_id", needs: ["session_id", "agent_name"] },
  messages: { path: join("messages", "recent_messages.json"), id: "message_id", needs: ["message_id", "from_session"] },
  memory: { path: join("shared_memory", "memory.json"), id: "entry_id", needs: ["entry_id", "key"] },
} as const;

type Kind = keyof typeof FILES;
type Record_ = Record<string, unknown>;

/** Records as `hub.import` takes them, oldest first, and what could not be read. */
export interface SessionsFolder {
  agents: Record_[];
  messages: Record_[];
  memory: Record_[];
  damage: { file: string; why: string }[];
}

/** Reads `folder`, or the `.sessions` in it, whatever state its files are in. Throws NOT_FOUND when none of them is there. */
export function readSessionsFolder(folder: string): SessionsFolder {
  const inside = join(folder, ".sessions");
  const root = existsSync(inside) ? inside : folder;
  const there = (Object.keys(FILES) as Kind[]).filter((kind) => existsSync(join(root, FILES[kind].path)));
  if (there.length === 0) {
    throw new BosunError({
      code: "NOT_FOUND",
      what: `there are no session files in ${root}`,
      why: `looked for ${Object.values(FILES)
        .map((file) => file.path)
        .join(", ")}`,
      fix: "name the folder .sessions itself, or the one that holds it",
    });
  }
  const damage: SessionsFolder["damage"] = [];
  const read = (kind: Kind): Record_[] => {
    if (!there.includes(kind)) return [];
    const { records, why } = recordsIn(readText(join(root, FILES[kind].path)), FILES[kind].needs);
    if (why !== null) damage.push({ file: FILES[kind].path, why });
    return records;
  };
  return {
    agents: oldestFirst(read("agents").map(agentOf)),
    messages: oldestFirst(read("messages").map(messageOf)),
    memory: oldestFirst(read("memory").map(memoryOf)),
    damage,
  };
}

function readText(file: string): string {
  const text = readFileSync(file, "utf8");
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

/**
 * Every record in the text of a file. One that is whole JSON gives its list or its values; of a cut or half-written one each
 * object that is whole and looks like a record is taken.
 */
export function recordsIn(text: string, needs: readonly string[]): { records: Record_[]; why: string | null } {
  const isRecord = (value: unknown): value is Record_ =>
    typeof value === "object" && value !== null && needs.every((field) => field in value);
  let whole: unknown;
  try {
    whole = JSON.parse(text);
  } catch (error) {
    const records = objectsIn(text).filter(isRecord);
    const reason = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    return { records, why: `it is no whole JSON (${reason}); ${records.length} whole records were found in it` };
  }
  const holders = typeof whole === "object" && whole !== null ? Object.values(whole) : [];
  const lists = [whole, ...holders].filter((value) => typeof value === "object" && value !== null) as object[];
  const found = lists.flatMap((list) => Object.values(list));
  const records = found.filter(isRecord);
  const list = holders.find((value) => typeof value === "object" && value !== null);
  const odd = list === undefined ? 0 : Object.values(list).length - records.length;
  if (list === undefined) return { records, why: "it holds no list of records" };
  return { records, why: odd > 0 ? `${odd} entries are no records: ${needs.join(" or ")} is missing` : null };
}

/** Objects that are whole, the inner ones too; of text that is JSON in parts. */
function objectsIn(text: string): unknown[] {
  const starts: number[] = [];
  const found: unknown[] = [];
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (inString) {
      if (character === "\\") at++;
      else if (character === '"' || character === "\n") inString = false;
    } else if (character === '"') inString = true;
    else if (character === "{") starts.push(at);
    else if (character === "}") {
      const start = starts.pop();
      if (start === undefined) continue;
      try {
        found.push(JSON.parse(text.slice(start, at + 1)));
      } catch {
        // It is torn; what is whole inside it was found before.
      }
    }
  }
  return found;
}

function oldestFirst(records: Record_[]): Record_[] {
  const time = (record: Record_): number =>
    Date.parse(`${String(record.at).replace(/(Z|[+-]\d{2}:?\d{2})$/i, "")}Z`) || 0;
  return records.sort((a, b) => time(a) - time(b));
}

function agentOf(record: Record_): Record_ {
  return {
    id: record.session_id,
    name: record.agent_name,
    type: record.agent_type ?? "unknown",
    at: record.started_at ?? record.last_ping,
    user: record.human_user ?? null,
    location: record.location ?? null,
    capabilities: record.capabilities ?? [],
    task: record.current_task ?? null,
    metadata: record.metadata ?? {},
  };
}

function messageOf(record: Record_): Record_ {
  const { data } = record;
  const empty = typeof data === "object" && data !== null && Object.keys(data).length === 0;
  return {
    id: record.message_id,
    type: record.type,
    from: record.from_session,
    to: record.to_session ?? null,
    subject: record.subject ?? "",
    body: record.body ?? "",
    at: record.timestamp,
    ...(data !== undefined && data !== null && !empty && { data }),
    inReplyTo: record.in_reply_to ?? null,
  };
}

function memoryOf(record: Record_): Record_ {
  // There a time of zero means for ever.
  const ttlS = typeof record.ttl === "number" && record.ttl > 0 ? record.ttl : null;
  return {
    id: record.entry_id,
    key: record.key,
    value: record.value ?? null,
    type: record.type,
    by: record.session_id,
    at: record.timestamp,
    ttlS,
    tags: record.tags ?? [],
    metadata: record.metadata ?? {},
  };
}

/** What is written out. */
export interface Outgoing {
  agents: readonly AgentInfo[];
  messages: readonly (InboxMessage & { recipients: readonly string[] })[];
  memory: readonly MemoryEntry[];
}

/**
 * Writes the three files with exactly the fields that their reader knows. Throws CONFLICT when `folder` holds any of them and
 * `force` is false.
 */
export function writeSessionsFolder(folder: string, { agents, messages, memory }: Outgoing, force: boolean): void {
  const there = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
  const taken = Object.values(FILES).find((file) => there.includes(file.path));
  if (taken && !force) {
    throw new BosunError({
      code: "CONFLICT",
      what: `${join(folder, taken.path)} exists`,
      why: "what it holds would be lost",
      fix: "name another folder, or write over it with --force",
    });
  }
  const updated_at = naive(new Date().toISOString());
  const write = (kind: Kind, document: object): void => {
    const file = join(folder, FILES[kind].path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, `${JSON.stringify(document, null, 2)}\n`);
  };
  write("agents", {
    sessions: Object.fromEntries(agents.map((agent) => [agent.session_id, sessionRecord(agent)])),
    updated_at,
  });
  write("messages", { messages: messages.flatMap(messageRecords), updated_at });
  write("memory", { entries: Object.fromEntries(memory.map((entry) => [entry.id, memoryRecord(entry)])), updated_at });
}

function sessionRecord(agent: AgentInfo): object {
  return {
    session_id: agent.session_id,
    agent_name: agent.agent_name,
    agent_type: agent.agent_type,
    status: agent.status,
    started_at: naive(agent.started_at),
    last_ping: naive(agent.last_ping),
    human_user: agent.human_user,
    location: agent.location,
    capabilities: agent.capabilities,
    current_task: agent.current_task,
    metadata: agent.metadata,
  };
}

/** There a message has one recipient, or none for everybody. */
function messageRecords(message: Outgoing["messages"][number]): object[] {
  const { data } = message;
  const record = (id: string, to: string | null): object => ({
    message_id: id,
    type: message.type,
    from_session: message.from,
    to_session: to,
    subject: message.subject,
    body: message.body ?? "",
    data:
      typeof data === "object" && data !== null && !Array.isArray(data) ? data : data == null ? {} : { value: data },
    timestamp: naive(message.ts),
    in_reply_to: message.in_reply_to,
  });
  if (message.to === "*") return [record(message.id, null)];
  return message.recipients.map((to, index) => record(index === 0 ? message.id : `${message.id}/${index}`, to));
}

function memoryRecord(entry: MemoryEntry): object {
  const ttl = entry.expires === null ? null : Math.round((Date.parse(entry.expires) - Date.parse(entry.ts)) / 1000);
  return {
    entry_id: entry.id,
    type: entry.type,
    key: entry.key,
    value: entry.value,
    session_id: entry.by,
    timestamp: naive(entry.ts),
    ttl,
    tags: entry.tags,
    metadata: entry.metadata,
  };
}

/** A time of UTC without saying so: its reader fails on an offset. */
function naive(moment: string): string {
  return `${moment.replace(/Z$/, "")}000`;
}
