import type { CallOptions } from "../client/connection.ts";
import type { Answer, OperationInput, OperationName } from "../client/operations.gen.ts";
import { BosunError } from "../protocol/error.ts";
import type { AgentInfo } from "../protocol/registry.ts";

/** The one thing tools need of a connection; over HTTP the coordinator itself gives it. */
export interface Caller {
  call<Name extends OperationName>(op: Name, input: OperationInput<Name>, options?: CallOptions): Promise<Answer<Name>>;
}

export interface Wish {
  /** Id of its own; without it one is made of the name. */
  id?: string;
  name?: string;
  type?: string;
  user?: string;
  capabilities?: string[];
}

/** Whoever uses the tools: an agent with a credential, a stranger who becomes one, or a person. */
export interface Guest {
  /** Own id: what others write to. Registers a stranger first. */
  self(): Promise<string>;
  /** Speaks as this guest. Registers a stranger first. */
  caller(): Promise<Caller>;
  /** Becomes, or is, a registered agent; null = a person, who needs no registration. */
  open(wish: Wish): Promise<AgentInfo | null>;
  /** Speaks as the registered agent `id`. Others than oneself only for people. */
  as(id: string): Promise<Caller>;
  /** Room lines go to when none is named. */
  readonly room: string | null;
  /** When the mail line was last shown, in ms since 1970. */
  mailShownAtMs: number;
}

/** What an agent may be called: letters, digits and hyphens, at most 48 characters, or null when nothing is left. */
export function idFrom(name: string): string | null {
  const id = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 48)
    .replaceAll(/^[-0-9]+|-+$/g, "");
  return id === "" ? null : id;
}

const ADJECTIVES = "amber brisk calm deft early fleet green hardy keen level merry noble prime quick ready solid".split(
  " ",
);
const NOUNS = "anchor beacon compass dory eagle ferry gull harbor islet jetty keel lantern mast otter pilot reef".split(
  " ",
);

/** A name for whoever gave none: one of 256 000. */
export function strangerName(): string {
  const one = (words: string[]): string => words[Math.floor(Math.random() * words.length)]!;
  return `${one(ADJECTIVES)}-${one(NOUNS)}-${Math.floor(Math.random() * 1000)}`;
}

/** The agent behind a caller, or null for people and programs. Counts as a sign of life. */
export async function agentOf(caller: Caller): Promise<AgentInfo | null> {
  try {
    return (await caller.call("agent.ping", {})).agent;
  } catch (error) {
    if (error instanceof BosunError && ["UNKNOWN_AGENT", "REFUSED", "USAGE"].includes(error.code)) return null;
    throw error;
  }
}

/** Brings an open agent's capabilities up to what is wished. */
export async function refresh(caller: Caller, agent: AgentInfo, wish: Wish): Promise<AgentInfo> {
  if (!wish.capabilities) return agent;
  const { agent: now } = await caller.call("agent.register", {
    id: agent.session_id,
    name: agent.agent_name,
    type: agent.agent_type,
    capabilities: wish.capabilities,
  });
  return now;
}
