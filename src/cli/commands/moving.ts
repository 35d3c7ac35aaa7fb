import type { Connection } from "../../client/connection.ts";
import type { OperationInput } from "../../client/operations.gen.ts";
import type { MemoryEntry } from "../../protocol/memory.ts";
import type { InboxMessage } from "../../protocol/message.ts";
import type { AgentInfo } from "../../protocol/registry.ts";
import { usage } from "../arguments.ts";
import { type Command, isSet } from "../command.ts";
import { readSessionsFolder, writeSessionsFolder } from "../sessions-folder.ts";

/** Records of one call. */
const PORTION = 500;

const importSessions: Command = {
  name: "import sessions",
  args: "DIR",
  group: "memory",
  anywhere: true,
  ops: ["hub.import"],
  summary: "Take over a .sessions folder: agents, messages, memory; damaged files as far as they can be read",
  examples: ["bosun import sessions ~/blackroad/.sessions"],
  async run(invocation) {
    const { out, args } = invocation;
    const [folder] = args;
    if (folder === undefined) throw usage("import sessions needs a folder", importSessions);
    const read = readSessionsFolder(folder);
    const connection = await invocation.connect();
    const imported = { agents: 0, messages: 0, memory: 0 };
    const refused: { what: string; why: string }[] = [];
    let known = 0;
    for (const kind of ["agents", "messages", "memory"] as const) {
      for (let at = 0; at < read[kind].length; at += PORTION) {
        out.progress(`${kind}: ${at} of ${read[kind].length}`);
        const portion: OperationInput<"hub.import"> = { source: folder, [kind]: read[kind].slice(at, at + PORTION) };
        const done = await connection.call("hub.import", portion);
        imported[kind] += done.imported[kind];
        known += done.known;
        refused.push(...done.refused);
      }
    }
    out.clearProgress();
    const answer = { imported, known, refused, damage: read.damage };
    if (out.wish.json) out.json(answer);
    else {
      out.line(`imported ${imported.agents} agents, ${imported.messages} messages, ${imported.memory} values`);
      if (known > 0) out.line(`${known} were known already and stay as they are`);
    }
    for (const { file, why } of read.damage) out.complain(`${file}: ${why}`);
    for (const { what, why } of refused) out.complain(`left out: ${what}: ${why}`);
    return 0;
  },
};

const exportSessions: Command = {
  name: "export sessions",
  args: "DIR",
  group: "memory",
  anywhere: true,
  ops: ["agent.list", "message.list", "memory.search", "memory.history"],
  summary: "Write a .sessions folder that the system it comes from can load",
  flags: { force: { about: "write over files that are there" } },
  async run(invocation) {
    const { out, args } = invocation;
    const [folder] = args;
    if (folder === undefined) throw usage("export sessions needs a folder", exportSessions);
    const connection = await invocation.connect();
    const agents = await all<AgentInfo>((after) =>
      connection
        .call("agent.list", { all: true, limit: 1000, ...(after !== null && { after: String(after) }) })
        .then(({ sessions, next }) => ({ items: sessions, next })),
    );
    const messages = await withRecipients(connection);
    const memory = await everyValue(connection);
    writeSessionsFolder(folder, { agents, messages, memory }, isSet(invocation, "force"));
    const written = { agents: agents.length, messages: messages.length, memory: memory.length };
    if (out.wish.json) out.json({ folder, ...written });
    else out.line(`${folder}: ${written.agents} agents, ${written.messages} messages, ${written.memory} values`);
    return 0;
  },
};

async function all<Item>(
  page: (after: string | number | null) => Promise<{ items: Item[]; next: string | number | null }>,
): Promise<Item[]> {
  const found: Item[] = [];
  for (let after: string | number | null = null; ; ) {
    const { items, next } = await page(after);
    found.push(...items);
    if (next === null) return found;
    after = next;
  }
}

async function withRecipients(connection: Connection): Promise<(InboxMessage & { recipients: string[] })[]> {
  const messages = await all<InboxMessage>((after) =>
    connection
      .call("message.list", { limit: 1000, ...(after !== null && { after: Number(after) }) })
      .then((page) => ({ items: page.messages, next: page.next })),
  );
  return Promise.all(
    messages.map(async (message) => {
      if (message.to === "*") return { ...message, recipients: [] };
      const { deliveries } = await connection.call("message.show", { id: message.id });
      return { ...message, recipients: deliveries.map((each) => each.to) };
    }),
  );
}

/** Every value that has not expired since its key was last deleted, oldest first. */
async function everyValue(connection: Connection): Promise<MemoryEntry[]> {
  const newest = await all<MemoryEntry>((after) =>
    connection
      .call("memory.search", { limit: 1000, ...(after !== null && { after: Number(after) }) })
      .then((page) => ({ items: page.entries, next: page.next })),
  );
  const values: MemoryEntry[] = [];
  for (const { key } of newest) {
    values.push(
      ...(await all<MemoryEntry>((after) =>
        connection
          .call("memory.history", { key, live: true, limit: 1000, ...(after !== null && { after: Number(after) }) })
          .then((page) => ({ items: page.entries, next: page.next })),
      )),
    );
  }
  return values.sort((a, b) => a.rev - b.rev);
}

export const MOVING_COMMANDS = [importSessions, exportSessions];
