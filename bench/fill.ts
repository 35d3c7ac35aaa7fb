import { mkdirSync } from "node:fs";
import { openLedger } from "../src/coordinator/log/ledger.ts";
import { memoryProjection } from "../src/coordinator/memory/projection.ts";
import { messagesProjection } from "../src/coordinator/messages/projection.ts";
import { registryProjection } from "../src/coordinator/registry/projection.ts";
import { sessionsProjection } from "../src/coordinator/sessions/projection.ts";
import { tasksProjection } from "../src/coordinator/tasks/projection.ts";
import type { Event } from "../src/protocol/event.ts";
import { timedId } from "../src/protocol/id.ts";

const AT_ONCE = 5_000;
/** Longer than any bench: nobody goes offline meanwhile. */
const LEASE_S = 30 * 86_400;

export interface Amounts {
  messages: number;
  sessions: number;
  values: number;
}

/** Writes a town's log with so much in it, before its coordinator first starts: what a million sends would have left. */
export async function fill(folder: string, { messages, sessions, values }: Amounts): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const ledger = openLedger({
    folder,
    projections: [sessionsProjection, registryProjection, messagesProjection, tasksProjection, memoryProjection],
  });
  const write = async (many: number, eventOf: (n: number) => Event): Promise<void> => {
    for (let from = 0; from < many; from += AT_ONCE) {
      const events = Array.from({ length: Math.min(AT_ONCE, many - from) }, (_, index) => eventOf(from + index));
      await ledger.write({ actor: "coordinator", decide: () => ({ events, result: null }) });
    }
  };
  await write(sessions, registered);
  await write(messages, (n) => sent(n, sessions));
  await write(values, (n) => remembered(n, sessions));
  await ledger.close();
}

function registered(n: number): Event {
  return {
    type: "agent.registered",
    data: {
      agent: `agent-${n}`,
      name: `Agent ${n}`,
      agentType: "script",
      user: "bench",
      capabilities: ["python", `skill-${n % 20}`],
      location: null,
      metadata: {},
      groups: [],
      task: null,
      epoch: 1,
      leaseS: LEASE_S,
      session: null,
      status: "active",
      startedAtMs: null,
    },
  };
}

/** Every seventh goes to `agent-1`, whose mailbox is the one that is read; the others are spread. */
function sent(n: number, sessions: number): Event {
  const id = timedId(crypto.randomUUID(), Date.now());
  return {
    type: "message.sent",
    data: {
      id,
      thread: id,
      from: `agent-${n % sessions}`,
      to: [n % 7 === 0 ? "agent-1" : `agent-${(n * 7) % sessions}`],
      type: n % 10 === 0 ? "request" : "notification",
      subject: `Subject ${n}`,
      body: `The quick brown fox ${n} jumps over the lazy dog`,
      dataJson: null,
      priority: ["critical", "important", "normal", "low"][n % 4]!,
      inReplyTo: null,
      addressed: ["agent-1"],
      human: false,
      ack: n % 5 === 0,
      expiresAtMs: null,
      task: null,
      sentAtMs: null,
    },
  };
}

function remembered(n: number, sessions: number): Event {
  return {
    type: "memory.set",
    data: {
      id: timedId(crypto.randomUUID(), Date.now()),
      key: `key/${n}`,
      valueJson: `{"n":${n},"text":"what was found out"}`,
      type: "fact",
      tags: [`tag-${n % 50}`, "bench"],
      by: `agent-${n % sessions}`,
      expiresAtMs: null,
      metadata: {},
      setAtMs: null,
    },
  };
}
