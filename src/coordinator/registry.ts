import type { AgentInfo } from "../protocol/registry.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Town } from "./town.ts";

/**
 * Who is there. Facts come from the log, signs of life from memory: pings, calls of the agents themselves, panes seen alive.
 */
export class Registry {
  readonly #town: Town;

  constructor(town: Town) {
    this.#town = town;
  }

  /** Registered, declared in the plan, or a user of the plan: mail to it has somebody to read it. */
  known(_id: string): boolean {
    return this.#town.plan !== null;
  }

  /** Null when nobody is registered under this id. */
  info(_id: string): AgentInfo | null {
    return null;
  }

  /** Ids of all agents that are registered and not offline. */
  present(): string[] {
    return [];
  }

  /** Present agents that have all of these, the best to give work to first: idle, active, waiting, working; then least unread. */
  withCapabilities(_capabilities: string[]): AgentInfo[] {
    return [];
  }

  /** Members of a group or topic at this moment, those of the plan included; null when there is no such group. */
  members(_kind: "group" | "topic", _name: string): string[] | null {
    return null;
  }

  /** 0 for somebody who was never registered. */
  epochOf(_id: string): number {
    return 0;
  }

  /** `alive` null: nobody can tell. */
  alive(_id: string): { alive: boolean | null; evidence: string; seenMs: number | null } {
    return { alive: null, evidence: "nobody has seen it", seenMs: null };
  }

  /** It called, or was seen: counts as a sign of life. */
  seen(_id: string): void {}

  register(_dispatch: Dispatch): void {}

  close(): void {}
}
