import { CATALOGUE } from "../protocol/catalogue.ts";
import { BosunError } from "../protocol/error.ts";
import type { Caller, Guest } from "./guest.ts";

type Input = Record<string, unknown>;

/**
 * A crew of one in memory, for what the tools do with operations: each input and each answer is checked against its
 * declaration, so that a tool cannot call what the coordinator would not understand.
 */
export class Crew implements Guest {
  readonly room = "spx";
  mailShownAtMs = 0;
  readonly called: string[] = [];
  readonly messages: Input[] = [];
  readonly memory = new Map<string, Input>();
  readonly lines: Input[] = [];
  readonly #held = new Map<string, Input>();
  #status = "active";
  #task: string | null = null;
  #seq = 0;

  readonly #caller: Caller = {
    call: (async (op: string, input: unknown) => this.#call(op, input)) as Caller["call"],
  };

  async self(): Promise<string> {
    return "dev-001";
  }

  async caller(): Promise<Caller> {
    return this.#caller;
  }

  async open() {
    return (await this.#caller.call("agent.ping", {})).agent;
  }

  async as(id: string): Promise<Caller> {
    if (id === "dev-001") return this.#caller;
    throw new BosunError({ code: "REFUSED", what: "not yours" });
  }

  #call(op: string, input: unknown): unknown {
    const operation = CATALOGUE.get(op)!;
    const asked = operation.input.safeParse(input);
    if (!asked.success) throw new Error(`${op} was called with ${JSON.stringify(asked.error.issues)}`);
    this.called.push(op);
    const answer = this.#answer(op, asked.data as Input);
    const checked = operation.output.safeParse(answer);
    if (!checked.success) throw new Error(`the crew answers ${op} wrongly: ${JSON.stringify(checked.error.issues)}`);
    return answer;
  }

  #answer(op: string, input: Input): unknown {
    switch (op) {
      case "agent.ping":
        return { agent: this.#agent(), was: "active" };
      case "agent.register":
        return { agent: this.#agent(), tokenFile: "/t", socket: "/s", returning: false };
      case "agent.status":
        this.#status = input.status as string;
        if (input.task !== undefined) this.#task = input.task as string | null;
        return { agent: this.#agent() };
      case "agent.list":
        return { sessions: [this.#agent()], total: 1, active: 1, by_status: {}, next: null };
      case "agent.show":
        return { agent: this.#agent() };
      case "message.send":
        return this.#send(input);
      case "message.inbox":
        return this.#inbox(input);
      case "message.ack":
        for (const id of input.ids as string[]) this.#message(id).state = "acked";
        return { acked: input.ids };
      case "message.thread":
        return { thread: "t", messages: [this.#message(input.id as string)], next: null };
      case "message.ping":
        return {
          ...{ id: "p", thread: "p", signal: "🔔", alive: true, by: "agent" },
          ...{ rtt_ms: 1, evidence: "it answered", seen_ms: 0, pong: null },
        };
      case "search.text":
        return { hits: [{ kind: "memory", id: "k", line: "found", from: "dev-001", at: AT, seq: 1 }], next: 7 };
      case "memory.set":
      case "memory.delete":
        return this.#remember(op, input);
      case "memory.get":
        return this.#entry(input.key as string);
      case "memory.search":
      case "memory.history": {
        const start = String(input.pattern ?? input.key ?? "").replace(/\*$/, "");
        const found = [...this.memory.values()].filter((entry) => String(entry.key).startsWith(start));
        const entries = op === "memory.history" ? found.map((entry) => ({ ...entry, change: "set" })) : found;
        return { entries: input.tags ? [] : entries, count: entries.length, next: null };
      }
      case "room.post":
        this.lines.push(input);
        return { id: `spx-${this.lines.length}`, seq: this.lines.length, ts: AT, duplicate: false };
      case "room.read":
        return { lines: [], cursors: { spx: this.lines.length }, more: false, gone: {} };
      case "room.list":
        return { rooms: [] };
      case "ask.send":
        if (input.agent === "slow") throw new BosunError({ code: "TIMEOUT", what: "no answer yet" });
        return { ask: "q1", agent: input.agent, answer: "42", route: "socket", also: [], ms: 1 };
      case "task.list":
        return { tasks: [], next: null };
      case "task.show":
        throw new BosunError({ code: "NOT_FOUND", what: "there is no such task" });
      default:
        return this.#lease(op, input);
    }
  }

  #lease(op: string, input: Input): unknown {
    if (op === "lease.list") return { leases: [...this.#held.values()] };
    const names = input.names as string[];
    if (op === "lease.release") return { released: names.filter((name) => this.#held.delete(name)) };
    if (op === "lease.acquire" && names.some((name) => this.#held.has(name)))
      throw new BosunError({ code: "CONFLICT", what: "dev-001 has it" });
    const held = names.map((name) => ({
      ...{ name, holder: "dev-001", token: ++this.#seq, shared: false },
      ...{ why: "", since: AT, expires: AT },
    }));
    for (const each of held) this.#held.set(each.name, each);
    return { held };
  }

  #agent(): unknown {
    return {
      ...{ session_id: "dev-001", agent_name: "Dev", agent_type: "claude", status: this.#status, started_at: AT },
      ...{ last_ping: AT, human_user: null, location: null, capabilities: ["python"], current_task: this.#task },
      ...{ metadata: {}, groups: [], epoch: 1, lease_s: 300, session: null, since: AT, evidence: "x", unread: 0 },
    };
  }

  #send(input: Input): unknown {
    const id = `m${this.messages.length + 1}`;
    this.messages.push({
      ...{ id, seq: ++this.#seq, from: "dev-001", human: false, to: "dev-001", type: input.type ?? "notification" },
      ...{ subject: input.subject, body: input.body, data: input.data, priority: input.priority ?? "normal" },
      ...{ thread: id, in_reply_to: null, ts: AT, state: "queued", outcome: null, ack: input.ack ?? false },
      ...{ redelivered: false, expires: null, open: null, task: null, signal: "🔔" },
    });
    return {
      ...{ id, thread: id, recipients: input.to, seq: this.#seq, ts: AT, duplicate: false },
      ...{ signal: "🔔 dev-001", task: null, answer: null },
    };
  }

  #inbox(input: Input): unknown {
    const unread = this.messages.filter((message) => message.state === "queued");
    const wanted = (input.unread ? unread : this.messages).slice(0, (input.limit as number) ?? 100);
    const shown = wanted.map(({ body, data, ...message }) =>
      input.bodies === false ? message : { ...message, body, data },
    );
    if (input.bodies !== false)
      for (const message of wanted) if (message.state === "queued") message.state = "presented";
    const left = this.messages.filter((message) => message.state === "queued").length;
    return { who: "dev-001", unread: left, urgent: 0, messages: shown, next: null };
  }

  #message(id: string): Input {
    const found = this.messages.find((message) => message.id === id);
    if (!found) throw new BosunError({ code: "NOT_FOUND", what: `there is no message ${id}` });
    return found;
  }

  #remember(op: string, input: Input): unknown {
    const key = input.key as string;
    const rev = ++this.#seq;
    if (input.ifRev !== undefined && input.ifRev !== ((this.memory.get(key)?.rev as number | undefined) ?? 0))
      throw new BosunError({ code: "CONFLICT", what: "another rev" });
    if (op === "memory.delete") return { key, deleted: this.memory.delete(key) ? 1 : 0, rev };
    const { value, type = "note", tags = [] } = input;
    const entry = { id: `v${rev}`, key, value, rev, type, tags, by: "dev-001", ts: AT, expires: null, metadata: {} };
    this.memory.set(key, entry);
    return { id: entry.id, key, rev, ts: AT, expires: null, duplicate: false };
  }

  #entry(key: string): unknown {
    const found = this.memory.get(key);
    if (!found) throw new BosunError({ code: "NOT_FOUND", what: `nothing is stored under ${key}` });
    return found;
  }
}

const AT = "2026-04-21T10:00:00.000Z";
