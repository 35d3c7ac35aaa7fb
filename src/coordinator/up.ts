import { existsSync, renameSync } from "node:fs";
import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import type { Plan, PlanSession } from "../protocol/plan.ts";
import { chatFile } from "../protocol/providers.ts";
import { planDiff, type Step, sessionRestart, townDown, townUp } from "../protocol/session.ts";
import { checkDisk, checkNames, checkRoot } from "./before-up.ts";
import type { Actor, Dispatch, Stream } from "./dispatch.ts";
import { predecessorsOf } from "./ghosts/predecessors.ts";
import { ghostRows } from "./ghosts/projection.ts";
import { OneServer } from "./one-server.ts";
import {
  type Difference,
  type DiffOptions,
  diff,
  type Former,
  keepsOldName,
  type PlannedStep,
  type Remembered,
  stopWaves,
} from "./plan/diff.ts";
import { sessionsOfGroup } from "./plan/members.ts";
import { withoutOpened } from "./plan/opened.ts";
import { Progress } from "./progress.ts";
import { planRevisions, sessionRow, sessionRows } from "./sessions/projection.ts";
import { makeFifos, respawnPane, startSessions } from "./starting.ts";
import { stopSessions } from "./stopping.ts";
import { adoption, takeOver } from "./taking-over.ts";
import type { Tmux, TmuxSession } from "./tmux/port.ts";
import { readPlanFile, type Town } from "./town.ts";

export function registerUp(dispatch: Dispatch, town: Town, reconcile: Reconcile): void {
  dispatch.handle(planDiff, async (input) => {
    const plan = town.planFrom(input.file);
    // Where nothing may be started, there is no difference to tell.
    await reconcile.oneServer.settle(plan, { ...input, dryRun: true }, () => Promise.resolve());
    const { steps } = await reconcile.difference(plan, {
      only: named(plan, input.sessions),
      restart: false,
      yes: false,
    });
    return { town: town.name.name, steps: steps.map(publicStep) };
  });
  dispatch.handle(townUp, (input, call) => reconcile.up(input, call.actor, call.stream));
  dispatch.handle(townDown, (input, call) => reconcile.down(input, call.actor));
  dispatch.handle(sessionRestart, (input, call) => reconcile.restart(input, call.actor));
}

interface DownInput {
  sessions?: string[] | undefined;
  yes?: boolean | undefined;
  dryRun?: boolean | undefined;
  /** What the log says of it; default `down`. */
  because?: string;
}

type UpInput = {
  file?: string | undefined;
  sessions?: string[] | undefined;
  restart?: boolean | undefined;
  yes?: boolean | undefined;
  dryRun?: boolean | undefined;
  restore?: boolean | undefined;
  move?: boolean | undefined;
  tmuxSocket?: string | undefined;
  /** Nobody asked: on the server the town is on, whatever the plan says of it today. */
  stay?: boolean;
};

interface RestartInput {
  sessions: string[];
  yes?: boolean | undefined;
  fresh?: boolean | undefined;
  because?: string | undefined;
}

/** What was said is kept beside, and the next conversation begins with nothing. */
function setAside(file: string): void {
  if (existsSync(file)) renameSync(file, file.replace(/(\.\w+)?$/, `.${Date.now()}$1`));
}

/** Makes tmux match the plan. One at a time: a second `up` waits for the first. */
export class Reconcile {
  readonly oneServer: OneServer;
  readonly #town: Town;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(town: Town) {
    this.#town = town;
    this.oneServer = new OneServer(town);
  }

  async difference(plan: Plan, options: DiffOptions): Promise<Difference> {
    const world = await this.#town.look();
    if (!world) return diff(plan, world, rememberedOf(this.#town), options);
    const decided = ghostRows(this.#town.ledger.views, world.server);
    const formers = new Map<string, Former>();
    for (const each of predecessorsOf(plan, world)) {
      if (decided.get(each.session.id)?.decision === "ignored") continue;
      // Of several the plan gives names of, the proven one is it.
      if ((formers.get(each.declared.id)?.proof ?? null) === null) formers.set(each.declared.id, each);
    }
    return diff(plan, world, rememberedOf(this.#town), { ...options, formers });
  }

  up(input: UpInput, actor: Actor, stream: Stream | null) {
    return this.#inTurn(() => this.#up(input, actor, stream));
  }

  down(input: DownInput, actor: Actor) {
    return this.#inTurn(() => this.#down(input, actor));
  }

  restart(input: RestartInput, actor: Actor) {
    return this.#inTurn(() => this.#restart(input, actor));
  }

  /** Starts one session that is in the plan now. Throws FAILED with what tmux says. */
  open(id: string, actor: Actor): Promise<void> {
    return this.#inTurn(async () => {
      const town = this.#town;
      const plan = town.planFrom(undefined);
      const sessions = plan.sessions.filter((session) => session.id === id);
      await town.tmux.connect();
      await town.look();
      makeFifos(town.cradle.stateFolder, sessions);
      const { failed } = await startSessions(town, plan, sessions, {
        because: "opened",
        actor,
        progress: new Progress(null, 1),
      });
      await town.look();
      if (failed[0]) throw notOpened(failed[0].session, failed[0].error);
    });
  }

  /**
   * Our control session would only keep an empty server alive. Beside other sessions it stays: tmux 3.3a dies, with all of them,
   * when anything is told to control clients while one is just connecting, so nobody connects more often than must be.
   */
  async leaveEmpty(): Promise<void> {
    await this.#town.tmux.close();
    await this.#town.look();
  }

  /** As above, for a server that others have left since; waits for its turn, in which it may have filled again. */
  leaveIfEmpty(): Promise<void> {
    return this.#inTurn(async () => {
      const world = await this.#town.look();
      if (world?.sessions.length === 0 && this.#town.tmux.mode === "control") await this.leaveEmpty();
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #up(input: UpInput, actor: Actor, stream: Stream | null) {
    const town = this.#town;
    const startedMs = performance.now();
    const tripsBefore = town.tmux.roundTrips;
    const plan = town.planFrom(input.file);
    const asked = named(plan, input.sessions);
    const only = input.restore ? this.#ran(plan, asked) : asked;
    if (!input.dryRun) {
      checkRoot(town, plan);
      checkDisk(town, plan);
    }
    const options = { only, restart: input.restart ?? false, yes: input.yes ?? false };
    const stopThere = (doomed: PlannedStep[], server: Tmux) =>
      stopSessions(town, doomed, { actor, progress: new Progress(stream, doomed.length), server });
    const moved = input.stay ? [] : await this.oneServer.settle(plan, input, stopThere);
    if (!input.dryRun) await town.tmux.connect();
    let { steps } = await this.difference(plan, options);
    if (steps.some((step) => step.do === "create")) {
      if (input.stay) await this.oneServer.checkAlone(plan);
      else moved.push(...(await this.oneServer.gather(plan, input, stopThere)));
    }
    if (moved.length > 0) steps = await this.#withMoved(plan, moved, steps, options);
    const held = steps.filter((step) => step.needs !== null);
    if (!input.dryRun) checkNames(town, plan, held);
    const todo = steps.filter((step) => step.needs === null && step.do !== "none");
    const result = {
      town: plan.town,
      created: [] as string[],
      adopted: [] as string[],
      restarted: [] as string[],
      stopped: [] as string[],
      unchanged: steps.filter((step) => step.do === "none" && step.needs === null).length,
      failed: [] as { session: string; error: string }[],
      held: held.map(publicStep),
      unknown: this.#undecided(todo),
      steps: todo.map(publicStep),
      round_trips: 0,
      ms: 0,
    };
    if (!input.dryRun) {
      await this.#putInForce(plan, todo, actor);
      const progress = new Progress(stream, todo.length);
      await this.#apply(plan, todo, actor, result, progress);
      if (todo.length > 0) await town.look();
    }
    const taken = held.find((step) => step.needs === "name-taken");
    if (taken && only === null && todo.length === 0 && result.unchanged === 0) throw nameTaken(taken);
    for (const step of held)
      if (step.needs === "name-taken") result.failed.push({ session: step.name, error: step.why });
    result.round_trips = town.tmux.roundTrips - tripsBefore;
    result.ms = Math.round(performance.now() - startedMs);
    return result;
  }

  /** What ran on another server starts here too where a bare `up` would leave it to a person. */
  async #withMoved(plan: Plan, moved: readonly string[], steps: PlannedStep[], options: DiffOptions) {
    const again = await this.difference(plan, { ...options, only: new Set(moved) });
    const byId = new Map(again.steps.map((step) => [step.session, step]));
    return steps.map((step) => byId.get(step.session) ?? step);
  }

  /** What is wanted to run, by the last word about it. */
  #ran(plan: Plan, asked: ReadonlySet<string> | null): Set<string> {
    return new Set(
      plan.sessions.flatMap(({ id }) =>
        sessionRow(this.#town.ledger.views, id)?.wanted === "running" && (asked?.has(id) ?? true) ? [id] : [],
      ),
    );
  }

  /** Unmarked ones that nobody has said anything about, and that are not taken over now. */
  #undecided(todo: readonly PlannedStep[]): string[] {
    const { world, ledger } = this.#town;
    if (!world) return [];
    const known = ghostRows(ledger.views, world.server);
    const takenOver = new Set(todo.map((step) => step.found?.id));
    return world.sessions.flatMap((session) =>
      session.marks === null && !known.get(session.id)?.decision && !takenOver.has(session.id) ? [session.name] : [],
    );
  }

  /** A plan whose sessions run already comes into force; nothing is started. */
  inForce(plan: Plan, actor: Actor): Promise<void> {
    return this.#inTurn(() => this.#putInForce(plan, [], actor));
  }

  /** Rooms and questions must work before the first agent speaks, so the plan comes into force before anything starts. */
  async #putInForce(plan: Plan, todo: PlannedStep[], actor: Actor): Promise<void> {
    const town = this.#town;
    const last = planRevisions(town.ledger.views).at(-1);
    if (plan.file !== "" && last?.digest !== plan.digest) {
      const text = readPlanFile(plan.file);
      await town.ledger.write({
        actor: actor.name,
        decide: () => ({
          events: [
            {
              type: "plan.applied",
              data: { file: plan.file, digest: plan.digest, text, about: definedOnly(plan.about) },
            },
          ],
          result: null,
        }),
      });
    }
    if (plan.file !== "" && town.plan?.digest !== plan.digest) town.adoptPlan(withoutOpened(plan));
    makeFifos(
      town.cradle.stateFolder,
      todo.flatMap((step) => step.declared ?? []),
    );
  }

  async #apply(plan: Plan, todo: PlannedStep[], actor: Actor, result: UpResult, progress: Progress): Promise<void> {
    const stops = todo.filter((step) => step.do === "stop" || step.do === "restart");
    await stopSessions(this.#town, stops, { actor, progress });
    result.stopped.push(...stops.filter((step) => step.do === "stop").map((step) => step.name));
    const unmarked = todo.filter((step) => step.do === "adopt" && step.found!.marks === null);
    await this.#takeOver(plan, unmarked, actor, result, progress);
    for (const step of todo) {
      if (step.do === "rename") await this.#rename(step, actor, progress);
      if (step.do === "adopt" && step.found!.marks !== null) {
        await this.#adopt(step, actor, progress);
        result.adopted.push(step.name);
      }
      if (step.do === "respawn") await this.#respawn(plan, step, actor, progress);
    }
    result.restarted.push(...todo.filter((step) => step.do === "respawn").map((step) => step.name));
    const starts = todo.filter((step) => step.do === "create" || step.do === "restart");
    const restarts = new Set(starts.filter((step) => step.do === "restart").map((step) => step.session));
    const started = await startSessions(
      this.#town,
      plan,
      starts.map((step) => step.declared!),
      { because: "up", actor, progress },
    );
    result.failed.push(...started.failed);
    for (const session of started.born)
      (restarts.has(session.id) ? result.restarted : result.created).push(session.name);
  }

  async #rename(step: PlannedStep, actor: Actor, progress: Progress): Promise<void> {
    const from = step.found!.name;
    await this.#town.tmux.rename(step.found!.id, step.name);
    await this.#town.ledger.write({
      actor: actor.name,
      decide: () => ({
        events: [{ type: "session.renamed", data: { session: step.session, from, to: step.name } }],
        result: null,
      }),
    });
    progress.step(step.name, `renamed from ${from}`);
  }

  async #takeOver(
    plan: Plan,
    steps: readonly PlannedStep[],
    actor: Actor,
    result: UpResult,
    progress: Progress,
  ): Promise<void> {
    if (steps.length === 0) return;
    const wanted = steps.map((step) => {
      const { declared, found } = step as { declared: PlanSession; found: TmuxSession };
      return { declared, session: found, name: keepsOldName(plan, declared, found) ? found.name : declared.name };
    });
    const taken = await takeOver(this.#town, wanted, actor, "up");
    for (const step of steps) {
      const now = taken.get(step.session);
      if (now instanceof Error)
        result.failed.push({ session: step.name, error: `${step.found!.name} was not taken over: ${now.message}` });
      else result.adopted.push(step.name);
      progress.step(step.name, now instanceof Error ? "failed" : "taken over");
    }
  }

  async #adopt(step: PlannedStep, actor: Actor, progress: Progress): Promise<void> {
    await this.#town.ledger.write({
      actor: actor.name,
      decide: () => ({
        events: adoption(step.declared!, step.found!, this.#town.world?.server ?? "", "up"),
        result: null,
      }),
    });
    progress.step(step.name, "found again");
  }

  async #respawn(plan: Plan, step: PlannedStep, actor: Actor, progress: Progress): Promise<void> {
    const town = this.#town;
    for (const pane of step.panes)
      await respawnPane(town, plan, step.declared!, step.found!, pane.slot!, pane.id, 0, "up", actor.name);
    progress.step(step.name, `${step.panes.length} pane${step.panes.length > 1 ? "s" : ""} started again`);
  }

  async #down(input: DownInput, actor: Actor) {
    const town = this.#town;
    const world = await town.look();
    const wanted =
      input.sessions && input.sessions.length > 0
        ? new Set(input.sessions.flatMap((text) => town.meant(text).map((each) => each.id)))
        : null;
    const found = (world?.sessions ?? []).filter(
      (session) => session.marks?.town === town.name.name && (wanted === null || wanted.has(session.marks.id)),
    );
    const declared = new Map((town.plan?.sessions ?? []).map((session) => [session.id, session]));
    const order = stopWaves(town.plan?.sessions ?? [])
      .flat()
      .map((session) => session.id);
    const steps = found
      .map((session): PlannedStep => {
        const entry = declared.get(session.marks!.id) ?? null;
        const attached = session.attached > 0 && entry?.kind !== "view";
        const needs = input.yes
          ? null
          : attached
            ? "--yes (somebody is attached)"
            : entry?.protect
              ? "--yes (protected)"
              : null;
        return {
          do: "stop",
          session: session.marks!.id,
          name: session.name,
          why: "down",
          destructive: true,
          needs,
          declared: entry,
          found: session,
          panes: [],
        };
      })
      // As they end: what others stand on goes last.
      .toSorted((a, b) => order.indexOf(a.session) - order.indexOf(b.session));
    const todo = steps.filter((step) => step.needs === null);
    const held = steps.filter((step) => step.needs !== null).map(publicStep);
    if (input.dryRun) return { town: town.name.name, stopped: [], held, failed: [], steps: todo.map(publicStep) };
    const intents = [...(wanted ?? declared.keys())].filter((id) => !held.some((step) => step.session === id));
    const changed = intents.filter((id) => sessionRow(town.ledger.views, id)?.wanted === "running");
    await town.ledger.write({
      actor: actor.name,
      decide: () => ({
        events: changed.map(
          (id): Event => ({
            type: "session.wanted",
            data: {
              session: id,
              name: declared.get(id)?.name ?? id,
              wanted: "stopped",
              because: input.because ?? "down",
            },
          }),
        ),
        result: null,
      }),
    });
    await stopSessions(town, todo, { actor, progress: new Progress(null, todo.length) });
    const left = todo.length > 0 ? await town.look() : world;
    if (left && left.sessions.length === 0) await this.leaveEmpty();
    return {
      town: town.name.name,
      stopped: todo.map((step) => step.name),
      held,
      failed: [],
      steps: todo.map(publicStep),
    };
  }

  async #restart(input: RestartInput, actor: Actor) {
    const town = this.#town;
    const plan = town.planFrom(undefined);
    const only = named(plan, input.sessions)!;
    const world = await town.look();
    const running = new Map(
      (world?.sessions ?? [])
        .filter((session) => session.marks?.town === plan.town)
        .map((session) => [session.marks!.id, session]),
    );
    const sessions = plan.sessions.filter((session) => only.has(session.id));
    const why = `restart${input.fresh ? ", fresh" : ""}${input.because === undefined ? "" : `: ${input.because}`}`;
    const held: Step[] = [];
    const stops: PlannedStep[] = [];
    for (const session of sessions) {
      const found = running.get(session.id);
      if (!found) continue;
      const attached = found.attached > 0 && session.kind !== "view";
      const needs = input.yes
        ? null
        : attached
          ? "--yes (somebody is attached)"
          : session.protect
            ? "--yes (protected)"
            : null;
      const step: PlannedStep = {
        do: "restart",
        session: session.id,
        name: session.name,
        why,
        destructive: true,
        needs,
        declared: session,
        found,
        panes: [],
      };
      if (needs) held.push(publicStep(step));
      else stops.push(step);
    }
    const todo = sessions.filter((session) => !held.some((step) => step.session === session.id));
    if (todo.some((session) => !running.has(session.id))) await this.oneServer.checkAlone(plan);
    await stopSessions(town, stops, { actor, progress: new Progress(null, stops.length) });
    if (input.fresh)
      for (const session of todo) if (session.chat) setAside(chatFile(town.cradle.stateFolder, session.id));
    makeFifos(town.cradle.stateFolder, todo);
    const { born, failed } = await startSessions(town, plan, todo, {
      because: why,
      actor,
      progress: new Progress(null, todo.length),
    });
    await town.look();
    if (failed.length > 0) {
      throw new BosunError({
        code: "FAILED",
        what: `${failed[0]!.session} did not start again`,
        why: failed[0]!.error,
        fix: `bosun status ${failed[0]!.session} --why`,
      });
    }
    return { town: plan.town, restarted: born.map((session) => session.name), held };
  }
}

type UpResult = {
  created: string[];
  adopted: string[];
  restarted: string[];
  stopped: string[];
  failed: { session: string; error: string }[];
};

export function rememberedOf(town: Town): Map<string, Remembered> {
  return new Map(
    sessionRows(town.ledger.views).map(({ id, wanted, epoch, former }) => [id, { id, wanted, epoch, former }]),
  );
}

function named(plan: Plan, names: string[] | undefined): Set<string> | null {
  if (!names || names.length === 0) return null;
  return new Set(
    names.flatMap((text) => {
      if (text.startsWith("@")) return sessionsOfGroup(plan, text.slice(1)).map((each) => each.id);
      const session = plan.sessions.find((each) => each.id === text || each.name === text);
      if (session) return session.id;
      throw new BosunError({
        code: "UNKNOWN_SESSION",
        what: `the plan has no session "${text}"`,
        fix: "bosun plan show   lists them all",
      });
    }),
  );
}

function publicStep(step: PlannedStep): Step {
  return {
    do: step.do,
    session: step.session,
    name: step.name,
    why: step.why,
    destructive: step.destructive,
    needs: step.needs,
  };
}

function notOpened(name: string, why: string): BosunError {
  const taken = /exists/.test(why);
  return new BosunError({
    code: taken ? "NAME_TAKEN" : "FAILED",
    what: `${name} did not start`,
    why,
    fix: taken
      ? "choose another name: bosun new NAME"
      : "try the command in a terminal; bosun logs and the coordinator's log say more",
  });
}

function nameTaken(step: PlannedStep): BosunError {
  return new BosunError({
    code: "NAME_TAKEN",
    what: `a tmux session called ${step.name} is already there`,
    why: step.why,
    fix: "rename or end it yourself, or give this town a server of its own: tmux: { socket: town }",
  });
}

function definedOnly(about: Plan["about"]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(about).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
