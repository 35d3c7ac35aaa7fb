import { execFile } from "node:child_process";
import { connect } from "node:net";
import { vitalReport } from "../../protocol/alert.ts";
import { BosunError } from "../../protocol/error.ts";
import { HEALTH_CHECKS, type HealthCheck, type HealthSpec, type HealthState } from "../../protocol/health.ts";
import type { InputOf } from "../../protocol/operation.ts";
import { agentsOf, type PlanSession } from "../../protocol/plan.ts";
import { sanitise } from "../../protocol/text.ts";
import type { Actor, Dispatch } from "../dispatch.ts";
import type { Displays } from "../displays.ts";
import { declaredPanes, driftOf } from "../plan/diff.ts";
import { parseDuration } from "../plan/durations.ts";
import { Ticker } from "../ticker.ts";
import type { TmuxSession } from "../tmux/port.ts";
import { signal, statOf } from "../tmux/process-tree.ts";
import type { Town } from "../town.ts";
import type { Alerts } from "./alerts.ts";
import { answers } from "./endpoint.ts";

/** Who is due is looked at this often. */
const TICK_MS = 250;

const EVERY_MS = 30_000;
const TIMEOUT_MS = 5_000;
const MISSES = 3;
const PATTERN_FOR_MS = 20_000;

/** A process that is ended for its health has this long for it. */
const GRACE_MS = 10_000;

/** Four changes in ten minutes are no illness that a restart cures; then ten minutes of rest. */
const FLAP = { changes: 4, withinMs: 600_000, holdMs: 600_000 };

/** The windows of a session are compared with its plan this often. */
const WINDOWS_EVERY = "2s";

/** Of a vital that the plan says nothing about. */
const VITAL_THRESHOLDS = { healthy: 0.8, concern: 0.6 };

/** Of what a command prints, so much is evidence. */
const EVIDENCE_CHARS = 200;

interface Rule {
  check: HealthCheck;
  everyMs: number;
  misses: number;
  action: "restart" | "alert";
  /** Resolves with what is wrong, or null. Never rejects. */
  ask: (session: PlanSession, found: TmuxSession) => Promise<string | null>;
}

/**
 * Asks sessions whether they work, as their plan says how. An end for its health is an end of its process, so that its restart
 * policy counts it like any other. What cannot be asked says nothing.
 */
export class Health {
  readonly #town: Town;
  readonly #displays: Displays;
  readonly #alerts: Alerts;
  /** When each session's health changed lately, and until when nothing is done for it. */
  readonly #changes = new Map<string, number[]>();
  readonly #frozenUntilMs = new Map<string, number>();
  /** Scores as they were last reported, by session and vital. */
  readonly #vitals = new Map<string, HealthState & { score: number }>();
  readonly #states = new Map<string, HealthState & { dueMs: number; asking: boolean; epoch: number }>();
  readonly #rules = new WeakMap<HealthSpec, readonly Rule[]>();
  readonly #every: Ticker;
  #closed = false;

  constructor(dispatch: Dispatch, town: Town, displays: Displays, alerts: Alerts) {
    this.#town = town;
    this.#alerts = alerts;
    dispatch.handle(vitalReport, (input, { actor }) => this.#vital(input, actor));
    this.#displays = displays;
    this.#every = new Ticker(TICK_MS, () => this.#tick());
    town.on("plan", (plan) => this.#every.set(plan.sessions.some((session) => session.health !== null)));
    town.healthOf = (session) => [
      ...HEALTH_CHECKS.flatMap((check) => {
        const state = this.#states.get(`${session} ${check}`);
        return state ? [state] : [];
      }),
      ...[...this.#vitals].flatMap(([key, state]) => (key.startsWith(`${session} `) ? [state] : [])),
    ];
  }

  /**
   * A sign that its session, or whoever watches it, has measured. Thresholds are the plan's; the ship's own are 0.80 and 0.60
   * (crew health monitor, vital 1).
   */
  async #vital(input: InputOf<typeof vitalReport>, actor: Actor) {
    const id = input.session === undefined ? actor.session : this.#town.declared(input.session).id;
    const session = this.#town.plan?.sessions.find((each) => each.id === id);
    if (!session) {
      throw new BosunError({
        code: "UNKNOWN_SESSION",
        what: "whose vital is it?",
        why: "this is not one of bosun's sessions",
        fix: "--session NAME",
      });
    }
    const { healthy, concern } = session.health?.vitals?.[input.vital] ?? VITAL_THRESHOLDS;
    const verdict = input.score >= healthy ? "healthy" : input.score >= concern ? "concern" : "failing";
    const nowMs = this.#town.now();
    const key = `${session.id} ${input.vital}`;
    const before = this.#vitals.get(key);
    const evidence = `${input.vital} ${input.score} (${verdict}; well from ${healthy}, failing below ${concern})`;
    const isWell = verdict === "healthy";
    this.#vitals.set(key, {
      check: "vitals",
      healthy: isWell,
      sinceMs: before?.healthy === isWell ? before.sinceMs : nowMs,
      evidence,
      misses: isWell ? 0 : (before?.misses ?? 0) + 1,
      score: input.score,
    });
    const alert = `vital ${key}`;
    if (isWell) this.#alerts.clear(alert, "it is well again");
    else this.#alerts.raise(verdict === "failing" ? "P1" : "P2", alert, `${session.name}: ${evidence}`);
    if (before ? before.healthy !== isWell : !isWell) await this.#changed(session, "vitals", isWell, evidence, null);
    return { session: session.id, vital: input.vital, verdict: verdict as "healthy" | "concern" | "failing" };
  }

  close(): void {
    this.#closed = true;
    this.#every.close();
  }

  #tick(): void {
    const nowMs = this.#town.now();
    for (const session of this.#town.plan?.sessions ?? []) {
      if (!session.health) continue;
      const found = this.#town.world?.sessions.find(
        (each) => each.marks?.town === this.#town.name.name && each.marks.id === session.id,
      );
      const lives = found && declaredPanes(found).some((pane) => !pane.dead) && !this.#town.busy.has(session.id);
      for (const rule of this.#rulesOf(session.health)) {
        const key = `${session.id} ${rule.check}`;
        if (!lives) {
          // What does not run is not unhealthy: that it ended is told elsewhere.
          this.#states.delete(key);
          continue;
        }
        const epoch = found.marks!.epoch * 1_000_000 + (declaredPanes(found)[0]?.pid ?? 0);
        const known = this.#states.get(key);
        if (!known || known.epoch !== epoch) {
          this.#states.set(key, {
            check: rule.check,
            healthy: null,
            sinceMs: nowMs,
            evidence: "not asked yet",
            misses: 0,
            dueMs: nowMs + rule.everyMs,
            asking: false,
            epoch,
          });
        } else if (!known.asking && known.dueMs <= nowMs) void this.#ask(session, found, rule, known);
      }
    }
  }

  async #ask(
    session: PlanSession,
    found: TmuxSession,
    rule: Rule,
    state: HealthState & { dueMs: number; asking: boolean },
  ): Promise<void> {
    state.asking = true;
    const wrong = await rule.ask(session, found);
    state.asking = false;
    state.dueMs = this.#town.now() + rule.everyMs;
    if (this.#closed || this.#states.get(`${session.id} ${rule.check}`) !== state) return;
    state.evidence = wrong ?? "all is well";
    state.misses = wrong === null ? 0 : state.misses + 1;
    const healthy = wrong === null ? true : state.misses >= rule.misses ? false : state.healthy;
    if (healthy === state.healthy) return;
    const first = state.healthy === null;
    state.healthy = healthy;
    state.sinceMs = this.#town.now();
    // That all is well at first is no news.
    if (first && healthy) return;
    const flapping = this.#flaps(session, !first);
    const did = healthy ? null : flapping ? "alert" : rule.action;
    await this.#changed(session, rule.check, healthy === true, state.evidence, did);
    if (did === "restart") await this.#end(session, found);
  }

  /** True while a session changes its mind so often that acting on it would be part of the trouble. It is told once. */
  #flaps(session: PlanSession, turned: boolean): boolean {
    const nowMs = this.#town.now();
    const before = this.#changes.get(session.id) ?? [];
    const changes = [...before, ...(turned ? [nowMs] : [])].filter((at) => nowMs - at < FLAP.withinMs);
    this.#changes.set(session.id, changes);
    if (turned && changes.length >= FLAP.changes) {
      this.#frozenUntilMs.set(session.id, nowMs + FLAP.holdMs);
      this.#alerts.raise(
        "P2",
        `flapping ${session.id}`,
        `${session.name} changed between well and ill ${changes.length} times in ${FLAP.withinMs / 60_000} min: nothing is done to it for ${FLAP.holdMs / 60_000} min`,
      );
    }
    const frozen = (this.#frozenUntilMs.get(session.id) ?? 0) > nowMs;
    if (!frozen) this.#alerts.clear(`flapping ${session.id}`, "it has come to rest");
    return frozen;
  }

  async #changed(
    session: PlanSession,
    check: HealthCheck,
    healthy: boolean,
    evidence: string,
    did: "restart" | "alert" | null,
  ): Promise<void> {
    try {
      await this.#town.ledger.write({
        actor: "coordinator",
        decide: () => ({
          events: [{ type: "health.changed", data: { session: session.id, check, healthy, evidence, did } }],
          result: null,
        }),
      });
      const level = healthy ? ("info" as const) : ("alert" as const);
      if (session.room)
        await this.#town.rooms.post("coordinator", {
          room: session.room,
          msg: `${session.name}: ${check} ${healthy ? "is well again" : `failed: ${evidence}`}`,
          level,
          type: "alert",
        });
    } catch (error) {
      this.#town.log.error({ err: error }, "a change of health cannot be told");
    }
  }

  /** Its processes, gently first; that they end is dealt with as any end is. */
  async #end(session: PlanSession, found: TmuxSession): Promise<void> {
    this.#town.log.warn({ session: session.id }, "ended for its health");
    const processes = declaredPanes(found).flatMap((pane) => (pane.dead ? [] : (statOf(pane.pid) ?? [])));
    for (const each of processes) signal(each, "SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, GRACE_MS).unref());
    for (const each of processes) signal(each, "SIGKILL");
  }

  /** Read once for each entry of the plan. */
  #rulesOf(spec: HealthSpec): readonly Rule[] {
    const known = this.#rules.get(spec);
    if (known) return known;
    const made = this.#read(spec);
    this.#rules.set(spec, made);
    return made;
  }

  #read(spec: HealthSpec): Rule[] {
    const rules: Rule[] = [];
    const add = (
      check: HealthCheck,
      given: { every?: string | undefined; misses?: number | undefined; action?: "restart" | "alert" | undefined },
      action: "restart" | "alert",
      ask: Rule["ask"],
    ): void => {
      rules.push({
        check,
        everyMs: ms(given.every, EVERY_MS),
        misses: given.misses ?? MISSES,
        action: given.action ?? action,
        ask,
      });
    };
    if (spec.exec !== undefined) {
      const given = typeof spec.exec === "string" ? { cmd: spec.exec } : spec.exec;
      add("exec", given, "restart", (session) => runs(given.cmd, session, ms(given.timeout, TIMEOUT_MS)));
    }
    if (spec.http !== undefined) {
      const given = typeof spec.http === "string" ? { url: spec.http } : spec.http;
      add("http", given, "restart", () => answers(given.url, ms(given.timeout, TIMEOUT_MS)));
    }
    if (spec.tcp !== undefined) {
      const given = typeof spec.tcp === "string" ? { address: spec.tcp } : spec.tcp;
      add("tcp", given, "restart", () => listens(given.address, ms(given.timeout, TIMEOUT_MS)));
    }
    if (spec.heartbeat !== undefined) {
      const given = typeof spec.heartbeat === "string" ? { every: spec.heartbeat } : spec.heartbeat;
      const withinMs = ms(given.every, EVERY_MS);
      add("heartbeat", given, "restart", async (session) => this.#heard(session, withinMs));
    }
    if (spec.pattern !== undefined) {
      const given = typeof spec.pattern === "string" ? { regex: spec.pattern } : spec.pattern;
      const pattern = new RegExp(given.regex, "u");
      const forMs = ms("for" in given ? given.for : undefined, PATTERN_FOR_MS);
      add("pattern", { every: `${Math.ceil(forMs / 4)}ms`, misses: 4 }, "alert", async (session) =>
        this.#shows(session, pattern),
      );
    }
    if (spec.windows) {
      add("windows", { every: WINDOWS_EVERY, misses: 1 }, "alert", async (session, found) => {
        const drift = driftOf(session, found);
        return drift.length === 0 ? null : drift.join("; ");
      });
    }
    if (spec.silence !== undefined) {
      const forMs = ms(spec.silence, 0);
      add("silence", { every: `${Math.max(TICK_MS, Math.ceil(forMs / 10))}ms`, misses: 1 }, "alert", async (session) =>
        this.#writes(session, forMs),
      );
    }
    return rules;
  }

  async #heard(session: PlanSession, withinMs: number): Promise<string | null> {
    const agents = agentsOf([session]).map(({ agent }) => agent.id);
    if (agents.length === 0) return null;
    const nowMs = this.#town.now();
    // Nobody is late before we have listened so long ourselves, and it has run so long.
    const sinceMs = Math.max(this.#town.startedAt.getTime(), this.#states.get(`${session.id} heartbeat`)?.sinceMs ?? 0);
    const latest = Math.max(sinceMs, ...agents.map((id) => this.#town.registry.heardAt(id) ?? 0));
    return nowMs - latest <= withinMs ? null : `no heartbeat for ${Math.round((nowMs - latest) / 1_000)} s`;
  }

  async #shows(session: PlanSession, pattern: RegExp): Promise<string | null> {
    const displays = this.#displays.of(session.id);
    if (displays.length === 0) return null;
    const found = displays.some((each) => each.screen.text().some((row) => pattern.test(row)));
    return found ? null : `${pattern} stands nowhere on its screen`;
  }

  async #writes(session: PlanSession, forMs: number): Promise<string | null> {
    const times = this.#displays.of(session.id).map((each) => each.wroteAtMs ?? each.track.activity.sinceMs);
    if (times.length === 0) return null;
    const silentMs = this.#town.now() - Math.max(...times);
    return silentMs < forMs ? null : `silent for ${Math.round(silentMs / 1_000)} s`;
  }
}

function ms(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : (parseDuration(text) ?? otherwise);
}

function runs(command: string, session: PlanSession, timeoutMs: number): Promise<string | null> {
  const pane = session.windows[0]?.panes[0];
  return new Promise((resolve) => {
    execFile(
      session.shell,
      ["-c", command],
      { cwd: pane?.cwd ?? "/", env: { ...process.env, ...pane?.env }, timeout: timeoutMs, killSignal: "SIGKILL" },
      (error, stdout, stderr) => {
        if (!error) return resolve(null);
        const said = sanitise(`${stdout}${stderr}`).trim().split("\n").at(-1)?.slice(0, EVIDENCE_CHARS) ?? "";
        const how = error.killed ? `no answer within ${timeoutMs / 1_000} s` : `exit ${error.code ?? error.signal}`;
        resolve(`${how}${said === "" ? "" : `: ${said}`}`);
      },
    );
  });
}

function listens(address: string, timeoutMs: number): Promise<string | null> {
  const at = address.lastIndexOf(":");
  return new Promise((resolve) => {
    const socket = connect({ host: address.slice(0, at) || "127.0.0.1", port: Number(address.slice(at + 1)) });
    const end = (wrong: string | null): void => {
      socket.destroy();
      resolve(wrong);
    };
    socket.setTimeout(timeoutMs, () => end(`${address} does not answer`));
    socket.on("connect", () => end(null));
    socket.on("error", (error: NodeJS.ErrnoException) => end(`${address}: ${error.code ?? error.message}`));
  });
}
