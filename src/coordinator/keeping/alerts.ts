import { execFile } from "node:child_process";
import { appendFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type Alert,
  type AlertLevel,
  type AlertSink,
  alertAcknowledge,
  alertList,
  alertRaise,
} from "../../protocol/alert.ts";
import { BosunError } from "../../protocol/error.ts";
import type { Event } from "../../protocol/event.ts";
import { sanitise } from "../../protocol/text.ts";
import { type AlertRow, alertRow, alertRows, newestAlert, openAlert } from "../alerts/projection.ts";
import { type Actor, COORDINATOR, type Dispatch } from "../dispatch.ts";
import type { Town } from "../town.ts";

/** Shown at once unless asked for more. */
const SHOWN = 200;

/** A sink that takes longer is left alone; the alert stands in the log all the same. */
const SINK_WITHIN_MS = 10_000;

/** An opening and `status` name so many. */
const TOLD = 10;

/**
 * What wants somebody. Of one thing one alert is open at a time: raised again it says nothing new, louder it replaces the
 * quieter one. All stand in the log and in ALERT.log; the plan says where each level goes besides.
 */
export class Alerts {
  readonly #town: Town;
  readonly #dispatch: Dispatch;
  readonly #leave: () => void;
  /** One after the other, so that of two at once the second finds the first. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(dispatch: Dispatch, town: Town) {
    this.#town = town;
    this.#dispatch = dispatch;
    this.#leave = town.ledger.tail(({ event }) => this.#follow(event));
    dispatch.handle(alertList, ({ all = false, limit = SHOWN }) => ({
      alerts: alertRows(town.ledger.views, all, limit).map(shown),
      file: this.#file,
    }));
    dispatch.handle(alertRaise, async ({ level, text, key }, { actor }) => {
      const raised = await this.#raise(level, key ?? `said by ${actor.id}`, text, actor);
      return { alert: raised && shown(raised), duplicate: raised === null };
    });
    dispatch.handle(alertAcknowledge, ({ ids, note }, { actor }) => this.#acknowledge(ids, note ?? null, actor));
  }

  close(): void {
    this.#closed = true;
    this.#leave();
  }

  get #file(): string {
    return join(this.#town.cradle.stateFolder, "ALERT.log");
  }

  raise(level: AlertLevel, key: string, text: string): void {
    this.#raise(level, key, text, COORDINATOR).catch((error: unknown) => {
      if (!this.#closed) this.#town.log.error({ err: error, level, key, text }, "an alert cannot be written down");
    });
  }

  /** What it was about has passed. */
  clear(key: string, because: string): void {
    const open = openAlert(this.#town.ledger.views, key);
    if (!open) return;
    this.#inTurn(() =>
      this.#town.ledger.write({
        actor: COORDINATOR.name,
        decide: () => ({ events: [{ type: "alert.cleared", data: { ids: [open.id], because } }], result: null }),
      }),
    ).catch((error: unknown) => this.#town.log.error({ err: error, key }, "an alert cannot be cleared"));
  }

  /** One line each, for an opening. */
  told(): string[] {
    return alertRows(this.#town.ledger.views, false, TOLD).map((row) => `${row.level} ${row.text}`);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  /** Null: the same is open already, as loud or louder. */
  #raise(level: AlertLevel, key: string, text: string, actor: Actor): Promise<AlertRow | null> {
    return this.#inTurn(async () => {
      const { result: id } = await this.#town.ledger.write({
        actor: actor.name,
        decide: (views) => {
          const open = openAlert(views, key);
          if (open && open.level <= level) return { events: [] as Event[], result: null };
          const fresh = newestAlert(views) + 1;
          const events: Event[] = [
            ...(open
              ? [{ type: "alert.cleared" as const, data: { ids: [open.id], because: `it is ${level} now` } }]
              : []),
            { type: "alert.raised", data: { id: fresh, level, key, text: sanitise(text), by: actor.id } },
          ];
          return { events, result: fresh };
        },
      });
      if (id === null) return null;
      const row = alertRow(this.#town.ledger.views, id)!;
      this.#write(row);
      for (const sink of this.#town.plan?.alerts[level] ?? [])
        this.#tell(sink, row).catch((error: unknown) =>
          this.#town.log.warn({ err: error, sink }, "an alert does not reach its sink"),
        );
      return row;
    });
  }

  #write(row: AlertRow): void {
    try {
      appendFileSync(this.#file, `${lineOf(row)}\n`, { mode: 0o600 });
    } catch (error) {
      this.#town.log.error({ err: error }, "ALERT.log cannot be written");
    }
  }

  async #tell(sink: AlertSink, row: AlertRow): Promise<void> {
    const text = lineOf(row);
    if (sink === "log") return;
    if (sink === "desktop")
      return run("notify-send", ["-u", row.level === "P0" ? "critical" : "normal", `bosun ${row.level}`, row.text]);
    if ("room" in sink) {
      await this.#town.rooms.post("coordinator", {
        room: sink.room,
        msg: `${row.level} ${row.text}`,
        type: "alert",
        level: row.level <= "P1" ? "alert" : "warn",
        tags: [row.level],
      });
    } else if ("file" in sink) {
      mkdirSync(dirname(sink.file), { recursive: true });
      appendFileSync(sink.file, `${text}\n`);
    } else if ("command" in sink)
      await run("/bin/sh", ["-c", sink.command], {
        BOSUN_ALERT_LEVEL: row.level,
        BOSUN_ALERT_KEY: row.key,
        BOSUN_ALERT_TEXT: row.text,
      });
    else if ("webhook" in sink) {
      const response = await fetch(sink.webhook, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ town: this.#town.name.name, ...shown(row) }),
        signal: AbortSignal.timeout(SINK_WITHIN_MS),
      });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`${sink.webhook} answers with ${response.status}`);
    } else
      await this.#dispatch.ask("message.send", {
        to: [sink.agent],
        subject: `${row.level} ${row.text}`.slice(0, 200),
        body: text,
        priority: row.level <= "P1" ? "critical" : "important",
        queue: true,
      });
  }

  async #acknowledge(ids: readonly number[], note: string | null, actor: Actor) {
    const { result } = await this.#town.ledger.write({
      actor: actor.name,
      decide: (views) => {
        const missing = ids.find((id) => alertRow(views, id) === null);
        if (missing !== undefined)
          throw new BosunError({ code: "NOT_FOUND", what: `there is no alert ${missing}`, fix: "bosun alerts --all" });
        const fresh = ids.filter((id) => alertRow(views, id)!.ackAtMs === null);
        const events: Event[] = fresh.length > 0 ? [{ type: "alert.acknowledged", data: { ids: fresh, note } }] : [];
        return { events, result: fresh };
      },
    });
    return { acknowledged: result };
  }

  /** What the log tells of by itself. */
  #follow(event: Event): void {
    switch (event.type) {
      case "restart.decided": {
        const { session, exit, because } = event.data;
        if (event.data.do === "park" || event.data.do === "probe")
          this.raise("P1", `session ${session}`, `${session} is given up after ${exit}: ${because}`);
        else if (event.data.do === "leave" && this.#isPersistent(session))
          this.raise("P1", `session ${session}`, `${session} ended (${exit}) and stays down: ${because}`);
        break;
      }
      case "restart.reset":
        this.clear(`session ${event.data.session}`, "somebody has reset it");
        break;
      case "session.wanted":
        if (event.data.wanted === "stopped") this.clear(`session ${event.data.session}`, "it was stopped");
        break;
      case "session.failed":
        this.raise("P2", `start ${event.data.session}`, `${event.data.name} does not start: ${event.data.because}`);
        break;
      case "session.started":
        this.clear(`start ${event.data.session}`, "it started");
        break;
      case "health.changed": {
        const { session, check, healthy, evidence } = event.data;
        const key = `health ${session} ${check}`;
        if (healthy) this.clear(key, "it is well again");
        else this.raise("P2", key, `${session}: ${check} fails: ${evidence}`);
        break;
      }
      case "session.unknown":
        this.raise("P3", `ghost ${event.data.name}`, `nobody declared the session ${event.data.name}: bosun ghosts`);
        break;
      case "ghost.decided":
        this.clear(`ghost ${event.data.name}`, event.data.decision);
        break;
      default:
    }
  }

  #isPersistent(id: string): boolean {
    return this.#town.plan?.sessions.find((session) => session.id === id)?.restart.policy === "always";
  }
}

function lineOf(row: AlertRow): string {
  return `${new Date(row.raisedAtMs).toISOString()} ${row.level} #${row.id} ${row.text.replaceAll("\n", " ")}`;
}

function shown(row: AlertRow): Alert {
  const iso = (ms: number): string => new Date(ms).toISOString();
  return {
    id: row.id,
    level: row.level,
    key: row.key,
    text: row.text,
    raised: iso(row.raisedAtMs),
    by: row.by,
    acknowledged: row.ackAtMs === null ? null : { at: iso(row.ackAtMs), by: row.ackBy!, note: row.ackNote },
    cleared: row.clearedAtMs === null ? null : iso(row.clearedAtMs),
  };
}

function run(command: string, args: string[], env: Record<string, string> = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { timeout: SINK_WITHIN_MS, env: { ...process.env, ...env } }, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}
