import { agentAt, type Plan } from "../protocol/plan.ts";
import { sessionOutput } from "../protocol/session.ts";
import type { Dispatch } from "./dispatch.ts";
import { chosen, running } from "./look.ts";
import { declaredPanes } from "./plan/diff.ts";
import type { PaneId, WindowId, World } from "./tmux/port.ts";
import type { Town } from "./town.ts";

type Listener = (bytes: Buffer) => void;

/**
 * Who wants to hear which panes. tmux is asked for the windows of those, and of no others: a window that is heard hangs in
 * the control session too, and costs the server a copy of every byte.
 */
export class Hearing {
  readonly #town: Town;
  readonly #wanted = new Map<PaneId, { window: WindowId; listeners: Set<Listener> }>();
  #windows = "";
  #telling: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;

  constructor(town: Town) {
    this.#town = town;
    town.tmux.on((notice) => {
      if (notice.kind !== "output") return;
      for (const listener of this.#wanted.get(notice.pane)?.listeners ?? []) listener(notice.bytes);
    });
  }

  /** From when this resolves on, `listener` gets every byte of the pane. Returns the release. */
  async want(window: WindowId, pane: PaneId, listener: Listener): Promise<() => void> {
    const entry = this.#wanted.get(pane) ?? { window, listeners: new Set() };
    entry.listeners.add(listener);
    this.#wanted.set(pane, entry);
    await this.#tell();
    return () => {
      entry.listeners.delete(listener);
      if (entry.listeners.size === 0) this.#wanted.delete(pane);
      void this.#tell();
    };
  }

  /** One after the other, and what was asked for meanwhile at once: two at a time would each link what the other does. */
  #tell(): Promise<void> {
    this.#next ??= this.#telling.then(() => {
      this.#next = null;
      return this.#hear();
    });
    this.#telling = this.#next;
    return this.#next;
  }

  async #hear(): Promise<void> {
    const windows = [...new Set([...this.#wanted.values()].map((entry) => entry.window))].sort();
    const now = windows.join(" ");
    if (now === this.#windows) return;
    this.#windows = now;
    try {
      await this.#town.tmux.hear(windows);
    } catch (error) {
      this.#windows = "";
      this.#town.log.warn({ err: error }, "listening to panes failed");
    }
  }
}

/** Raw output as an operation, for replicas of a window in somebody's view. */
export function registerHearing(dispatch: Dispatch, town: Town, hearing: Hearing): void {
  dispatch.handle(sessionOutput, async (input, call) => {
    const session = await running(town, input.session);
    const pane = chosen(session, input.pane)[0]!;
    const window = session.windows.find((each) => each.panes.includes(pane))!;
    const release = await hearing.want(window.id, pane.id, (bytes) =>
      call.stream.push(JSON.stringify({ base64: bytes.toString("base64") })),
    );
    call.stream.onClose(release);
    return { pane: pane.id };
  });
}

/** Rooms may declare a session's panes as a source: their bytes go to the room, which picks lines by its pattern. */
export function hearSources(town: Town, hearing: Hearing): void {
  const heard = new Map<PaneId, () => void>();
  town.on("world", (world) => {
    if (!town.plan) return;
    const wanted = sourcePanes(town.plan, world);
    for (const [pane, release] of heard) {
      if (wanted.has(pane)) continue;
      heard.delete(pane);
      release();
    }
    for (const [pane, { window, session, agent }] of wanted) {
      if (heard.has(pane)) continue;
      heard.set(pane, () => {});
      void hearing
        .want(window, pane, (bytes) => town.rooms.feedPaneOutput(session, agent, bytes))
        .then((release) => heard.set(pane, release));
    }
  });
}

function sourcePanes(plan: Plan, world: World | null) {
  const sessions = new Set(
    plan.rooms.flatMap((room) => room.sources.flatMap((source) => (source.kind === "pane" ? [source.session] : []))),
  );
  const panes = new Map<PaneId, { window: WindowId; session: string; agent: string | null }>();
  for (const session of world?.sessions ?? []) {
    if (session.marks?.town !== plan.town || !sessions.has(session.marks.id)) continue;
    const declared = plan.sessions.find((each) => each.id === session.marks!.id);
    for (const pane of declaredPanes(session)) {
      panes.set(pane.id, {
        window: session.windows.find((each) => each.panes.includes(pane))!.id,
        session: session.marks.id,
        agent: agentAt(declared, pane.slot),
      });
    }
  }
  return panes;
}
