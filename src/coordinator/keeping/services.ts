import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { BosunError } from "../../protocol/error.ts";
import { type ServiceSpec, type ServiceState, serviceAct, serviceList } from "../../protocol/service.ts";
import { sanitise } from "../../protocol/text.ts";
import type { Actor, Dispatch } from "../dispatch.ts";
import { parseDuration } from "../plan/durations.ts";
import { Ticker } from "../ticker.ts";
import type { Town } from "../town.ts";
import type { Alerts } from "./alerts.ts";
import { answers } from "./endpoint.ts";

const EVERY_MS = 15_000;
const TICK_MS = 500;
const TIMEOUT_MS = 5_000;

/** Properties that say how a unit is (systemctl show). */
const PROPERTIES = ["LoadState", "ActiveState", "SubState", "MainPID", "Description", "Result"] as const;

interface Answer {
  state: ServiceState["state"];
  says: string;
  pid: number | null;
}

interface Known extends Answer {
  askedMs: number | null;
  sinceMs: number;
  dueMs: number;
  asking: Promise<void> | null;
}

/**
 * Services of the plan: asked how they are, in their managers' own words. Nothing here starts or stops one except the
 * operation for it, and that only for those declared `manage: true`.
 */
export class Services {
  readonly #town: Town;
  readonly #alerts: Alerts;
  readonly #known = new Map<string, Known>();
  readonly #every: Ticker;
  #closed = false;

  constructor(dispatch: Dispatch, town: Town, alerts: Alerts) {
    this.#town = town;
    this.#alerts = alerts;
    dispatch.handle(serviceList, async ({ fresh }) => {
      await Promise.all(
        this.#declared().flatMap(({ id, spec }) =>
          fresh || this.#knownOf(id).askedMs === null ? [this.#ask(id, spec)] : [],
        ),
      );
      return { services: this.states() };
    });
    dispatch.handle(serviceAct, ({ service, action }, { actor }) => this.#act(service, action, actor));
    town.servicesOf = () => this.states();
    this.#every = new Ticker(TICK_MS, () => this.#tick());
    town.on("plan", (plan) => this.#every.set(plan.services.length > 0));
  }

  close(): void {
    this.#closed = true;
    this.#every.close();
  }

  #declared(): readonly { id: string; spec: ServiceSpec }[] {
    return this.#town.plan?.services ?? [];
  }

  states(): ServiceState[] {
    return this.#declared().map(({ id, spec }) => {
      const { state, says, pid, askedMs, sinceMs } = this.#knownOf(id);
      return {
        id,
        about: spec.about ?? "",
        manager: managerOf(spec),
        command: commandOf(spec),
        state,
        says,
        pid,
        asked: askedMs === null ? null : new Date(askedMs).toISOString(),
        since: new Date(sinceMs).toISOString(),
        managed: spec.manage ?? false,
      };
    });
  }

  /** One line each, for an opening. */
  told(): string[] {
    return this.states().map((each) => `${each.id}: ${each.state} (${each.manager}: ${each.says})`);
  }

  #knownOf(id: string): Known {
    let known = this.#known.get(id);
    if (!known) {
      known = {
        state: "unknown",
        says: "not asked yet",
        pid: null,
        askedMs: null,
        sinceMs: this.#town.now(),
        dueMs: 0,
        asking: null,
      };
      this.#known.set(id, known);
    }
    return known;
  }

  #tick(): void {
    const nowMs = this.#town.now();
    for (const { id, spec } of this.#declared())
      if (this.#knownOf(id).dueMs <= nowMs)
        this.#ask(id, spec).catch((error: unknown) =>
          this.#town.log.warn({ err: error, id }, "a service cannot be asked"),
        );
  }

  #ask(id: string, spec: ServiceSpec): Promise<void> {
    const known = this.#knownOf(id);
    known.asking ??= this.#asked(id, spec, known).finally(() => {
      known.asking = null;
    });
    return known.asking;
  }

  async #asked(id: string, spec: ServiceSpec, known: Known): Promise<void> {
    let answer = await askManager(spec);
    if (spec.health !== undefined && answer.state === "up") {
      const wrong = await answers(spec.health, TIMEOUT_MS);
      if (wrong !== null) answer = { ...answer, state: "degraded", says: `${answer.says}; ${wrong}` };
    }
    if (this.#closed) return;
    const nowMs = this.#town.now();
    if (answer.state !== known.state) known.sinceMs = nowMs;
    Object.assign(known, answer, {
      askedMs: nowMs,
      dueMs: nowMs + ((spec.every === undefined ? null : parseDuration(spec.every)) ?? EVERY_MS),
    });
    const key = `service ${id}`;
    if (answer.state === "up") this.#alerts.clear(key, "it is up again");
    else if (answer.state !== "unknown")
      this.#alerts.raise(spec.alert ?? "P2", key, `the service ${id} is ${answer.state}: ${answer.says}`);
  }

  async #act(id: string, action: "start" | "stop" | "restart", actor: Actor) {
    const declared = this.#declared().find((each) => each.id === id);
    if (!declared) {
      throw new BosunError({
        code: "NOT_FOUND",
        what: `the plan has no service ${sanitise(id)}`,
        fix: "bosun services   shows them",
      });
    }
    const { spec } = declared;
    if (!spec.manage || spec.systemd === undefined) {
      throw new BosunError({
        code: "REFUSED",
        what: `${id} is not managed from here`,
        why:
          spec.systemd === undefined
            ? `${managerOf(spec)} has no start and stop`
            : "it is declared without manage: true",
        fix:
          spec.systemd === undefined
            ? commandOf(spec)
            : `${commandOf(spec).replace("status", action)}, or manage: true in the plan`,
      });
    }
    const ran = await run("systemctl", [...scopeOf(spec), action, spec.systemd]);
    await this.#town.ledger.write({
      actor: actor.name,
      decide: () => ({
        events: [{ type: "service.acted", data: { service: id, action, exit: String(ran.code) } }],
        result: null,
      }),
    });
    if (ran.code !== 0) {
      throw new BosunError({
        code: "FAILED",
        what: `systemctl ${action} ${spec.systemd} ended with ${ran.code}`,
        why: ran.text.slice(0, 300),
        fix: commandOf(spec),
      });
    }
    await this.#ask(id, spec);
    return { service: this.states().find((each) => each.id === id)! };
  }
}

function managerOf(spec: ServiceSpec): string {
  if (spec.systemd !== undefined) return spec.scope === "user" ? "systemd --user" : "systemd";
  return spec.cron !== undefined ? "crontab" : spec.process !== undefined ? "process" : "http";
}

function scopeOf(spec: ServiceSpec): string[] {
  return spec.scope === "user" ? ["--user"] : [];
}

/** What a person types to ask its manager. */
function commandOf(spec: ServiceSpec): string {
  if (spec.systemd !== undefined)
    return `${spec.scope === "user" ? "" : "sudo "}systemctl ${[...scopeOf(spec), "status", spec.systemd].join(" ")}`;
  if (spec.cron !== undefined) return "crontab -l";
  return spec.process !== undefined ? `pgrep -af '${spec.process}'` : `curl -fsS ${spec.http}`;
}

async function askManager(spec: ServiceSpec): Promise<Answer> {
  if (spec.systemd !== undefined) return askSystemd(spec, spec.systemd);
  if (spec.cron !== undefined) return askCron(spec.cron);
  if (spec.process !== undefined) return askProcesses(spec.process);
  const wrong = await answers(spec.http!, TIMEOUT_MS);
  return { state: wrong === null ? "up" : "down", says: wrong ?? "answers", pid: null };
}

async function askSystemd(spec: ServiceSpec, unit: string): Promise<Answer> {
  const ran = await run("systemctl", [...scopeOf(spec), "show", unit, `--property=${PROPERTIES.join(",")}`]);
  if (ran.code !== 0)
    return { state: "unknown", says: ran.text.split("\n")[0] || `systemctl ended with ${ran.code}`, pid: null };
  const says = Object.fromEntries(ran.text.split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2))) as Record<
    string,
    string
  >;
  const pid = Number(says.MainPID) || null;
  if (says.LoadState === "not-found") return { state: "down", says: `Unit ${unit} could not be found.`, pid };
  const words = `${says.ActiveState ?? "?"} (${says.SubState ?? "?"})`;
  const state = { active: "up", reloading: "up", activating: "degraded", deactivating: "degraded" }[
    says.ActiveState ?? ""
  ];
  return { state: (state as Answer["state"] | undefined) ?? "down", says: words, pid };
}

async function askCron(wanted: string): Promise<Answer> {
  const lines = await crontab();
  if (typeof lines === "string") return { state: "unknown", says: lines, pid: null };
  const found = lines.find((line) => line.includes(wanted));
  return found === undefined
    ? { state: "down", says: `no line of the crontab has "${wanted}"`, pid: null }
    : { state: "up", says: found, pid: null };
}

/** Lines of the user's crontab that run something; a text says why they cannot be had. */
export async function crontab(): Promise<string[] | string> {
  const ran = await run("crontab", ["-l"]);
  if (ran.code === 1 && /no crontab/.test(ran.text)) return [];
  if (ran.code !== 0) return ran.text.split("\n")[0] || `crontab ended with ${ran.code}`;
  return ran.text.split("\n").filter((line) => /^\s*[^#\s]/.test(line) && !/^\s*[A-Za-z_]\w*\s*=/.test(line));
}

function askProcesses(pattern: string): Answer {
  let wanted: RegExp;
  try {
    wanted = new RegExp(pattern, "u");
  } catch (error) {
    return { state: "unknown", says: error instanceof Error ? error.message : String(error), pid: null };
  }
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      if (wanted.test(command)) return { state: "up", says: sanitise(command).slice(0, 200), pid: Number(name) };
    } catch {
      // It has ended meanwhile.
    }
  }
  return { state: "down", says: "no process fits", pid: null };
}

function run(command: string, args: string[]): Promise<{ code: number; text: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: TIMEOUT_MS }, (error, stdout, stderr) => {
      const failed = error as (Error & { code?: number | string }) | null;
      if (failed?.code === "ENOENT") return resolve({ code: 127, text: `${command} is not installed here` });
      const text = sanitise(failed && stdout.trim() === "" ? stderr : stdout).trim();
      resolve({ code: failed ? (typeof failed.code === "number" ? failed.code : 1) : 0, text });
    });
  });
}
