import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { BosunError } from "../../protocol/error.ts";
import {
  type Ghost,
  type GhostAnswers,
  type GhostClass,
  type GhostDecision,
  ghostAdopt,
  ghostIgnore,
  ghostList,
  ghostQuarantine,
  ghostRetire,
  ghostShow,
} from "../../protocol/ghost.ts";
import { timedId } from "../../protocol/id.ts";
import { isGenericName } from "../../protocol/names.ts";
import type { InputOf } from "../../protocol/operation.ts";
import { nameOf, type PlanSession } from "../../protocol/plan.ts";
import { shellWord } from "../../protocol/shell.ts";
import { sanitise } from "../../protocol/text.ts";
import type { Actor, Dispatch } from "../dispatch.ts";
import { classify, type Standing } from "../ghosts/classify.ts";
import { commandOf, factsOf, touchesOf } from "../ghosts/investigate.ts";
import { type GhostRow, ghostRows } from "../ghosts/projection.ts";
import { withSession } from "../plan/amend.ts";
import { declaredPanes } from "../plan/diff.ts";
import { sessionRow } from "../sessions/projection.ts";
import { takeOver } from "../taking-over.ts";
import type { TmuxSession, World } from "../tmux/port.ts";
import { treeOf } from "../tmux/process-tree.ts";
import type { Town } from "../town.ts";
import type { Reconcile } from "../up.ts";
import { replaceFile } from "./replace-file.ts";

/** Nothing is ended on one sighting: so long it must have been there, seen at both ends. */
const SEEN_FOR_MS = 5_000;

/** Scrollback kept of a session that is ended. */
const ARCHIVED_LINES = 100_000;

const SHOWN_LINES = 5;

interface Found {
  session: TmuxSession;
  row: GhostRow | undefined;
  class: GhostClass;
  why: string;
}

/** Declared against actual: who is on the server that the plan does not know, what that is, and what is done about it. */
export class RollCall {
  readonly #town: Town;
  readonly #reconcile: Reconcile;

  constructor(dispatch: Dispatch, town: Town, reconcile: Reconcile) {
    this.#town = town;
    this.#reconcile = reconcile;
    dispatch.handle(ghostList, (input) => this.#list(input.all ?? false));
    dispatch.handle(ghostShow, async ({ name }) => {
      const found = await this.#find(name);
      return { ghost: this.#shown(found), answers: await this.#answers(found.session) };
    });
    dispatch.handle(ghostAdopt, (input, { actor }) => this.#adopt(input, actor));
    dispatch.handle(ghostIgnore, async ({ name, because }, { actor }) => {
      const found = await this.#find(name);
      await this.#decide(found, "ignored", because, actor, {});
      return { name: found.session.name, decision: "ignored" };
    });
    dispatch.handle(ghostQuarantine, ({ name, because }, { actor }) => this.#quarantine(name, because, actor));
    dispatch.handle(ghostRetire, (input, { actor }) => this.#retire(input, actor));
  }

  async #world(): Promise<World> {
    const world = await this.#town.look();
    if (world) return world;
    throw new BosunError({ code: "UNKNOWN_SESSION", what: "no tmux server runs here", fix: "bosun up" });
  }

  #standing(session: TmuxSession): Standing {
    const { plan, name } = this.#town;
    const sessions = plan?.sessions ?? [];
    const ids = new Set(sessions.map((each) => each.id));
    const world = this.#town.world!;
    const ours = new Set(
      [...ids].flatMap((id) => {
        const holders = world.sessions.filter((each) => each.marks?.town === name.name && each.marks.id === id);
        // Of two that carry one mark, the one the log started is the true one.
        const known = sessionRow(this.#town.ledger.views, id)?.tmuxId;
        return (holders.find((each) => each.id === known) ?? holders[0])?.id ?? [];
      }),
    );
    const facts = factsOf(session.windows[0]?.panes[0]?.pid ?? -1);
    return classify(session, {
      town: name.name,
      scheme: plan?.names ?? { preset: "floor", templates: {}, legacy: "accept" },
      rigs: new Set((plan?.rigs ?? []).map((rig) => rig.id)),
      ids,
      names: new Set(sessions.flatMap((each) => [each.name, nameOf(each), ...each.was])),
      ours,
      uid: process.getuid!(),
      ownerUid:
        facts?.uid ??
        (session.windows.every((each) => each.panes.every((pane) => pane.dead)) ? process.getuid!() : null),
    });
  }

  #ghosts(world: World): Found[] {
    const rows = ghostRows(this.#town.ledger.views, world.server);
    return world.sessions.flatMap((session) => {
      const standing = this.#standing(session);
      return standing.kind === "ghost"
        ? [{ session, row: rows.get(session.id), class: standing.class, why: standing.why }]
        : [];
    });
  }

  async #list(all: boolean) {
    const world = await this.#town.look();
    const ghosts = world ? this.#ghosts(world) : [];
    const declared = this.#town.plan?.sessions ?? [];
    const there = new Set(
      world?.sessions.flatMap((each) => (each.marks ? [`${each.marks.town} ${each.marks.id}`] : [])),
    );
    return {
      ghosts: ghosts.filter(({ row }) => all || row?.decision !== "ignored").map((found) => this.#shown(found)),
      missing: declared
        .filter((each) => each.start === "boot" && !there.has(`${this.#town.name.name} ${each.id}`))
        .map((each) => each.id),
      foreign: (world?.sessions ?? []).flatMap((session) =>
        session.marks && session.marks.town !== this.#town.name.name
          ? [{ name: session.name, town: session.marks.town }]
          : [],
      ),
    };
  }

  async #find(text: string): Promise<Found> {
    const world = await this.#world();
    const session =
      world.sessions.find((each) => each.id === text) ?? world.sessions.find((each) => each.name === text);
    const standing = session && this.#standing(session);
    if (session && standing?.kind === "ghost") {
      const row = ghostRows(this.#town.ledger.views, world.server).get(session.id);
      return { session, row, class: standing.class, why: standing.why };
    }
    throw new BosunError({
      code: "UNKNOWN_SESSION",
      what: `there is no ghost "${sanitise(text)}"`,
      why:
        standing?.kind === "foreign"
          ? `it belongs to the town ${standing.town}`
          : standing
            ? "the plan declares it"
            : "no session on this server has that name",
      fix: "bosun ghosts   shows them",
    });
  }

  #shown({ session, row, class: of, why }: Found): Ghost {
    const nowMs = this.#town.now();
    const firstMs = row?.firstSeenMs ?? nowMs;
    return {
      name: session.name,
      tmux_id: session.id,
      class: of,
      why,
      first_seen: new Date(firstMs).toISOString(),
      age_ms: nowMs - firstMs,
      attached: session.attached,
      decision: row?.decision ?? null,
      because: row?.because ?? null,
      by: row?.by ?? null,
      proposal: proposalFor(of, session.name),
    };
  }

  async #answers(session: TmuxSession): Promise<GhostAnswers> {
    const panes = session.windows.flatMap((window) => window.panes);
    const first = panes[0];
    const facts = first ? factsOf(first.pid) : null;
    const tree = treeOf(
      panes.map((pane) => pane.pid),
      [],
    );
    const texts = first ? await this.#town.tmux.capture([first.id]) : new Map<string, string>();
    const lines = sanitise([...texts.values()][0] ?? "")
      .split("\n")
      .filter((line) => line.trim() !== "");
    const plan = this.#town.plan?.sessions ?? [];
    const namesake = plan.find((each) => each.name === session.name);
    const known = sessionRow(this.#town.ledger.views, session.marks?.id ?? namesake?.id ?? "");
    return {
      what: {
        pid: first?.pid ?? null,
        command: facts?.command ?? null,
        user: facts?.user ?? null,
        created: new Date(session.createdAtS * 1_000).toISOString(),
        started: facts?.startedMs ? new Date(facts.startedMs).toISOString() : null,
        windows: session.windows.length,
        panes: panes.length,
      },
      does: { cwd: facts?.cwd ?? null, last_lines: lines.slice(-SHOWN_LINES) },
      touches: {
        children: tree.slice(1).map(({ pid }) => `${pid} ${commandOf(pid)}`),
        ...touchesOf(tree.map(({ pid }) => pid)),
      },
      made_by: {
        parent: facts?.parent ?? null,
        mark: session.marks ? `${session.marks.town} ${session.marks.id} epoch ${session.marks.epoch}` : null,
        log: known ? `${known.id}: ${known.state}, wanted ${known.wanted ?? "by nobody"}` : null,
      },
      breaks: {
        attached: session.attached,
        stands_on: plan.flatMap((each) => (namesake && each.after.includes(namesake.id) ? [each.id] : [])),
      },
    };
  }

  async #adopt(input: InputOf<typeof ghostAdopt>, actor: Actor) {
    const town = this.#town;
    const found = await this.#find(input.name);
    const { session } = found;
    if (found.class === "G4" || found.class === "unknown") {
      throw new BosunError({
        code: "REFUSED",
        what: `${session.name} cannot be adopted`,
        why: `${found.class}: ${found.why}`,
        fix: `bosun ghosts show ${session.name}`,
      });
    }
    const answers = await this.#answers(session);
    const namesake = town.plan?.sessions.find(
      (each) => each.name === session.name || each.was.includes(session.name) || each.id === input.as,
    );
    if (namesake && found.class !== "G1") {
      throw new BosunError({
        code: "NAME_TAKEN",
        what: `the plan has a session ${namesake.id}`,
        fix: "--id ANOTHER-ID",
      });
    }
    const running = town.world?.sessions.find(
      ({ marks }) => marks?.town === town.name.name && marks.id === namesake?.id,
    );
    if (running) {
      throw new BosunError({
        code: "CONFLICT",
        what: `${namesake!.id} runs already, as ${running.name}`,
        why: "a second one would end the first",
        fix: `bosun adopt ${session.name} --id ANOTHER-ID`,
      });
    }
    const declared = namesake
      ? { session: namesake, file: town.plan!.file || null, entry: {} }
      : await this.#declare(session, input, actor, answers, found.class);
    const wanted = [{ declared: declared.session, session, name: declared.session.name }];
    const ours = (await takeOver(town, wanted, actor, "adopted")).get(declared.session.id)!;
    if (ours instanceof Error) throw ours;
    await this.#decide(found, "adopted", input.purpose, actor, { answers, session: declared.session.id });
    return {
      session: declared.session.id,
      name: declared.session.name,
      pid: declaredPanes(ours)[0]?.pid ?? null,
      plan: declared.file,
      entry: declared.entry,
    };
  }

  /** Writes the entry: into the floor plan where there is one, else beside it. Nothing is left behind when it is no valid one. */
  async #declare(
    session: TmuxSession,
    input: InputOf<typeof ghostAdopt>,
    actor: Actor,
    answers: GhostAnswers,
    of: GhostClass,
  ): Promise<{ session: PlanSession; file: string | null; entry: Record<string, unknown> }> {
    const town = this.#town;
    const id = input.as ?? session.name;
    const entry = entryOf(session, input, {
      by: answers.what.user ?? "unknown",
      at: answers.what.created,
      rescued: new Date(town.now()).toISOString(),
      rescued_by: actor.id,
      class: of,
    });
    const { file } = town.plan ?? { file: "" };
    if (file === "") {
      const key = `x${timedId(crypto.randomUUID(), town.now()).slice(-10)}`;
      await town.ledger.write({
        actor: actor.name,
        decide: () => ({
          events: [{ type: "session.opened", data: { session: key, label: id, purpose: null, entry, worktree: null } }],
          result: null,
        }),
      });
      town.openedChanged();
      return { session: town.plan!.sessions.find((each) => each.id === key)!, file: null, entry };
    }
    const before = readFileSync(file, "utf8");
    const after = withSession(before, id, entry);
    if (after === null) {
      throw new BosunError({
        code: "REFUSED",
        what: `${file} cannot be written to`,
        why: "its sessions are not a map",
        fix: `put this under sessions: ${id}: ${JSON.stringify(entry)}`,
      });
    }
    replaceFile(file, after);
    try {
      const plan = town.planFrom(file);
      await this.#reconcile.inForce(plan, actor);
      return { session: plan.sessions.find((each) => each.id === id)!, file, entry };
    } catch (error) {
      replaceFile(file, before);
      throw error;
    }
  }

  async #quarantine(name: string, because: string, actor: Actor) {
    const found = await this.#find(name);
    this.#mayTouch(found, true);
    const answers = await this.#answers(found.session);
    const archive = await this.#archive(found, "quarantined", because, actor, answers);
    await this.#decide(found, "quarantined", because, actor, { answers, archive });
    this.#town.log.warn({ session: found.session.name, because }, "a session is quarantined");
    return { name: found.session.name, decision: "quarantined", archive };
  }

  async #retire({ name, because, yes = false }: InputOf<typeof ghostRetire>, actor: Actor) {
    const found = await this.#find(name);
    this.#mayTouch(found, yes);
    const { row, session } = found;
    const seenMs = row ? this.#town.now() - row.firstSeenMs : 0;
    if (seenMs < SEEN_FOR_MS) {
      throw new BosunError({
        code: "REFUSED",
        what: `${session.name} was seen only once`,
        why: `nothing is ended before it has been there for ${SEEN_FOR_MS / 1_000} s`,
        fix: "try again in a moment",
        retryAfterMs: SEEN_FOR_MS - seenMs,
      });
    }
    const answers = await this.#answers(session);
    const archive = await this.#archive(found, "retired", because, actor, answers);
    // What is to be ended is what was looked at: the same session of the same server, and nobody has come to it meanwhile.
    const world = await this.#world();
    const now = world.sessions.find((each) => each.id === session.id && each.createdAtS === session.createdAtS);
    if (!now || (now.attached > 0 && !yes)) {
      throw new BosunError({
        code: "REFUSED",
        what: `${session.name} was not ended`,
        why: now ? "somebody has attached to it" : "it has gone",
        fix: "bosun ghosts",
      });
    }
    await this.#decide(found, "retired", because, actor, { answers, archive });
    // It has no mark, or one of a session that is declared: its windows are ended one by one as its own.
    await this.#town.tmux.mark(now, {
      town: this.#town.name.name,
      id: `retired/${now.id.slice(1)}`,
      epoch: 0,
      shape: "retired",
    });
    await this.#town.tmux.stop([now.id]);
    await this.#town.look();
    return { name: session.name, decision: "retired", archive };
  }

  /** Throws for what must not be touched: unknown, another user's, or a person's own without their word. */
  #mayTouch({ session, class: of, why }: Found, yes: boolean): void {
    if (of === "unknown" || why.startsWith("it runs for another user")) {
      throw new BosunError({
        code: "REFUSED",
        what: `${session.name} is left alone`,
        why,
        fix: `bosun ghosts show ${session.name}`,
      });
    }
    if (session.attached > 0 && !yes) {
      throw new BosunError({
        code: "NEEDS_CONSENT",
        what: `somebody is attached to ${session.name}`,
        why: "it may be a person's own session",
        fix: `bosun retire ${session.name} --because WHY --yes`,
      });
    }
  }

  async #archive(
    { session, class: of, why }: Found,
    decision: GhostDecision,
    because: string,
    actor: Actor,
    answers: GhostAnswers,
  ): Promise<string> {
    const at = new Date(this.#town.now()).toISOString();
    const folder = join(
      this.#town.cradle.stateFolder,
      "archive",
      `${at.replace(/[:.]/g, "-")}-${session.name.replace(/[^\w-]/g, "_")}`,
    );
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const panes = session.windows.flatMap((window) => window.panes);
    const texts = await this.#town.tmux.capture(
      panes.map((pane) => pane.id),
      { historyLines: ARCHIVED_LINES },
    );
    for (const pane of panes)
      writeFileSync(join(folder, `pane-${pane.id.slice(1)}.txt`), texts.get(pane.id) ?? "", { mode: 0o600 });
    const tree = treeOf(
      panes.map((pane) => pane.pid),
      [],
    );
    writeFileSync(join(folder, "processes.txt"), tree.map(({ pid }) => `${pid} ${commandOf(pid)}\n`).join(""), {
      mode: 0o600,
    });
    const record = { at, name: session.name, class: of, why, decision, because, by: actor.id, answers };
    writeFileSync(join(folder, "record.json"), `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
    return folder;
  }

  async #decide(
    { session, class: of }: Found,
    decision: GhostDecision,
    because: string,
    actor: Actor,
    more: { answers?: GhostAnswers; archive?: string; session?: string },
  ): Promise<void> {
    const answers = more.answers ?? (await this.#answers(session));
    await this.#town.ledger.write({
      actor: actor.name,
      decide: () => ({
        events: [
          {
            type: "ghost.decided",
            data: {
              server: this.#town.world!.server,
              tmuxId: session.id,
              name: session.name,
              class: of,
              decision,
              because,
              answers,
              archive: more.archive ?? null,
              session: more.session ?? null,
            },
          },
        ],
        result: null,
      }),
    });
  }
}

function entryOf(
  session: TmuxSession,
  { purpose, lifecycle }: InputOf<typeof ghostAdopt>,
  created: Record<string, unknown>,
): Record<string, unknown> {
  const windows = session.windows.map((window) => ({
    name: window.name.replaceAll(":", "_").slice(0, 64) || "main",
    panes: window.panes.map((pane) => runOf(pane.pid)),
  }));
  const first = windows[0]?.panes[0] ?? {};
  const single = windows.length === 1 && windows[0]!.panes.length === 1;
  return {
    about: purpose,
    lifecycle,
    restart: lifecycle === "persistent" ? "always" : "never",
    ...(single ? first : { windows }),
    created,
  };
}

/** How its process would be started again. */
function runOf(pid: number): { run?: string; cwd?: string } {
  const facts = factsOf(pid);
  if (!facts) return {};
  const [program = "sh", ...words] = facts.words;
  // A login shell calls itself `-bash`.
  const run = [
    "exec",
    ...[program.startsWith("-") ? basename(program.slice(1)) : program, ...words].map(shellWord),
  ].join(" ");
  return { run, ...(facts.cwd !== null && { cwd: facts.cwd }) };
}

function proposalFor(of: GhostClass, name: string): string {
  if (isGenericName(name) && of !== "G4") {
    return `bosun adopt ${name} --id CREW_FUNCTION --purpose WHAT-FOR (its name tells nobody what it is for), or bosun ignore ${name} --because WHY`;
  }
  switch (of) {
    case "G1":
      return `bosun adopt ${name} --purpose WHAT-FOR`;
    case "G2":
      return `bosun adopt ${name} --purpose WHAT-FOR, or bosun retire ${name} --because WHY`;
    case "G4":
      return `bosun quarantine ${name} --because WHY`;
    default:
      return `bosun ignore ${name} --because WHY, or bosun adopt ${name} --purpose WHAT-FOR`;
  }
}
