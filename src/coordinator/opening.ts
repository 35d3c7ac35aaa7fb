import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { BosunError } from "../protocol/error.ts";
import type { Event, SessionOpened } from "../protocol/event.ts";
import { timedId } from "../protocol/id.ts";
import { MAX_OPENED, RESERVED_NAMES, SESSION_LABEL, SESSION_LABEL_RULE, type SessionType } from "../protocol/labels.ts";
import { roleOfOldName } from "../protocol/names.ts";
import {
  sessionClose,
  sessionExport,
  sessionOpen,
  sessionRename,
  sessionSwitch,
  sessionType,
} from "../protocol/opened.ts";
import type { InputOf } from "../protocol/operation.ts";
import { nameOf, type Plan, type PlanSession } from "../protocol/plan.ts";
import { sanitise } from "../protocol/text.ts";
import type { Actor, Dispatch } from "./dispatch.ts";
import { harnessOf } from "./harness/launch.ts";
import { chosen, meant, running } from "./look.ts";
import { activeOf, openedRows, sessionNumbers } from "./sessions/projection.ts";
import { signal, statOf, treeOf } from "./tmux/process-tree.ts";
import type { Town } from "./town.ts";
import { twoWords } from "./two-words.ts";
import type { Reconcile } from "./up.ts";
import { addWorktree, removeWorktree } from "./worktree.ts";

/**
 * Sessions beside the floor plan, as people open, switch between and close them. Only what is visible changes with a switch:
 * all of them run on, and nothing is written to any.
 */
export class Opening {
  readonly #town: Town;
  readonly #reconcile: Reconcile;
  /** Opened one after the other: two of one name are never under way together. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(dispatch: Dispatch, town: Town, reconcile: Reconcile) {
    this.#town = town;
    this.#reconcile = reconcile;
    dispatch.handle(sessionOpen, (input, { actor }) => this.#inTurn(() => this.#open(input, actor)));
    dispatch.handle(sessionClose, (input, { actor }) => this.#inTurn(() => this.#close(input, actor)));
    dispatch.handle(sessionRename, (input, { actor }) => this.#inTurn(() => this.#rename(input, actor)));
    dispatch.handle(sessionSwitch, (input, { actor }) => this.#switch(input, actor));
    dispatch.handle(sessionExport, (input) => this.#export(input.sessions));
    dispatch.handle(sessionType, (input, { actor }) => this.#type(input, actor));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #open(input: InputOf<typeof sessionOpen>, actor: Actor) {
    const town = this.#town;
    if (input.run !== undefined && input.chat !== undefined)
      throw new BosunError({ code: "USAGE", what: "either a command or a conversation", fix: "give one of the two" });
    const original = input.instanceOf === undefined ? null : this.#original(input.instanceOf);
    const taken = new Set((town.plan?.sessions ?? []).flatMap((each) => [each.label ?? each.name, each.id, each.name]));
    const label = input.name ?? (original ? freeLabel(nameOf(original.session), taken) : twoWords(taken));
    checkLabel(label, taken, town.plan);
    this.#checkRoom();
    const session = `x${timedId(crypto.randomUUID(), town.now()).slice(-10)}`;
    const from = original?.cwd ?? input.cwd ?? process.env.HOME ?? "/";
    if (!isAbsolute(from) || !existsSync(from)) {
      throw new BosunError({
        code: "USAGE",
        what: `the folder ${sanitise(from)} does not exist`,
        why: "a session starts in an absolute folder that is there",
        fix: "--cwd DIR",
      });
    }
    const key = label.replaceAll(" ", "_");
    const worktree = input.worktree ? await addWorktree(from, join(town.cradle.stateFolder, "worktrees"), key) : null;
    const cwd = worktree?.folder ?? from;
    const opened: SessionOpened = {
      session,
      label,
      purpose: input.type ?? null,
      entry: original
        ? { ...original.entry, cwd, instance: { of: original.session.id, kind: input.forked ? "forked" : "secondary" } }
        : entryOf(input, label, this.#agentId(key), cwd),
      worktree,
    };
    await this.#write(actor, [{ type: "session.opened", data: opened }]);
    town.openedChanged();
    try {
      if (!town.plan?.sessions.some((each) => each.id === session)) {
        throw new BosunError({ code: "USAGE", what: `${label} cannot be a session`, why: "its entry is no valid one" });
      }
      await this.#reconcile.open(session, actor);
    } catch (error) {
      // Never half there: what did not start was never opened.
      if (worktree) await removeWorktree(worktree, true);
      await this.#write(actor, [{ type: "session.closed", data: { session, because: "it did not start" } }]);
      town.openedChanged();
      throw error;
    }
    await this.#write(actor, [{ type: "session.switched", data: { person: actor.id, session } }]);
    const found = town.world?.sessions.find((each) => each.marks?.id === session);
    return {
      session,
      name: label,
      number: sessionNumbers(town.ledger.views).get(session)!,
      tmux: found?.name ?? key,
      pid: found?.windows[0]?.panes[0]?.pid ?? null,
      cwd,
      branch: worktree?.branch ?? null,
    };
  }

  /** What another one of a declared session is started with. Throws UNKNOWN_SESSION, or USAGE for one of several panes. */
  #original(text: string): { session: PlanSession; cwd: string; entry: Record<string, unknown> } {
    const session = this.#town.declared(text);
    const panes = session.windows.flatMap((window) => window.panes);
    const [pane] = panes;
    if (!pane?.run || panes.length > 1 || session.instance) {
      throw new BosunError({
        code: "USAGE",
        what: `there can be no second ${nameOf(session)}`,
        why: session.instance ? "it is a second one itself" : "only a session of one command can be had twice",
        fix: "name another session",
      });
    }
    const id = this.#agentId(`${nameOf(session)}-2`);
    return {
      session,
      cwd: pane.cwd,
      entry: {
        run: pane.run,
        env: pane.env,
        shell: session.shell,
        ...(session.about !== "" && { about: session.about }),
        ...(pane.agent && {
          agent: { ...pane.agent, id, profile: pane.agent.profile ?? undefined, user: pane.agent.user ?? undefined },
        }),
      },
    };
  }

  /** The session's name where nobody has it, else with a number behind. */
  #agentId(key: string): string {
    const free = (id: string): boolean => !this.#town.registry.known(id);
    if (free(key)) return key;
    for (let n = 2; ; n++) if (free(`${key}-${n}`)) return `${key}-${n}`;
  }

  #checkRoom(): void {
    const { plan, ledger } = this.#town;
    const most = plan?.limits.sessions ?? MAX_OPENED;
    const open = openedRows(ledger.views).length;
    if (open < most) return;
    throw new BosunError({
      code: "OVER_QUOTA",
      what: `${open} sessions are open, and ${most} may be`,
      why: "the floor plan sets the limit (limits.sessions; default 10)",
      fix: "bosun close NAME, or limits: { sessions: 50 } in the floor plan",
    });
  }

  /** Ends and archives an opened session, as `close` does. */
  close(session: string, because: string, actor: Actor) {
    return this.#inTurn(() => this.#close({ session }, actor, because));
  }

  async #close(input: InputOf<typeof sessionClose>, actor: Actor, because = "closed") {
    const town = this.#town;
    const declared = this.#opened(input.session, actor);
    const found = town.world?.sessions.find((each) => each.marks?.id === declared.id);
    const others = found?.attached ?? 0;
    if (others > 0 && !input.yes) {
      throw new BosunError({
        code: "REFUSED",
        what: `somebody is attached to ${declared.label}`,
        why: "it would be closed under their hands",
        fix: `bosun close ${declared.label} --yes`,
      });
    }
    const row = openedRows(town.ledger.views).find((each) => each.session === declared.id)!;
    const before = activeOf(town.ledger.views, actor.id);
    await this.#reconcile.down({ sessions: [declared.id], yes: true }, actor);
    const worktree = row.worktree && (await removeWorktree(row.worktree, input.dropBranch ?? false));
    await this.#write(actor, [{ type: "session.closed", data: { session: declared.id, because } }]);
    town.openedChanged();
    const next = before?.session === declared.id ? (before.before ?? this.#newest()) : before?.session;
    if (next && next !== before?.session)
      await this.#write(actor, [{ type: "session.switched", data: { person: actor.id, session: next } }]);
    const active = next ? town.plan?.sessions.find((each) => each.id === next) : undefined;
    return { session: declared.id, name: declared.label!, active: active ? nameOf(active) : null, worktree };
  }

  async #rename(input: InputOf<typeof sessionRename>, actor: Actor) {
    const town = this.#town;
    const declared = this.#opened(input.session, actor);
    const others = (town.plan?.sessions ?? []).filter((each) => each.id !== declared.id);
    checkLabel(input.to, new Set(others.flatMap((each) => [each.label ?? each.name, each.id, each.name])), town.plan);
    const found = town.world?.sessions.find((each) => each.marks?.id === declared.id);
    const to = input.to.replaceAll(" ", "_");
    if (found && found.name !== to) await town.tmux.rename(found.id, to);
    await this.#write(actor, [
      { type: "session.labelled", data: { session: declared.id, label: input.to } },
      { type: "session.renamed", data: { session: declared.id, from: declared.name, to } },
    ]);
    town.openedChanged();
    await town.look();
    return { session: declared.id, from: declared.label!, name: input.to };
  }

  async #switch(input: InputOf<typeof sessionSwitch>, actor: Actor) {
    const town = this.#town;
    const was = activeOf(town.ledger.views, actor.id);
    const target = this.#target(input.session, was);
    let paused: boolean | null = input.pause ? false : null;
    if (was?.session !== target.id) {
      await this.#write(actor, [{ type: "session.switched", data: { person: actor.id, session: target.id } }]);
      if (input.pause && was) paused = this.#signal(was.session, "SIGSTOP") > 0;
    }
    this.#signal(target.id, "SIGCONT");
    const previous = was && town.plan?.sessions.find((each) => each.id === was.session);
    return {
      session: target.id,
      name: nameOf(target),
      number: sessionNumbers(town.ledger.views).get(target.id) ?? null,
      previous: previous ? nameOf(previous) : null,
      paused,
    };
  }

  #target(text: string, was: { session: string; before: string | null } | null): PlanSession {
    const { plan, ledger } = this.#town;
    if (text === "-") {
      const before = plan?.sessions.find((each) => each.id === was?.before);
      if (before) return before;
      throw new BosunError({ code: "UNKNOWN_SESSION", what: "there is no session before this one", fix: "bosun ls" });
    }
    if (text !== "next" && text !== "previous") return this.#town.declared(text);
    const numbers = sessionNumbers(ledger.views);
    const all = (plan?.sessions ?? [])
      .filter((each) => numbers.has(each.id) && each.kind !== "view")
      .toSorted((a, b) => numbers.get(a.id)! - numbers.get(b.id)!);
    const at = all.findIndex((each) => each.id === was?.session);
    const next = all.at((at + (text === "next" ? 1 : -1) + all.length) % Math.max(1, all.length));
    if (next) return next;
    throw new BosunError({ code: "UNKNOWN_SESSION", what: "no session runs", fix: "bosun new NAME" });
  }

  /**
   * To what the panes' first processes have started, where it is in the other state; gives how many heard it. tmux wakes a
   * pane's first process as soon as it stops, so that one is left alone: a shell waits for what it has started anyway.
   */
  #signal(session: string, name: "SIGSTOP" | "SIGCONT"): number {
    const found = this.#town.world?.sessions.find((each) => each.marks?.id === session);
    const first = (found?.windows ?? []).flatMap((window) =>
      window.panes.flatMap((pane) => (pane.dead ? [] : [pane.pid])),
    );
    const others = treeOf(first, []).filter(({ pid }) => !first.includes(pid));
    const due = others.filter(({ pid }) => (statOf(pid)?.state === "T") !== (name === "SIGSTOP"));
    for (const each of due) signal(each, name);
    return due.length;
  }

  async #type(input: InputOf<typeof sessionType>, actor: Actor) {
    const town = this.#town;
    const declared = meant(town, input.session, actor);
    if ((input.line === undefined) === (input.keys === undefined)) {
      throw new BosunError({ code: "USAGE", what: "either a line or keys", fix: "give one of the two" });
    }
    if ((declared.headless || declared.protect) && !input.force) {
      throw new BosunError({
        code: "REFUSED",
        what: `${nameOf(declared)} is ${declared.headless ? "headless: its agents run for everybody" : "protected"}`,
        why: "what is typed there would reach what others rely on",
        fix: "bosun ask AGENT TEXT to talk to an agent; --force to type all the same",
      });
    }
    const session = await running(town, declared.id);
    const pane = chosen(session, input.pane)[0]!;
    const bytes = Buffer.from(input.line ?? input.keys!, input.line === undefined ? "base64" : "utf8");
    if (input.line === undefined) await town.tmux.typeKeys(pane.id, bytes);
    else await town.tmux.typeText(pane.id, input.line, { enter: true });
    return { session: declared.id, pane: pane.id, bytes: bytes.length };
  }

  #export(names: string[] | undefined) {
    const rows = openedRows(this.#town.ledger.views).filter((row) => row.damaged === null);
    const wanted = names?.flatMap((name) => this.#town.meant(name).map((session) => this.#beside(session).id));
    return {
      version: 1 as const,
      sessions: rows
        .filter((row) => wanted === undefined || wanted.includes(row.session))
        .map(({ label, purpose, entry }) => ({ name: label, type: purpose as SessionType | null, entry })),
    };
  }

  #opened(text: string | undefined, actor: Actor): PlanSession {
    return this.#beside(meant(this.#town, text, actor));
  }

  /** Throws REFUSED for a session of the plan. */
  #beside(found: PlanSession): PlanSession {
    if (found.label !== undefined) return found;
    throw new BosunError({
      code: "REFUSED",
      what: `${found.name} is a session of the floor plan`,
      why: "only what was opened beside the plan is closed, renamed or exported like this",
      fix: `bosun down ${found.id}, or change the floor plan`,
    });
  }

  #newest(): string | null {
    return openedRows(this.#town.ledger.views).at(-1)?.session ?? null;
  }

  #write(actor: Actor, events: Event[]) {
    return this.#town.ledger.write({ actor: actor.name, decide: () => ({ events, result: null }) });
  }
}

function entryOf(
  { run, chat, env, agent, type, idleMs }: InputOf<typeof sessionOpen>,
  label: string,
  id: string,
  cwd: string,
): Record<string, unknown> {
  return {
    about: type ? `${label} (${type})` : label,
    // A shell a person works in, not one that a script would get.
    ...(chat ? { chat } : { run: run ?? `exec ${process.env.SHELL ?? "/bin/sh"}` }),
    cwd,
    ...(env && { env }),
    agent: { id, type: agent ?? (chat ? "chat" : (harnessOf("", run ?? null)?.types[0] ?? "shell")) },
    start: "boot",
    // A conversation goes on where it was.
    restart: chat ? "on-failure" : "never",
    ...(idleMs !== undefined && { idle: `${idleMs}ms` }),
  };
}

function checkLabel(label: string, taken: ReadonlySet<string>, plan: Plan | null): void {
  const reserved = RESERVED_NAMES.has(label);
  const old = plan && roleOfOldName(plan.names, label);
  if (!SESSION_LABEL.test(label) || reserved || old) {
    throw new BosunError({
      code: "USAGE",
      what: `"${sanitise(label.slice(0, 80))}" cannot be a session's name`,
      why: old ? `it is the old name of the ${old}` : reserved ? "it is reserved" : SESSION_LABEL_RULE,
      fix: "choose another; without a name one is made up",
    });
  }
  if (!taken.has(label) && !taken.has(label.replaceAll(" ", "_"))) return;
  throw new BosunError({
    code: "NAME_TAKEN",
    what: `a session called ${label} is there already`,
    fix: `bosun switch "${label}", or choose another name`,
  });
}

/** `sisters-2`, or the next number that nobody has. */
function freeLabel(name: string, taken: ReadonlySet<string>): string {
  for (let n = 2; ; n++) if (!taken.has(`${name}-${n}`)) return `${name}-${n}`;
}
