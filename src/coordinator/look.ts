import { BosunError } from "../protocol/error.ts";
import type { PlanSession } from "../protocol/plan.ts";
import { sessionAttach, sessionLogs } from "../protocol/session.ts";
import type { Actor, Dispatch } from "./dispatch.ts";
import { activeOf } from "./sessions/projection.ts";
import type { PaneId, TmuxPane, TmuxSession } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/** Scrollback handed out when a caller names no number: what tmux keeps by default. */
const DEFAULT_LINES = 2_000;

/** A changed screen is looked for this often while somebody follows it. */
const FOLLOW_MS = 500;

/** Seeing a session: its text, and how a person's terminal gets to it. */
export function registerLook(dispatch: Dispatch, town: Town): void {
  dispatch.handle(sessionLogs, async (input, call) => {
    const session = await running(town, input.session);
    const panes = chosen(session, input.pane);
    const texts = await town.tmux.capture(
      panes.map((pane) => pane.id),
      { historyLines: input.lines ?? DEFAULT_LINES },
    );
    const shown = panes.map((pane) => ({
      id: pane.id,
      title: pane.title,
      text: newest(texts.get(pane.id) ?? "", input.lines),
    }));
    if (input.follow) {
      const seen = new Map(panes.map((pane) => [pane.id, texts.get(pane.id) ?? ""]));
      const timer = setInterval(
        () => void follow(town, panes, seen, (json) => call.stream.push(json), call.stream.end.bind(call.stream)),
        FOLLOW_MS,
      );
      call.stream.onClose(() => clearInterval(timer));
    }
    return { session: session.name, panes: shown };
  });

  dispatch.handle(sessionAttach, async (input, call) => {
    const declared = town.declared(input.session);
    mayAttach(declared, call.actor, input.readOnly ?? false, input.force ?? false);
    const session = await running(town, declared.id);
    return {
      socket: [...town.tmux.socketFlags],
      target: session.id,
      name: session.name,
      readOnly: input.readOnly ?? false,
      serverPid: town.world?.serverPid ?? null,
    };
  });
}

function mayAttach(declared: PlanSession, actor: Actor, readOnly: boolean, force: boolean): void {
  if (declared.access && actor.role !== "admin" && !declared.access.includes(actor.role)) {
    throw new BosunError({
      code: "REFUSED",
      what: `${actor.id} may not attach to ${declared.name}`,
      why: `it is open to ${declared.access.join(", ")}, and ${actor.id} is ${actor.role}`,
      fix: `ask an operator, or add "${actor.role}" to access: of ${declared.id}`,
    });
  }
  if (declared.headless && !readOnly && !force) {
    throw new BosunError({
      code: "REFUSED",
      what: `${declared.name} is headless: its agents run for everybody`,
      why: "keys typed there would reach a shared agent",
      fix: `bosun attach ${declared.name} -r   to watch, bosun ask AGENT TEXT to talk, --force to attach all the same`,
    });
  }
}

/** The session somebody names, or the one they look at. Throws UNKNOWN_SESSION. */
export function meant(town: Town, text: string | undefined, actor: Actor): PlanSession {
  if (text !== undefined) return town.declared(text);
  const active = activeOf(town.ledger.views, actor.id)?.session;
  const found = town.plan?.sessions.find((each) => each.id === active);
  if (found) return found;
  throw new BosunError({
    code: "UNKNOWN_SESSION",
    what: "no session is your active one",
    fix: "bosun switch NAME, or name the session",
  });
}

export async function running(town: Town, text: string): Promise<TmuxSession> {
  const declared = town.declared(text);
  const world = await town.look();
  const session = world?.sessions.find((each) => each.marks?.town === town.name.name && each.marks.id === declared.id);
  if (session) return session;
  throw new BosunError({
    code: "UNKNOWN_SESSION",
    what: `${declared.name} does not run`,
    why: "the plan has it, tmux does not",
    fix: `bosun up ${declared.id}`,
  });
}

export function chosen(session: TmuxSession, wanted: string | undefined): TmuxPane[] {
  const panes = session.windows.flatMap((window) => window.panes);
  if (wanted === undefined) return panes;
  const fitting = panes.filter((pane) => pane.id === wanted || pane.title === wanted || pane.slot === wanted);
  if (fitting.length > 0) return fitting;
  throw new BosunError({
    code: "NOT_FOUND",
    what: `${session.name} has no pane "${wanted}"`,
    why: `it has ${panes.map((pane) => pane.title || pane.id).join(", ")}`,
  });
}

/** Panes are taller than their text: empty lines below the last one are not part of it. */
function newest(text: string, lines: number | undefined): string {
  const all = text.replace(/\s+$/, "").split("\n");
  return (lines === undefined ? all : all.slice(-lines)).join("\n");
}

async function follow(
  town: Town,
  panes: TmuxPane[],
  seen: Map<PaneId, string>,
  push: (json: string) => boolean,
  end: (because: string) => void,
): Promise<void> {
  try {
    const texts = await town.tmux.capture(
      panes.map((pane) => pane.id),
      { historyLines: DEFAULT_LINES },
    );
    for (const [pane, text] of texts) {
      const before = seen.get(pane) ?? "";
      if (text === before) continue;
      seen.set(pane, text);
      push(JSON.stringify({ pane, text: added(before, text) }));
    }
  } catch (error) {
    end(error instanceof Error ? error.message : "the pane is gone");
  }
}

/** What stands in `now` behind the last lines of `before`; the whole of it when nothing fits together. */
function added(before: string, now: string): string {
  const old = before.replace(/\s+$/, "").split("\n");
  const fresh = now.replace(/\s+$/, "").split("\n");
  const anchor = old.slice(-3);
  for (let at = fresh.length - anchor.length; at >= 0; at--) {
    if (anchor.every((line, index) => fresh[at + index] === line)) return fresh.slice(at + anchor.length).join("\n");
  }
  return fresh.join("\n");
}
