import { statSync } from "node:fs";
import { join } from "node:path";
import { hubBeacon, hubReport, hubStats } from "../protocol/hub.ts";
import type { memoryStats } from "../protocol/memory.ts";
import type { messageStats } from "../protocol/message.ts";
import type { OutputOf } from "../protocol/operation.ts";
import type { AgentInfo, AgentStatus, agentStats } from "../protocol/registry.ts";
import { Beacon } from "./beacon.ts";
import type { Dispatch } from "./dispatch.ts";
import { keysOf } from "./memory/projection.ts";
import { ackDelays, mailboxRow, mailCounts } from "./messages/projection.ts";
import { type Doings, type ReportLine, reportLine } from "./report.ts";
import { taskCount } from "./tasks/projection.ts";
import type { Town } from "./town.ts";

/** Lines of the beacon; what a status bar can show. */
const BEACON_SESSIONS = 10;

/** Agents of a report that asks for no number. */
const REPORT_LINES = 100;

/** The busiest first, with the sign of each. */
const SIGNS: readonly [AgentStatus, string][] = [
  ["working", "⚙️"],
  ["active", "🟢"],
  ["waiting", "⏳"],
  ["idle", "⏸️"],
  ["offline", "⚪"],
];

interface BeaconFacts {
  town: string;
  total_sessions: number;
  active_sessions: number;
  collaboration_messages: number;
  shared_memory_entries: number;
  unread: number;
  sessions: OutputOf<typeof hubBeacon>["sessions"];
}

/** What monitoring is told of a town, besides the requests. */
export interface Gauges {
  agents: Record<string, number>;
  messages: Record<string, number>;
  deliveries: Record<string, number>;
  unread: number;
  dead: number;
  openRequests: number;
  memory: Record<string, number>;
  memoryKeys: number;
  /** tmux sessions by state. */
  sessions: Record<string, number>;
  /** Since the coordinator started. */
  stalls: { count: number; longestMs: number };
  logHead: number;
  /** Of the log with its views, and what SQLite keeps beside it. */
  logBytes: number;
}

/** Figures of the hub: statistics, a report per agent, the status beacon. All are answers of other operations, put together. */
export class Figures {
  readonly #dispatch: Dispatch;
  readonly #town: Town;
  readonly #beacon: Beacon<BeaconFacts>;

  constructor(dispatch: Dispatch, town: Town) {
    this.#dispatch = dispatch;
    this.#town = town;
    this.#beacon = new Beacon(join(town.cradle.stateFolder, "status.json"), () => this.#facts(), town);
    dispatch.handle(hubStats, () => this.#stats());
    dispatch.handle(hubReport, (input) => this.#report(input.id, input.limit ?? REPORT_LINES));
    dispatch.handle(hubBeacon, async () => ({ ...(await this.#beacon.read()) }));
  }

  close(): void {
    this.#beacon.close();
  }

  async gauges(): Promise<Gauges> {
    const { sessions: agents, messages, memory } = await this.#stats();
    const { sessions } = await this.#dispatch.ask<{ sessions: { state: string }[] }>("town.status");
    return {
      agents: agents.by_status,
      messages: messages.by_type,
      deliveries: mailCounts(this.#town.ledger.views, "state"),
      unread: messages.unread,
      dead: messages.dead,
      openRequests: messages.open_requests,
      memory: memory.by_type,
      memoryKeys: memory.unique_keys,
      sessions: counted(sessions.map((session) => session.state)),
      stalls: this.#town.stalls,
      logHead: this.#town.ledger.head().position,
      logBytes: ["", "-wal"]
        .map((end) => join(this.#town.cradle.stateFolder, `log.sqlite${end}`))
        .reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0),
    };
  }

  async #stats() {
    const [sessions, messages, memory] = await Promise.all([
      this.#dispatch.ask<OutputOf<typeof agentStats>>("agent.stats"),
      this.#dispatch.ask<OutputOf<typeof messageStats>>("message.stats"),
      this.#dispatch.ask<OutputOf<typeof memoryStats>>("memory.stats"),
    ]);
    return { sessions, messages, memory };
  }

  async #report(id: string | undefined, limit: number): Promise<OutputOf<typeof hubReport>> {
    const agents =
      id === undefined
        ? (await this.#dispatch.ask<{ sessions: AgentInfo[] }>("agent.list", { all: true, limit })).sessions
        : [(await this.#dispatch.ask<{ agent: AgentInfo }>("agent.show", { id })).agent];
    const lines: ReportLine[] = [];
    for (const agent of agents) {
      const { views } = this.#town.ledger;
      const mail = { ...mailboxRow(views, agent.session_id), ackDelaysMs: ackDelays(views, agent.session_id) };
      lines.push(reportLine(agent, mail, this.#doings(agent.session_id), this.#town.now()));
    }
    return { sessions: lines };
  }

  #doings(owner: string): Doings {
    const { views } = this.#town.ledger;
    return {
      tasks: { owned: taskCount(views, owner, "accepted"), done: taskCount(views, owner, "done") },
      memory: keysOf(views, owner, this.#town.now()),
    };
  }

  async #facts(): Promise<BeaconFacts> {
    const { sessions, messages, memory } = await this.#stats();
    const shown: BeaconFacts["sessions"] = [];
    for (const [status, emoji] of SIGNS) {
      const limit = BEACON_SESSIONS - shown.length;
      if (limit === 0) break;
      const page = await this.#dispatch.ask<{ sessions: AgentInfo[] }>("agent.list", {
        status: [status],
        all: true,
        limit,
      });
      for (const { session_id, agent_name, agent_type, current_task } of page.sessions) {
        shown.push({ session_id, agent_name, agent_type, status, emoji, current_task });
      }
    }
    return {
      town: this.#town.name.name,
      total_sessions: sessions.total_sessions,
      active_sessions: sessions.active_sessions,
      collaboration_messages: messages.total_messages,
      shared_memory_entries: memory.total_entries,
      unread: messages.unread,
      sessions: shown,
    };
  }
}

function counted(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
