import type { MessageType } from "./message.ts";
import { sanitise } from "./text.ts";

/** One sign per type, those of the system the wording comes from. */
const SIGNS: Record<MessageType, string> = {
  ping: "🔔",
  request: "❓",
  response: "✅",
  broadcast: "📡",
  notification: "📢",
  task_offer: "🤝",
  task_accept: "👍",
  sync: "🔄",
  handoff: "🎯",
};

/**
 * A message as one line for people: `🔔 cece-001 → agent-002 : [COLLABORATION] Ping`. `to` null is everybody. Names and subject
 * are made safe to show; line breaks become spaces.
 */
export function formatSignal(message: { type: string; from: string; to: string | null; subject: string }): string {
  const sign = (SIGNS as Record<string, string>)[message.type] ?? "💬";
  const line = `${sign} ${message.from} → ${message.to ?? "ALL"} : [COLLABORATION] ${message.subject}`;
  return sanitise(line).replace(/[\r\n\t]+/g, " ");
}
