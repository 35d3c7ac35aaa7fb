import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import type { PlanSession } from "../protocol/plan.ts";
import { viewList, viewOpen, viewShare, viewUnshare } from "../protocol/view.ts";
import type { Actor, Dispatch } from "./dispatch.ts";
import { running } from "./look.ts";
import { shareRows } from "./sessions/projection.ts";
import type { TmuxSession, TmuxWindow } from "./tmux/port.ts";
import type { Town } from "./town.ts";
import type { Reconcile } from "./up.ts";

/** Where a shared window hangs unless told otherwise: behind a person's own, at the place the key 9 selects. */
const SHARE_INDEX = 9;

/** Personal views, and windows shown in more than one of them. */
export function registerViews(dispatch: Dispatch, town: Town, reconcile: Reconcile): void {
  dispatch.handle(viewOpen, async (input, call) => {
    const view = viewOf(town, input.user);
    mayTouch(call.actor, input.user);
    const world = await town.look();
    const there =
      world?.sessions.some((session) => session.marks?.town === town.name.name && session.marks.id === view.id) ??
      false;
    if (!there) await reconcile.up({ sessions: [view.id], stay: true }, call.actor, null);
    return { user: input.user, session: view.id, name: view.name, created: !there };
  });

  dispatch.handle(viewList, async () => {
    const world = await town.look();
    const shared = shareRows(town.ledger.views);
    const views = (town.plan?.sessions ?? []).filter((session) => session.kind === "view" && session.member !== null);
    return {
      views: views.map((view) => {
        const found = world?.sessions.find(
          (session) => session.marks?.town === town.name.name && session.marks.id === view.id,
        );
        return {
          user: view.member!,
          name: view.name,
          state: found ? "running" : "declared",
          attached: found?.attached ?? 0,
          windows: (found?.windows ?? []).map((window) => `${window.index}:${window.name}`),
          shared: (found?.windows ?? [])
            .filter((window) => window.linked > 1)
            .map((window) => ({
              window: window.name,
              with: present(town, world?.sessions ?? [], window).filter((name) => name !== view.name),
            })),
          given: shared.filter((share) => share.source === view.id).map((share) => `${share.window} → ${share.view}`),
        };
      }),
    };
  });

  dispatch.handle(viewShare, async (input, call) => {
    const view = viewOf(town, input.with);
    const { declared, session, window } = await windowOf(town, input.source);
    mayTouch(call.actor, declared.kind === "view" ? (declared.member ?? "") : null);
    const target = await running(town, view.id);
    const index = freeIndex(target, input.index);
    const mode = input.mode ?? "link";
    if (mode === "link") {
      if (target.windows.some((each) => each.id === window.id)) {
        throw new BosunError({
          code: "CONFLICT",
          what: `${view.name} already shows window ${window.name} of ${session.name}`,
          fix: `bosun unshare ${input.source} --with ${input.with}`,
        });
      }
      await town.tmux.linkWindow(window.id, target.id, index);
    } else {
      const { cli } = town.cradle;
      await town.tmux.addWindow(target.id, {
        name: window.name,
        index,
        pane: {
          title: `${session.name}:${window.name}`,
          cwd: "/",
          argv: [cli.node, cli.script, "replicate", `${declared.id}:${window.panes[0]!.id}`],
          env: viewEnv(town, view),
        },
      });
    }
    await record(town, call.actor, {
      type: "view.shared",
      data: { source: declared.id, window: window.name, view: view.id, index, mode },
    });
    const world = await town.look();
    return { window: window.id, view: view.name, index, present: present(town, world?.sessions ?? [], window) };
  });

  dispatch.handle(viewUnshare, async (input, call) => {
    const view = viewOf(town, input.with);
    const { declared, window } = await windowOf(town, input.source);
    mayTouch(call.actor, declared.kind === "view" ? (declared.member ?? "") : null);
    const target = await running(town, view.id);
    if (!target.windows.some((each) => each.id === window.id)) {
      throw new BosunError({
        code: "NOT_FOUND",
        what: `${view.name} does not show window ${window.name} of ${declared.name}`,
        fix: "bosun view ls   shows what is shared",
      });
    }
    await town.tmux.unlinkWindow(window.id, target.id);
    await record(town, call.actor, {
      type: "view.unshared",
      data: { source: declared.id, window: window.name, view: view.id },
    });
    await town.look();
    return { removed: 1 };
  });
}

function record(town: Town, actor: Actor, event: Event) {
  return town.ledger.write({ actor: actor.name, decide: () => ({ events: [event], result: null }) });
}

function viewOf(town: Town, user: string): PlanSession {
  const view = town.plan?.sessions.find((session) => session.kind === "view" && session.member === user);
  if (view) return view;
  const known = (town.plan?.users ?? []).map((each) => each.id);
  throw new BosunError({
    code: "UNKNOWN_USER",
    what: `the plan has no user "${user}"`,
    why: known.length > 0 ? `it has ${known.join(", ")}` : "it has none",
    fix: `add ${user}: {} under users: in the floor plan, then bosun up`,
  });
}

/** A person's view is theirs; operators may help. `owner` null = nobody's in particular. */
function mayTouch(actor: Actor, owner: string | null): void {
  if (owner === null || actor.id === owner || actor.role === "operator" || actor.role === "admin") return;
  throw new BosunError({
    code: "REFUSED",
    what: `${actor.id} may not change the view of ${owner}`,
    why: "a view belongs to its person",
  });
}

async function windowOf(
  town: Town,
  source: string,
): Promise<{ declared: PlanSession; session: TmuxSession; window: TmuxWindow }> {
  const at = source.lastIndexOf(":");
  const [name, wanted] = at < 0 ? [source, null] : [source.slice(0, at), source.slice(at + 1)];
  const declared = town.declared(name);
  const session = await running(town, declared.id);
  const window =
    wanted === null
      ? session.windows[0]
      : session.windows.find((each) => each.name === wanted || String(each.index) === wanted || each.id === wanted);
  if (window) return { declared, session, window };
  throw new BosunError({
    code: "NOT_FOUND",
    what: `${session.name} has no window "${wanted}"`,
    why: `it has ${session.windows.map((each) => `${each.index}:${each.name}`).join(", ")}`,
  });
}

function freeIndex(target: TmuxSession, wanted: number | undefined): number {
  const used = new Set(target.windows.map((window) => window.index));
  if (wanted !== undefined) {
    if (!used.has(wanted)) return wanted;
    throw new BosunError({
      code: "CONFLICT",
      what: `${target.name} has a window ${wanted} already`,
      fix: "leave --index away for the next free one",
    });
  }
  let index = SHARE_INDEX;
  while (used.has(index)) index++;
  return index;
}

/** Sessions in which the window hangs: who sees the same thing. The control session is ours, not a person's. */
function present(town: Town, sessions: TmuxSession[], window: TmuxWindow): string[] {
  return sessions
    .filter(
      (session) => session.marks?.town === town.name.name && session.windows.some((each) => each.id === window.id),
    )
    .map((session) => session.name);
}

function viewEnv(town: Town, view: PlanSession): Record<string, string> {
  return {
    BOSUN_HOME: town.cradle.home,
    BOSUN_TOWN: town.cradle.town,
    BOSUN_SOCKET: town.cradle.socketPath,
    BOSUN_TOKEN_FILE: town.cradle.credentials.fileOf(`person:${view.member}`),
    BOSUN_SESSION: view.id,
  };
}
