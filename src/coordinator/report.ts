import type { hubReport } from "../protocol/hub.ts";
import type { OutputOf } from "../protocol/operation.ts";
import type { AgentInfo } from "../protocol/registry.ts";

export type ReportLine = OutputOf<typeof hubReport>["sessions"][number];

/** Mail of one agent, counted. */
export interface MailFigures {
  sent: number;
  received: number;
  acked: number;
  /** From sent to acknowledged, ms, ascending; of the newest. */
  ackDelaysMs: readonly number[];
}

/** What a report says of one agent beside its mail. */
export interface Doings {
  tasks: { owned: number; done: number };
  /** Keys whose value it wrote. */
  memory: number;
}

/** One line of the report; `nowMs` is milliseconds since 1970. An offline agent was up until its status began. */
export function reportLine(agent: AgentInfo, mail: MailFigures, doings: Doings, nowMs: number): ReportLine {
  const untilMs = agent.status === "offline" ? Date.parse(agent.since) : nowMs;
  const delays = mail.ackDelaysMs;
  return {
    session_id: agent.session_id,
    status: agent.status,
    sent: mail.sent,
    received: mail.received,
    unread: agent.unread,
    acked: mail.acked,
    ack_ms:
      delays.length === 0
        ? null
        : { p50: nearestRank(delays, 0.5), p95: nearestRank(delays, 0.95), max: delays.at(-1)! },
    tasks: doings.tasks,
    memory: doings.memory,
    up_s: Math.max(0, Math.round((untilMs - Date.parse(agent.started_at)) / 1000)),
  };
}

/** The smallest of `ascending` that at least `share` of them do not exceed. */
function nearestRank(ascending: readonly number[], share: number): number {
  return ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)]!;
}
