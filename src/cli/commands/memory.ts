import { BosunError } from "../../protocol/error.ts";
import type { MemoryEntry } from "../../protocol/memory.ts";
import { sanitise } from "../../protocol/text.ts";
import { durationOf, numberOf, stdinText, usage, wordsOf } from "../arguments.ts";
import { type Command, type Invocation, isSet, textOf } from "../command.ts";
import { follow } from "../follow.ts";
import { sinceText } from "../time.ts";
import { isJson } from "./mail.ts";

const TYPES = ["state", "fact", "decision", "task", "context", "note", "config"] as const;

function typeOf(invocation: Invocation, command: Command): (typeof TYPES)[number] | undefined {
  const text = textOf(invocation, "type");
  const found = TYPES.find((type) => type === text);
  if (text === undefined || found) return found;
  throw usage(`--type ${text}`, command, `one of ${TYPES.join(", ")}`);
}

/** A value for people: text as it is, everything else as JSON. */
function valueText(value: unknown): string {
  return sanitise(typeof value === "string" ? value : JSON.stringify(value));
}

/** `NAME:TOKEN`, as `lease acquire` prints it. */
function fenceOf(invocation: Invocation, command: Command): { name: string; token: number } | undefined {
  const text = textOf(invocation, "fence");
  if (text === undefined) return undefined;
  const found = /^(.+):(\d+)$/.exec(text);
  if (!found) throw usage(`--fence ${text}`, command, "it is NAME:TOKEN, as `bosun lease acquire` prints it");
  return { name: found[1]!, token: Number(found[2]) };
}

const set: Command = {
  name: "memory set",
  aliases: ["memory-set"],
  args: "[BY] KEY VALUE",
  group: "memory",
  anywhere: true,
  ops: ["memory.set"],
  flags: {
    type: { value: "TYPE", about: `${TYPES.join(", ")}; default note` },
    tags: { value: "A,B", many: true, about: "words to find it by" },
    ttl: { value: "1h", about: "after that it is gone" },
    "if-rev": { value: "REV" },
    fence: { value: "NAME:TOKEN", about: "only while you hold this lease under this token" },
    metadata: { value: "JSON", about: "an object with whatever else belongs to it" },
    text: { about: "VALUE is text, even where it is JSON" },
    key: { value: "KEY", about: "sending again with the same key counts once" },
  },
  examples: [
    'bosun memory set deploy_state \'{"stage": "testing"}\' --type state --tags deploy,live',
    'bosun memory-set cece-001 current_task "Building" --type state --tags task,active',
    "bosun memory set plan - < plan.json",
  ],
  async run(invocation) {
    const { args, out } = invocation;
    if (args.length < 2 || args.length > 3) throw usage("memory set needs a key and a value", set);
    const [key, given] = args.slice(-2) as [string, string];
    const text = given === "-" ? await stdinText() : given;
    const valueJson = !isSet(invocation, "text") && isJson(text) ? text.trim() : JSON.stringify(text);
    const type = typeOf(invocation, set);
    const tags = wordsOf(invocation, "tags");
    const ttlMs = durationOf(invocation, "ttl", set);
    const ifRev = numberOf(invocation, "if-rev", set);
    const fence = fenceOf(invocation, set);
    const metadata = textOf(invocation, "metadata");
    const onceKey = textOf(invocation, "key");
    if (metadata !== undefined && !isJson(metadata)) throw usage("--metadata is not JSON", set);
    const connection = await invocation.connect(args.length === 3 ? { as: args[0]! } : {});
    const stored = await connection.call(
      "memory.set",
      {
        key,
        valueJson,
        ...(type && { type }),
        ...(tags.length > 0 && { tags }),
        ...(ttlMs !== undefined && { ttlS: ttlMs / 1000 }),
        ...(ifRev !== undefined && { ifRev }),
        ...(fence && { fence }),
        ...(metadata !== undefined && { metadata: JSON.parse(metadata) as Record<string, never> }),
      },
      onceKey === undefined ? {} : { key: onceKey },
    );
    if (out.wish.json) out.json(stored);
    else {
      out.lines([
        "✅ Stored in shared memory",
        `   Key: ${sanitise(key)}`,
        `   Type: ${type ?? "note"}`,
        `   Value: ${valueText(JSON.parse(valueJson))}`,
        `   Entry ID: ${stored.id}`,
        `   Rev: ${stored.rev}`,
      ]);
    }
    return 0;
  },
};

const get: Command = {
  name: "memory get",
  aliases: ["memory-get"],
  args: "KEY",
  group: "memory",
  anywhere: true,
  ops: ["memory.get"],
  flags: { all: { about: "every value since it was last deleted, newest first" } },
  examples: ["bosun memory get deploy_state", "bosun memory get deploy_state --json=value,rev"],
  async run(invocation) {
    const { out } = invocation;
    const [key] = invocation.args;
    if (key === undefined) throw usage("memory get needs a key", get);
    const connection = await invocation.connect();
    if (!isSet(invocation, "all")) {
      const entry = await connection.call("memory.get", { key });
      if (out.wish.json) out.json(entry);
      else if (out.wish.plain) out.line(valueText(entry.value));
      else out.line(`✅ Value: ${valueText(entry.value)}`);
      return 0;
    }
    const answer = await connection.call("memory.history", { key, live: true, limit: 1000 });
    if (answer.entries.length === 0) throw nothing(key);
    if (out.wish.json) out.json(answer, "entries");
    else out.lines([`📝 Entries for key '${sanitise(key)}':`, ...answer.entries.flatMap(entryLines)]);
    return 0;
  },
};

function nothing(key: string): BosunError {
  return new BosunError({
    code: "NOT_FOUND",
    what: `nothing is stored under ${key}`,
    fix: `bosun memory history ${key}   shows what it was`,
  });
}

function entryLines(entry: MemoryEntry): string[] {
  const lines = [
    "",
    `${entry.ts} (by ${sanitise(entry.by)})`,
    `  Type: ${entry.type}`,
    `  Value: ${valueText(entry.value)}`,
    `  Rev: ${entry.rev}`,
  ];
  if (entry.tags.length > 0) lines.push(`  Tags: ${sanitise(entry.tags.join(", "))}`);
  if (entry.expires !== null) lines.push(`  Expires: ${entry.expires}`);
  return lines;
}

const history: Command = {
  name: "memory history",
  args: "KEY",
  group: "memory",
  anywhere: true,
  ops: ["memory.history"],
  flags: {
    live: {},
    after: { value: "REV", about: "cursor: `next` of the answer before" },
    limit: { short: "n", value: "N", about: "at most N" },
  },
  async run(invocation) {
    const { out } = invocation;
    const [key] = invocation.args;
    if (key === undefined) throw usage("memory history needs a key", history);
    const [after, limit] = ["after", "limit"].map((flag) => numberOf(invocation, flag, history));
    const connection = await invocation.connect();
    const answer = await connection.call("memory.history", {
      key,
      ...(isSet(invocation, "live") && { live: true }),
      ...(after !== undefined && { after }),
      ...(limit !== undefined && { limit }),
    });
    if (out.wish.json) out.json(answer, "entries");
    else {
      out.table(
        [
          { title: "REV", align: "right" },
          { title: "WHEN" },
          { title: "BY" },
          { title: "CHANGE" },
          { title: "TYPE" },
          { title: "VALUE", flexible: true },
        ],
        answer.entries.map((entry) => [
          String(entry.rev),
          entry.ts,
          sanitise(entry.by),
          entry.change,
          entry.type,
          entry.change === "set" ? valueText(entry.value) : "",
        ]),
      );
    }
    return 0;
  },
};

const search: Command = {
  name: "memory search",
  aliases: ["memory-search", "memory list"],
  group: "memory",
  anywhere: true,
  ops: ["memory.search"],
  flags: {
    pattern: { value: "GLOB", about: "of keys: * ? [abc]" },
    tags: { value: "A,B", many: true, about: "with any of these tags" },
    match: { value: "any|all", about: "any of the tags (default), or all" },
    session: { value: "ID", about: "written by" },
    type: { value: "TYPE", about: TYPES.join(", ") },
    after: { value: "REV", about: "cursor: `next` of the answer before" },
    limit: { short: "n", value: "N", about: "at most N" },
  },
  examples: ["bosun memory search --pattern 'task_*'", "bosun memory-search --tags api,documentation --match all"],
  async run(invocation) {
    const { out } = invocation;
    const [pattern, session, match] = ["pattern", "session", "match"].map((flag) => textOf(invocation, flag));
    const tags = wordsOf(invocation, "tags");
    const type = typeOf(invocation, search);
    if (match !== undefined && match !== "any" && match !== "all")
      throw usage(`--match ${match}`, search, "any or all");
    const [after, limit] = ["after", "limit"].map((flag) => numberOf(invocation, flag, search));
    const connection = await invocation.connect();
    const answer = await connection.call("memory.search", {
      ...(pattern !== undefined && { pattern }),
      ...(tags.length > 0 && { tags }),
      ...(match !== undefined && { match }),
      ...(session !== undefined && { session }),
      ...(type && { type }),
      ...(after !== undefined && { after }),
      ...(limit !== undefined && { limit }),
    });
    if (out.wish.json) out.json(answer, "entries");
    else if (answer.entries.length === 0 && !out.wish.plain) out.line("No entries found.");
    else {
      const now = Date.now();
      if (!out.wish.plain) out.line(`📝 Found ${answer.count} ${answer.count === 1 ? "entry" : "entries"}:`);
      out.table(
        [
          { title: "KEY" },
          { title: "TYPE" },
          { title: "VALUE", flexible: true },
          { title: "SESSION" },
          { title: "TAGS", flexible: true, whenSaid: true },
          { title: "AGE", align: "right" },
        ],
        answer.entries.map((entry) => [
          sanitise(entry.key),
          entry.type,
          valueText(entry.value).replaceAll("\n", " "),
          sanitise(entry.by),
          sanitise(entry.tags.join(", ")),
          sinceText(entry.ts, now),
        ]),
      );
    }
    if (answer.next !== null) out.say(`there are more: --after ${answer.next}`);
    return 0;
  },
};

const remove: Command = {
  name: "memory delete",
  aliases: ["memory-delete", "memory rm"],
  args: "[BY] KEY",
  group: "memory",
  anywhere: true,
  ops: ["memory.delete"],
  flags: {
    "if-rev": { value: "REV", about: "only if it is still at this revision" },
    fence: { value: "NAME:TOKEN", about: "only while you hold this lease under this token" },
  },
  async run(invocation) {
    const { args, out } = invocation;
    const key = args.at(-1);
    if (key === undefined || args.length > 2) throw usage("memory delete needs a key", remove);
    const ifRev = numberOf(invocation, "if-rev", remove);
    const fence = fenceOf(invocation, remove);
    const connection = await invocation.connect(args.length === 2 ? { as: args[0]! } : {});
    const gone = await connection.call("memory.delete", {
      key,
      ...(ifRev !== undefined && { ifRev }),
      ...(fence && { fence }),
    });
    if (out.wish.json) out.json(gone);
    else out.line(`deleted ${gone.deleted} ${gone.deleted === 1 ? "value" : "values"} of ${sanitise(key)}`);
    if (gone.deleted === 0) throw nothing(key);
    return 0;
  },
};

const watch: Command = {
  name: "memory watch",
  args: "[PATTERN]",
  group: "memory",
  anywhere: true,
  ops: ["memory.watch"],
  flags: { after: { value: "REV", about: "resume behind this revision; without it only what is new" } },
  async run(invocation) {
    const { out } = invocation;
    const [pattern] = invocation.args;
    let after = numberOf(invocation, "after", watch);
    await follow(invocation, async (connection) => {
      const stream = await connection.stream(
        "memory.watch",
        { ...(pattern !== undefined && { pattern }), ...(after !== undefined && { after }) },
        (event) => {
          const { change, key, rev, entry } = event as Change;
          after = rev;
          if (out.wish.json) out.json({ change, key, rev, entry });
          else out.line(`${rev}  ${change}  ${sanitise(key)}${entry ? `  ${valueText(entry.value)}` : ""}`);
        },
      );
      after ??= stream.ok.seq;
      return stream;
    });
    return 0;
  },
};

interface Change {
  change: string;
  key: string;
  rev: number;
  entry: MemoryEntry | null;
}

const stats: Command = {
  name: "memory stats",
  group: "memory",
  anywhere: true,
  ops: ["memory.stats"],
  async run(invocation) {
    const connection = await invocation.connect();
    const answer = await connection.call("memory.stats", {});
    if (invocation.out.wish.json) invocation.out.json(answer);
    else {
      const types = Object.entries(answer.by_type).filter(([, n]) => n > 0);
      invocation.out.lines([
        `Total entries: ${answer.total_entries}`,
        `Unique keys: ${answer.unique_keys}`,
        `By type: ${types.map(([type, n]) => `${type} ${n}`).join(" · ") || "none"}`,
      ]);
    }
    return 0;
  },
};

const LEASE_FLAGS = { ttl: { value: "60s", about: "how long (default 60 s)" } } as const;

interface Held {
  name: string;
  holder: string;
  token: number;
  shared: boolean;
  why: string;
  expires: string;
}

function printLeases({ out }: Invocation, leases: readonly Held[]): void {
  out.table(
    [
      { title: "NAME" },
      { title: "HOLDER" },
      { title: "TOKEN", align: "right" },
      { title: "HOW" },
      { title: "UNTIL" },
      { title: "WHY", flexible: true, whenSaid: true },
    ],
    leases.map((each) => [
      sanitise(each.name),
      sanitise(each.holder),
      String(each.token),
      each.shared ? "shared" : "alone",
      each.expires,
      sanitise(each.why),
    ]),
  );
}

const leaseAcquire: Command = {
  name: "lease acquire",
  args: "NAME…",
  group: "memory",
  anywhere: true,
  ops: ["lease.acquire"],
  flags: {
    ...LEASE_FLAGS,
    shared: { about: "together with others who share it" },
    why: { value: "TEXT", about: "what for; shown to who wants it too" },
    wait: { value: "30s", about: "wait that long for them to become free" },
  },
  examples: [
    'bosun lease acquire src/parser.ts --ttl 10m --why "refactoring"',
    "bosun lease acquire deploy --wait 50s",
  ],
  async run(invocation) {
    if (invocation.args.length === 0) throw usage("lease acquire needs a name", leaseAcquire);
    const [ttlMs, waitMs] = ["ttl", "wait"].map((flag) => durationOf(invocation, flag, leaseAcquire));
    const why = textOf(invocation, "why");
    const connection = await invocation.connect();
    const answer = await connection.call("lease.acquire", {
      names: invocation.args,
      ...(ttlMs !== undefined && { ttlS: ttlMs / 1000 }),
      ...(waitMs !== undefined && { waitMs }),
      ...(why !== undefined && { why }),
      ...(isSet(invocation, "shared") && { shared: true }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer, "held");
    else printLeases(invocation, answer.held);
    return 0;
  },
};

const leaseRenew: Command = {
  name: "lease renew",
  args: "NAME…",
  group: "memory",
  anywhere: true,
  ops: ["lease.renew"],
  flags: LEASE_FLAGS,
  async run(invocation) {
    if (invocation.args.length === 0) throw usage("lease renew needs a name", leaseRenew);
    const ttlMs = durationOf(invocation, "ttl", leaseRenew);
    const connection = await invocation.connect();
    const answer = await connection.call("lease.renew", {
      names: invocation.args,
      ...(ttlMs !== undefined && { ttlS: ttlMs / 1000 }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer, "held");
    else printLeases(invocation, answer.held);
    return 0;
  },
};

const leaseRelease: Command = {
  name: "lease release",
  args: "NAME…",
  group: "memory",
  anywhere: true,
  ops: ["lease.release"],
  flags: { force: {} },
  async run(invocation) {
    if (invocation.args.length === 0) throw usage("lease release needs a name", leaseRelease);
    const connection = await invocation.connect();
    const answer = await connection.call("lease.release", {
      names: invocation.args,
      ...(isSet(invocation, "force") && { force: true }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else invocation.out.line(answer.released.length > 0 ? `free: ${answer.released.join(", ")}` : "nobody held them");
    return 0;
  },
};

const leaseList: Command = {
  name: "lease list",
  args: "[PATTERN]",
  group: "memory",
  anywhere: true,
  ops: ["lease.list"],
  async run(invocation) {
    const [pattern] = invocation.args;
    const connection = await invocation.connect();
    const answer = await connection.call("lease.list", pattern === undefined ? {} : { pattern });
    if (invocation.out.wish.json) invocation.out.json(answer, "leases");
    else if (answer.leases.length === 0 && !invocation.out.wish.plain) invocation.out.line("nobody holds anything");
    else printLeases(invocation, answer.leases);
    return 0;
  },
};

export const MEMORY_COMMANDS = [
  set,
  get,
  search,
  history,
  remove,
  watch,
  stats,
  leaseAcquire,
  leaseRenew,
  leaseRelease,
  leaseList,
];
