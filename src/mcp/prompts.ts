import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";

export const PROMPTS = [
  {
    name: "open",
    description: "Start work: who you are, mail, what was left",
    text:
      "Call session_open. Read the handoff and the pins it returns. If there is unread mail, call inbox_read with bodies: true " +
      "and acknowledge what you take on. Then call session_status with status working and your task.",
  },
  {
    name: "close",
    description: "End work: leave everything for whoever goes on",
    text:
      "Answer or acknowledge open mail. Release your leases. Then call session_close with a summary of what was done, what to " +
      "do next, open todos, and facts worth keeping under memory keys.",
  },
  {
    name: "handoff",
    description: "Give your task to another agent",
    text:
      "Call session_list to find who can go on. Then call handoff with action offer, their id, the task, and as state: what is " +
      "done, what is not, where the files are, and what you would do next.",
  },
] as const;

/** Throws a protocol error for a prompt nobody has. */
export function promptText(name: string): string {
  const found = PROMPTS.find((prompt) => prompt.name === name);
  if (found) return found.text;
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, "the prompts are open, close and handoff");
}
