import { createHash } from "node:crypto";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BosunError } from "../protocol/error.ts";
import type { Plan } from "../protocol/plan.ts";
import type { PlannedStep } from "./plan/diff.ts";
import { coordinatorMark, type MarkedSession, markedSessions, sessionsOfTown } from "./tmux/other-servers.ts";
import type { Tmux } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/*
 * A town is on one tmux server at a time, whatever its plan said yesterday and says today. The coordinator serves the one on
 * which its sessions run, even if the setting has changed; `up` goes to another only when nothing of the town runs anywhere else.
 */

/** Names shown in an error before "and N more". */
const NAMES_SHOWN = 6;

/**
 * NAME of `tmux -L` for a setting. `town` is a server of the town's own, `bosun-<town>-<6 hex>`: the hex are of its state folder,
 * because two roots on one machine, each with its own state, may have one town's name.
 */
export function serverName(setting: string, town: string, stateFolder: string): string {
  if (setting !== "town") return setting;
  const hash = createHash("sha256").update(realpathSync(stateFolder)).digest("hex").slice(0, 6);
  return `bosun-${town}-${hash}`;
}

function serverFile(stateFolder: string): string {
  return join(stateFolder, "tmux.json");
}

export function rememberServer(stateFolder: string, socket: string): void {
  writeFileSync(serverFile(stateFolder), `${JSON.stringify({ socket })}\n`, { mode: 0o600 });
}

function rememberedServer(stateFolder: string): string | null {
  try {
    const { socket } = JSON.parse(readFileSync(serverFile(stateFolder), "utf8")) as { socket?: unknown };
    return typeof socket === "string" ? socket : null;
  } catch {
    // Never started, half written, or by a version that did not keep it: the servers are asked instead.
    return null;
  }
}

/**
 * The server a coordinator begins on: the one that is wanted, unless sessions of its town still run on another. `mayRun`: the log
 * says that some are meant to run.
 */
export async function serverAtStart(given: {
  wanted: string;
  town: string;
  stateFolder: string;
  socketPath: string;
  mayRun: boolean;
}): Promise<string> {
  const { wanted, town, stateFolder } = given;
  const remembered = rememberedServer(stateFolder);
  if (remembered === wanted || (remembered === null && !given.mayRun)) return wanted;
  const marked = await markedSessions(process.env);
  const ours = sessionsOfTown(marked, town, coordinatorMark(given.socketPath));
  const runs = (socket: string): number => ours.filter((each) => each.socket === socket).length;
  // One that does not answer may hold them all.
  if (remembered !== null && (runs(remembered) > 0 || marked.silent.includes(remembered))) return remembered;
  if (runs(wanted) > 0) return wanted;
  const others = [...new Set(ours.filter((each) => each.flags[0] === "-L").map((each) => each.socket))];
  return others.toSorted((a, b) => runs(b) - runs(a))[0] ?? wanted;
}

/** What a caller of `up` says about the server. */
export interface ServerWish {
  tmuxSocket?: string | undefined;
  move?: boolean | undefined;
  yes?: boolean | undefined;
  dryRun?: boolean | undefined;
  sessions?: string[] | undefined;
}

type Stop = (steps: PlannedStep[], server: Tmux) => Promise<void>;

/** Holds a town together on one tmux server. */
export class OneServer {
  readonly #town: Town;

  constructor(town: Town) {
    this.#town = town;
  }

  /** Where `plan` wants its sessions: what the caller's environment says, else the coordinator's own, else the plan. */
  wanted(plan: Plan, tmuxSocket: string | undefined): string {
    const { cradle, name } = this.#town;
    if (plan.file === "" && tmuxSocket === undefined) return cradle.tmuxSocket;
    return serverName(tmuxSocket ?? cradle.tmuxOverride ?? plan.tmux.socket, name.name, cradle.stateFolder);
  }

  /** Before anything is compared or started: on the server that is wanted, or refused with what runs where. Gives what `gather` gives. */
  async settle(plan: Plan, wish: ServerWish, stop: Stop): Promise<string[]> {
    const { cradle } = this.#town;
    const wanted = this.wanted(plan, wish.tmuxSocket);
    if (wanted === cradle.tmuxSocket) return [];
    const moved = await this.gather(plan, wish, stop);
    if (wish.dryRun) return [];
    await this.#town.moveTo(wanted, plan.tmux.config);
    rememberServer(cradle.stateFolder, wanted);
    if (wish.tmuxSocket !== undefined) cradle.tmuxOverride = wish.tmuxSocket;
    return moved;
  }

  /**
   * Nothing of this town runs on any other server than the wanted one, or CONFLICT; with `move` it is ended there, and its ids are
   * given: they are to start again here.
   */
  async gather(plan: Plan, wish: ServerWish, stop: Stop): Promise<string[]> {
    return this.#gather(plan, wish, stop, this.wanted(plan, wish.tmuxSocket));
  }

  /** As `gather`, for what starts sessions on the server the town is on, whatever is wanted: CONFLICT when some run elsewhere. */
  async checkAlone(plan: Plan): Promise<void> {
    await this.#gather(plan, {}, () => Promise.resolve(), this.#town.cradle.tmuxSocket);
  }

  async #gather(plan: Plan, wish: ServerWish, stop: Stop, wanted: string): Promise<string[]> {
    const town = this.#town;
    const marked = await markedSessions(process.env);
    const ours = sessionsOfTown(marked, town.name.name, coordinatorMark(town.cradle.socketPath));
    const astray = ours.filter((each) => each.socket !== wanted);
    const { tmuxSocket } = town.cradle;
    // Unknown is not "nothing runs there".
    if (tmuxSocket !== wanted && marked.silent.includes(tmuxSocket)) throw silent(tmuxSocket);
    if (astray.length === 0) return [];
    if (!wish.move) throw apart(plan, wanted, astray, this.#becauseOf(wish, wanted), tmuxSocket);
    mayMove(plan, wanted, astray, wish);
    await this.#checkFree(plan, wanted);
    if (wish.dryRun) return [];
    for (const [socket, sessions] of Map.groupBy(astray, (each) => each.socket)) {
      const server = socket === tmuxSocket ? town.tmux : town.openServer(socket);
      try {
        await stop(await stepsOn(server, plan, sessions, `moves to the tmux server ${wanted}`), server);
      } finally {
        if (server !== town.tmux) await server.close();
      }
    }
    return astray.map((each) => each.id);
  }

  /** Names that somebody else has where the town is to go to: what is ended here could not start there. Throws NAME_TAKEN. */
  async #checkFree(plan: Plan, wanted: string): Promise<void> {
    const town = this.#town;
    const server = wanted === town.cradle.tmuxSocket ? town.tmux : town.openServer(wanted);
    try {
      const world = await server.observe();
      const taken = world?.sessions.find(
        (each) => each.marks?.town !== plan.town && plan.sessions.some((one) => one.name === each.name),
      );
      if (!taken) return;
      throw new BosunError({
        code: "NAME_TAKEN",
        what: `${taken.name} ${taken.marks ? `is of the town ${taken.marks.town}` : "runs"} on ${wanted} already`,
        why: `${plan.town} declares the same; nothing was stopped`,
        fix: "give this town a server of its own: tmux: { socket: town }",
      });
    } finally {
      if (server !== town.tmux) await server.close();
    }
  }

  #becauseOf(wish: ServerWish, wanted: string): string {
    const { tmuxSocket, tmuxOverride } = this.#town.cradle;
    if (wanted === tmuxSocket) return `this town is on ${wanted}`;
    return `${(wish.tmuxSocket ?? tmuxOverride) === null ? "the plan" : "BOSUN_TMUX_SOCKET"} says ${wanted}`;
  }
}

async function stepsOn(
  server: Tmux,
  plan: Plan,
  sessions: readonly MarkedSession[],
  why: string,
): Promise<PlannedStep[]> {
  const world = await server.observe();
  return sessions.flatMap((each): PlannedStep[] => {
    const found = world?.sessions.find((one) => one.id === each.tmuxId && one.marks?.town === each.town);
    if (!found) return [];
    const declared = plan.sessions.find((one) => one.id === each.id) ?? null;
    return [
      {
        ...{ do: "stop", session: each.id, name: each.name, why, destructive: true, needs: null },
        ...{ declared, found, panes: [] },
      },
    ];
  });
}

/** A move ends processes: only all of them, and only where each may be ended. */
function mayMove(plan: Plan, wanted: string, astray: readonly MarkedSession[], wish: ServerWish): void {
  if (wish.sessions && wish.sessions.length > 0) {
    throw new BosunError({
      code: "USAGE",
      what: "a town moves to another tmux server as a whole",
      why: "a part of it would be left behind",
      fix: "bosun up --move",
    });
  }
  const far = astray.find((each) => each.flags[0] !== "-L" || each.id === "");
  if (far) {
    throw new BosunError({
      code: "CONFLICT",
      what: `${far.name} cannot be moved from ${far.socket}`,
      why:
        far.id === ""
          ? "its mark does not say which session it is"
          : "that server was started with another TMUX_TMPDIR",
      fix: `end it there: tmux ${far.flags.join(" ")} kill-session -t '=${far.name}'`,
    });
  }
  const declared = new Map(plan.sessions.map((session) => [session.id, session]));
  const held = astray.flatMap((each) => {
    const session = declared.get(each.id);
    if (!session) return [`${each.name} (not in the plan: it would not start again)`];
    if (session.protect) return [`${each.name} (protected)`];
    return each.attached > 0 && session.kind !== "view" ? [`${each.name} (somebody is attached)`] : [];
  });
  if (held.length > 0 && !wish.yes) {
    throw new BosunError({
      code: "NEEDS_CONSENT",
      what: `moving to ${wanted} would end ${listed(held)}`,
      why: "a session cannot change its tmux server while it runs; nothing was stopped",
      fix: "bosun up --move --yes",
    });
  }
}

function apart(
  plan: Plan,
  wanted: string,
  astray: readonly MarkedSession[],
  because: string,
  current: string,
): BosunError {
  const sockets = [...new Set(astray.map((each) => each.socket))];
  const one = astray.length === 1;
  const kept = sockets.length === 1 && !sockets[0]!.startsWith("/") ? sockets[0]! : null;
  return new BosunError({
    code: "CONFLICT",
    what: `${listed(astray.map((each) => each.name))} of ${plan.town} ${one ? "runs" : "run"} on the tmux server ${sockets.join(", ")}`,
    why: `${because}: started there too, ${one ? "it" : "they"} would be there twice; nothing was started`,
    fix: [
      ...(sockets.every((socket) => socket === current) ? ["bosun down, then bosun up"] : []),
      `bosun up --move   ends ${one ? "it" : "them"} there and starts ${one ? "it" : "them"} on ${wanted}`,
      ...(kept === null
        ? []
        : [`tmux: { socket: ${kept} }   leaves ${one ? "it" : "them"} where ${one ? "it runs" : "they run"}`]),
    ].join("\n"),
  });
}

function silent(socket: string): BosunError {
  return new BosunError({
    code: "UNREACHABLE",
    what: `the tmux server ${socket} does not answer`,
    why: "sessions of this town may run there, and would then be there twice",
    fix: `tmux -L ${socket} list-sessions`,
  });
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN;
  return more > 0 ? `${names.slice(0, NAMES_SHOWN).join(", ")} and ${more} more` : names.join(", ");
}
