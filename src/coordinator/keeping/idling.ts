import { nameOf, type PlanSession } from "../../protocol/plan.ts";
import { COORDINATOR } from "../dispatch.ts";
import type { Displays } from "../displays.ts";
import type { Opening } from "../opening.ts";
import { waitingInputs } from "../sessions/projection.ts";
import { Ticker } from "../ticker.ts";
import type { Town } from "../town.ts";
import type { Reconcile } from "../up.ts";

/** A policy of an hour does not need more; tests have policies of a second. */
const LOOK_EVERY_MS = 1_000;

/**
 * Ends sessions that have rested as long as their entry says. Resting is what is seen, never what is missing: each pane says that
 * it is idle, none has written, nobody is attached or looks, nothing waits to be typed. What works, waits or is unknown is left.
 */
export class Idling {
  readonly #town: Town;
  readonly #displays: Displays;
  readonly #reconcile: Reconcile;
  readonly #opening: Opening;
  readonly #every: Ticker;
  readonly #ending = new Set<string>();

  constructor(town: Town, displays: Displays, reconcile: Reconcile, opening: Opening) {
    this.#town = town;
    this.#displays = displays;
    this.#reconcile = reconcile;
    this.#opening = opening;
    this.#every = new Ticker(LOOK_EVERY_MS, () => this.#look());
    town.on("plan", (plan) => this.#every.set(plan.sessions.some((session) => session.idleMs !== null)));
  }

  close(): void {
    this.#every.close();
  }

  #look(): void {
    for (const session of this.#town.plan?.sessions ?? []) {
      if (session.idleMs === null || session.protect || this.#ending.has(session.id) || !this.#rests(session)) continue;
      this.#ending.add(session.id);
      void this.#end(session).finally(() => this.#ending.delete(session.id));
    }
  }

  #rests(session: PlanSession): boolean {
    const displays = this.#displays.of(session.id);
    const found = this.#town.world?.sessions.find((each) => each.marks?.id === session.id);
    if (displays.length === 0 || !found || found.attached > 0 || this.#town.busy.has(session.id)) return false;
    if (waitingInputs(this.#town.ledger.views, session.id).length > 0) return false;
    const latest = this.#town.now() - session.idleMs!;
    return displays.every(({ track, watchers, wroteAtMs }) => {
      const { state, sinceMs } = track.activity;
      const idle = state === "idle" || state === "done-unseen";
      return idle && sinceMs <= latest && (wroteAtMs ?? 0) <= latest && watchers.size === 0;
    });
  }

  async #end(session: PlanSession): Promise<void> {
    const because = `idle for ${Math.round(session.idleMs! / 1_000)} s`;
    this.#town.log.info({ session: session.id, because }, "a session is ended");
    try {
      if (session.label !== undefined) await this.#opening.close(session.id, because, COORDINATOR);
      else await this.#reconcile.down({ sessions: [session.id], because }, COORDINATOR);
    } catch (error) {
      this.#town.log.warn({ err: error, session: nameOf(session) }, "it cannot be ended");
    }
  }
}
