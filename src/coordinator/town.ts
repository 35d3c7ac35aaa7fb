import { EventEmitter } from "node:events";
import { readFileSync, statSync } from "node:fs";
import type { Logger } from "pino";
import type { Chapter } from "../protocol/chapter.ts";
import { BosunError } from "../protocol/error.ts";
import type { HealthState } from "../protocol/health.ts";
import { parseName } from "../protocol/names.ts";
import type { Plan, PlanSession } from "../protocol/plan.ts";
import type { ServiceState } from "../protocol/service.ts";
import type { Cradle } from "./birth.ts";
import type { Ledger } from "./log/ledger.ts";
import { sessionsOfGroup } from "./plan/members.ts";
import { unwritten, withOpened } from "./plan/opened.ts";
import { readPlan } from "./plan/read.ts";
import type { Registry } from "./registry.ts";
import type { Rooms } from "./rooms/rooms.ts";
import { openedRows, planRevisions, sessionNumbers } from "./sessions/projection.ts";
import type { Tmux, World } from "./tmux/port.ts";

/** Where the town's name came from; `status` prints it. */
export interface TownName {
  name: string;
  from: string;
}

export interface TownParts {
  name: TownName;
  cradle: Cradle;
  ledger: Ledger;
  rooms: Rooms;
  tmux: Tmux;
  /** A connection to another tmux server, for what of this town still runs there. */
  openServer: (socket: string) => Tmux;
  log: Logger;
  version: string;
  now: () => number;
}

interface TownEvents {
  /** tmux was looked at and this is what there is. */
  world: [World | null];
  /** Another plan is in force. */
  plan: [Plan];
}

/**
 * One town as its coordinator holds it: the plan in force, the last look at tmux, and the rooms of the house. The handlers
 * (up, status, views, asks …) work on this; it decides nothing itself.
 */
export class Town extends EventEmitter<TownEvents> {
  readonly name: TownName;
  readonly cradle: Cradle;
  readonly ledger: Ledger;
  readonly rooms: Rooms;
  readonly tmux: Tmux;
  readonly openServer: (socket: string) => Tmux;
  readonly log: Logger;
  readonly version: string;
  readonly now: () => number;
  readonly startedAt: Date;
  /** The plan in force, with the sessions opened beside it. */
  plan: Plan | null = null;
  #written: Plan | null = null;
  /** The last listing of tmux; null = no server runs. Undefined until the first look. */
  world: World | null | undefined = undefined;
  /** Why the last look failed, or null. A failed look never counts as "nothing runs". */
  blind: string | null = null;
  /** Who is registered; set right after construction. */
  registry!: Registry;
  /** Sessions being started or stopped right now: what is seen of them meanwhile is not news. */
  readonly busy = new Set<string>();

  constructor(parts: TownParts) {
    super();
    this.name = parts.name;
    this.cradle = parts.cradle;
    this.ledger = parts.ledger;
    this.rooms = parts.rooms;
    this.tmux = parts.tmux;
    this.openServer = parts.openServer;
    this.log = parts.log;
    this.version = parts.version;
    this.now = parts.now;
    this.startedAt = new Date(parts.now());
  }

  /** Looks at tmux now. Throws UNREACHABLE when it cannot be told. */
  async look(): Promise<World | null> {
    try {
      const world = await this.tmux.observe();
      this.world = world;
      this.blind = null;
      this.emit("world", world);
      return world;
    } catch (error) {
      this.blind = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  /** From now on on another tmux server; what runs on this one is not touched, and not seen any more. */
  async moveTo(socket: string, config: string | null): Promise<void> {
    await this.tmux.moveTo({ socket, config });
    this.cradle.tmuxSocket = socket;
    await this.look();
  }

  /** The plan a person means: the file given, else the one in force. Reading changes nothing. */
  planFrom(file: string | undefined): Plan {
    if (file === undefined) {
      if (this.plan) return this.plan;
      throw new BosunError({
        code: "NOT_FOUND",
        what: "there is no floor plan",
        why: "none was found from this folder upwards, and this town has never had one",
        fix: "bosun init   writes one with comments",
      });
    }
    const plan = readPlan({
      text: readPlanFile(file),
      file,
      town: this.name,
      readFile: readPlanFile,
      env: process.env,
    });
    return withOpened(plan, openedRows(this.ledger.views));
  }

  /** How the checks of a session's health stand; none before they are asked. */
  healthOf: (session: string) => readonly HealthState[] = () => [];

  /** The chapter that a session is in, or was in last; none before they are kept. */
  chapterOf: (session: string) => Chapter | null = () => null;

  /** Services that run elsewhere, as they were last. */
  servicesOf: () => readonly ServiceState[] = () => [];

  /** Moments in which this process answered nobody, since it started. */
  readonly stalls = { count: 0, longestMs: 0 };

  /** Puts a plan in force without starting anything. */
  adoptPlan(plan: Plan): void {
    this.#written = plan;
    this.rooms.declare(plan.rooms);
    this.#join();
  }

  /** A session was opened, closed or renamed beside the plan. */
  openedChanged(): void {
    this.#join();
  }

  #join(): void {
    const rows = openedRows(this.ledger.views);
    const written = this.#written ?? (rows.length > 0 ? unwritten(this.name.name) : null);
    this.plan = written && withOpened(written, rows);
    if (this.plan) this.emit("plan", this.plan);
  }

  /** After a start of the coordinator: the plan that was in force when the last one ended. */
  restorePlan(): void {
    const last = planRevisions(this.ledger.views).at(-1);
    if (!last) {
      this.#join();
      return;
    }
    try {
      this.adoptPlan(
        readPlan({
          text: last.text,
          file: last.file,
          town: this.name,
          readFile: readPlanFile,
          env: process.env,
        }),
      );
    } catch (error) {
      // The text was valid when it was applied; an include may have gone since. Sessions are still known by their marks.
      this.log.warn({ err: error, file: last.file }, "the plan in force cannot be read again");
      this.#join();
    }
  }

  /** What a command about several means: a session, or with `@group` all sessions of its members. */
  meant(text: string): PlanSession[] {
    return text.startsWith("@") && this.plan ? sessionsOfGroup(this.plan, text.slice(1)) : [this.declared(text)];
  }

  /** `hq-mayor` of the days of one town for a machine: the session with that role, while the plan accepts such names. */
  #byOldName(text: string, sessions: readonly PlanSession[]): PlanSession | undefined {
    const identity = this.plan && parseName(this.plan.names, text);
    if (!identity?.legacy) return undefined;
    const fitting = sessions.filter((session) => session.role === identity.role && session.rig === null);
    return fitting.length === 1 ? fitting[0] : undefined;
  }

  /** A session by what people call it, plan id, tmux name, number, or a unique beginning of one of the names. */
  declared(text: string): PlanSession {
    const sessions = this.plan?.sessions ?? [];
    const names = (session: PlanSession): string[] => [session.label ?? session.name, session.id, session.name];
    const exact = sessions.find((session) => names(session).includes(text));
    if (exact) return exact;
    if (/^[1-9]\d*$/.test(text)) {
      const numbers = sessionNumbers(this.ledger.views);
      const numbered = sessions.find((session) => numbers.get(session.id) === Number(text));
      if (numbered) return numbered;
    }
    const old = sessions.find((session) => session.was.includes(text)) ?? this.#byOldName(text, sessions);
    if (old) return old;
    const begins =
      text === "" ? [] : sessions.filter((session) => names(session).some((name) => name.startsWith(text)));
    if (begins.length === 1) return begins[0]!;
    throw new BosunError({
      code: "UNKNOWN_SESSION",
      what:
        begins.length > 1
          ? `"${text}" could be ${begins.map((session) => session.label ?? session.name).join(", ")}`
          : `no session is called "${text}"`,
      why:
        begins.length > 1
          ? "the beginning of a name must fit one session only"
          : "it is no name, number, plan id or tmux name of this town",
      fix: "bosun ls   shows them all",
    });
  }
}

/** The largest plan that is read at all; the reader has a tighter limit of its own. Stops a 10 GB file at the door. */
const MAX_PLAN_BYTES = 16 * 1_048_576;

/** Throws NOT_FOUND, or PLAN_INVALID for what is too large or no file (a pipe could keep us waiting). */
export function readPlanFile(file: string): string {
  try {
    const found = statSync(file);
    if (found.isFile() && found.size <= MAX_PLAN_BYTES) return readFileSync(file, "utf8");
    if (found.isFile()) throw unreadable(file, `it has ${found.size} bytes; a floor plan is a page or two of text`);
    throw unreadable(file, found.isDirectory() ? "it is a folder" : "it is no ordinary file");
  } catch (error) {
    if (error instanceof BosunError) throw error;
    const missing = (error as { code?: string }).code === "ENOENT";
    throw new BosunError({
      code: "NOT_FOUND",
      what: `the floor plan ${file} cannot be read`,
      why: missing ? "there is no such file" : error instanceof Error ? error.message : String(error),
      fix: "bosun init   writes one, or name another with -f FILE",
    });
  }
}

function unreadable(file: string, why: string): BosunError {
  return new BosunError({ code: "PLAN_INVALID", what: `the floor plan ${file} cannot be read`, why, fix: "-f FILE" });
}
