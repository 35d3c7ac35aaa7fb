import type { Event } from "../../protocol/event.ts";
import { agentsOf, type PlanSession } from "../../protocol/plan.ts";
import type { Dispatch } from "../dispatch.ts";
import type { Town } from "../town.ts";
import type { Alerts } from "./alerts.ts";

/**
 * Tells those whom a session feeds (`feeds:` in the plan) that it has ended, and that it is back: a session by its agents' mail,
 * an agent by its own, a room by a line. What is none of these stands as an alert.
 */
export class Feeds {
  readonly #town: Town;
  readonly #dispatch: Dispatch;
  readonly #alerts: Alerts;
  readonly #leave: () => void;
  /** Sessions of which it was said that they have ended. */
  readonly #dead = new Set<string>();

  constructor(dispatch: Dispatch, town: Town, alerts: Alerts) {
    this.#town = town;
    this.#dispatch = dispatch;
    this.#alerts = alerts;
    this.#leave = town.ledger.tail(({ event }) => this.#follow(event));
  }

  close(): void {
    this.#leave();
  }

  #follow(event: Event): void {
    switch (event.type) {
      case "pane.exited":
      case "session.exited":
        this.#changed(event.data.session, `ended: ${event.data.exit}`);
        break;
      case "session.stopped":
        this.#changed(event.data.session, "was stopped");
        break;
      case "session.started":
      case "pane.respawned":
        this.#changed(event.data.session, null);
        break;
      default:
    }
  }

  /** `why` null: it runs. */
  #changed(id: string, why: string | null): void {
    const session = this.#town.plan?.sessions.find((each) => each.id === id);
    const feeds = session?.documented.feeds ?? [];
    if (!session || feeds.length === 0 || this.#dead.has(id) === (why !== null)) return;
    if (why === null) this.#dead.delete(id);
    else this.#dead.add(id);
    for (const feed of feeds)
      this.#tell(session, feed, why).catch((error: unknown) =>
        this.#town.log.warn({ err: error, session: id, feed }, "who is fed by it cannot be told"),
      );
  }

  async #tell(session: PlanSession, feed: string, why: string | null): Promise<void> {
    const plan = this.#town.plan!;
    const text =
      why === null
        ? `${session.name}, which feeds ${feed}, runs again`
        : `${session.name}, which feeds ${feed}, ${why}`;
    const consumer = plan.sessions.find((each) => each.id === feed || each.name === feed);
    const agents = agentsOf(consumer ? [consumer] : plan.sessions).map(({ agent }) => agent.id);
    const to = consumer ? agents : agents.filter((id) => id === feed);
    if (plan.rooms.some((room) => room.id === feed))
      await this.#town.rooms.post("coordinator", {
        room: feed,
        msg: text,
        type: "alert",
        level: why === null ? "info" : "warn",
      });
    if (to.length > 0)
      await this.#dispatch.ask("message.send", {
        to,
        subject: text.slice(0, 200),
        body: text,
        priority: "important",
        queue: true,
      });
    const key = `feed ${session.id} ${feed}`;
    if (why === null) this.#alerts.clear(key, "it runs again");
    else this.#alerts.raise("P2", key, text);
  }
}
