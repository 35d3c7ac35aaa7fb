import type { StoredEvent } from "../../protocol/event.ts";
import { recipientsWaiting } from "../messages/projection.ts";
import type { Town } from "../town.ts";
import type { Addresses } from "./addressing.ts";

/**
 * Recipients whom nobody knows: mail was kept for them before they came, or they have left. Held in memory, because the
 * question is asked with every look at the figures and the answer changes with few entries of the log.
 */
export class Strays {
  readonly #town: Town;
  readonly #addresses: Addresses;
  readonly #leave: () => void;
  /** Null: everybody with mail has to be asked for anew. */
  #strays: Set<string> | null = null;
  /** Those who were known when mail last came for them. */
  readonly #known = new Set<string>();

  constructor(town: Town, addresses: Addresses) {
    this.#town = town;
    this.#addresses = addresses;
    this.#leave = town.ledger.tail((entry) => this.#follow(entry));
    town.on("plan", () => this.#forget());
  }

  all(): string[] {
    if (!this.#strays) {
      this.#strays = new Set();
      for (const who of recipientsWaiting(this.#town.ledger.views)) this.#look(who);
    }
    return [...this.#strays];
  }

  close(): void {
    this.#leave();
  }

  #follow({ event }: StoredEvent): void {
    if (event.type === "message.sent") {
      if (this.#strays) for (const who of event.data.to) if (!this.#known.has(who)) this.#look(who);
    } else if (event.type === "agent.registered") this.#strays?.delete(event.data.agent);
    // Whether it has mail waiting, or who a credential is for, is looked up when somebody asks.
    else if (event.type === "agent.unregistered" || event.type === "credential.issued") this.#forget();
  }

  #look(who: string): void {
    if (this.#town.registry.known(who) || this.#addresses.reaches(who)) this.#known.add(who);
    else this.#strays?.add(who);
  }

  #forget(): void {
    this.#strays = null;
    this.#known.clear();
  }
}
