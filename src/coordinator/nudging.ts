import { BosunError } from "../protocol/error.ts";
import { timedId } from "../protocol/id.ts";
import { sessionNudge, sessionQueue } from "../protocol/opened.ts";
import type { InputOf } from "../protocol/operation.ts";
import { agentsOf, nameOf, type PlanSession } from "../protocol/plan.ts";
import type { Actor, Dispatch } from "./dispatch.ts";
import type { Display, Displays } from "./displays.ts";
import { type Composed, composed, isSameText } from "./screens/composer.ts";
import { type InputRow, waitingInputs } from "./sessions/projection.ts";
import type { Untouched } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/** A person who pressed a key this recently is at work there. */
const HUMAN_WITHIN_MS = 5_000;

/** What was typed is on the screen within this, and gone after Enter. A megabyte takes a terminal a while. */
const SHOWN_WITHIN_MS = 3_000;
const LEFT_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 50;

/** Between a paste and Enter: programs that watch for pastes swallow an Enter that comes with it (Codex waits 120 ms). */
const ENTER_AFTER_MS = 150;
const ENTER = Buffer.from("\r");

/** Keys that every line editor knows. */
const LINE_START = "\x01";
const LINE_END = "\x05";
const RIGHT = "\x1b[C";
const DELETE = "\x1b[3~";
const TAKE_BACK_TRIES = 3;
const TAKEN_BACK_WITHIN_MS = 500;
/** In one command of tmux: no key of a person comes between them. */
const MOST_KEYS = 1_000;

/** What is held is tried again this often, besides whenever something there changes. */
const AGAIN_EVERY_MS = 500;

/** No text of a sender ever wakes a program: this line does, and what it says is true for everybody. */
const WAKE_LINE = "You have mail: bosun inbox --bodies";

interface Settled {
  outcome: "submitted" | "held" | "not-ready" | "unproven";
  why: string;
}

/**
 * Types text into programs, one at a time for each pane and in the order it came, only into an empty composer that nobody is
 * at, and presses Enter only when exactly that text stands in it. What cannot be typed now waits, over restarts too.
 */
export class Nudging {
  readonly #town: Town;
  readonly #displays: Displays;
  readonly #busy = new Set<string>();
  readonly #every: NodeJS.Timeout;
  readonly #stop: () => void;
  #closed = false;

  constructor(dispatch: Dispatch, town: Town, displays: Displays) {
    this.#town = town;
    this.#displays = displays;
    dispatch.handle(sessionNudge, (input, { actor }) => this.#nudge(input, actor));
    dispatch.handle(sessionQueue, (input, { actor }) => this.#queue(input, actor));
    this.#every = setInterval(() => this.#tryAll(), AGAIN_EVERY_MS);
    this.#every.unref();
    this.#stop = displays.onActivity(() => this.#tryAll());
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#every);
    this.#stop();
  }

  async #nudge(input: InputOf<typeof sessionNudge>, actor: Actor) {
    const { session, slot } = this.#target(input.session, input.pane);
    mayNudge(session, input.text, actor);
    const text = input.text ?? WAKE_LINE;
    if (/[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]/.test(text)) {
      throw new BosunError({
        code: "REFUSED",
        what: "the text holds control characters",
        why: "typed into a terminal they are commands",
        fix: "send plain text",
      });
    }
    const waiting = waitingInputs(this.#town.ledger.views, session.id);
    // The one line that wakes is typed once, however many messages came meanwhile.
    const same = input.text === undefined ? waiting.find((each) => each.text === WAKE_LINE) : undefined;
    const id = same?.id ?? timedId(crypto.randomUUID(), this.#town.now());
    if (input.now && waiting.length > 0) throw held(session, `${waiting.length} others wait before it`);
    if (!same) {
      await this.#town.ledger.write({
        actor: actor.name,
        decide: () => ({
          events: [{ type: "input.queued", data: { id, session: session.id, slot, text } }],
          result: null,
        }),
      });
    }
    const settled: Settled =
      waiting.length > 0 && !same
        ? { outcome: "held", why: `${waiting.length} others wait before it` }
        : await this.#try(session.id);
    if (input.now && settled.outcome !== "submitted") {
      if (settled.outcome === "held") await this.#settle(id, "dropped", settled.why);
      throw held(session, settled.why);
    }
    return { id, session: session.id, ...settled, before: waiting.length };
  }

  async #queue(input: InputOf<typeof sessionQueue>, actor: Actor) {
    const session = input.session === undefined ? undefined : this.#target(input.session, undefined).session.id;
    const waiting = waitingInputs(this.#town.ledger.views, session);
    if (input.drop !== undefined) {
      const found = waiting.find((each) => each.id === input.drop);
      if (!found)
        throw new BosunError({ code: "NOT_FOUND", what: `nothing waits under ${input.drop}`, fix: "bosun queue" });
      if (actor.kind === "agent" && found.by !== actor.name) {
        throw new BosunError({ code: "REFUSED", what: "it is somebody else's", why: `${found.by} sent it` });
      }
      await this.#settle(found.id, "dropped", `taken back by ${actor.id}`);
    }
    return {
      waiting: waitingInputs(this.#town.ledger.views, session).map(({ id, session: where, text, by, atMs }) => ({
        id,
        session: where,
        text: text.slice(0, 500),
        by,
        at: new Date(atMs).toISOString(),
      })),
    };
  }

  /** By session, or by an agent that lives in one. */
  #target(text: string, pane: string | undefined): { session: PlanSession; slot: string | null } {
    const sessions = this.#town.plan?.sessions ?? [];
    const placed = agentsOf(sessions).find(({ agent }) => agent.id === text);
    const named = sessions.find((each) => each.id === text || each.label === text || each.name === text);
    if (placed && !named) return { session: placed.session, slot: placed.slot };
    return { session: this.#town.declared(text), slot: pane ?? null };
  }

  #tryAll(): void {
    if (this.#closed) return;
    for (const session of new Set(waitingInputs(this.#town.ledger.views).map((row) => row.session)))
      void this.#try(session).catch((error: unknown) => this.#town.log.warn({ err: error }, "typing failed"));
  }

  /** The oldest that waits for this session. */
  async #try(session: string): Promise<Settled> {
    if (this.#busy.has(session)) return { outcome: "held", why: "something else is being typed there" };
    const [first] = waitingInputs(this.#town.ledger.views, session);
    if (!first) return { outcome: "submitted", why: "it has just been typed" };
    this.#busy.add(session);
    try {
      const settled = await this.#type(first).catch((error: unknown): Settled => {
        if (error instanceof BosunError && error.code !== "UNREACHABLE") throw error;
        // tmux could not be asked, or the pane went meanwhile: it waits for another time.
        return { outcome: "not-ready", why: error instanceof Error ? error.message : String(error) };
      });
      if (settled.outcome === "submitted" || settled.outcome === "unproven")
        await this.#settle(first.id, settled.outcome, settled.why);
      return settled;
    } finally {
      this.#busy.delete(session);
    }
  }

  /** Types a text now or not at all, past the queue only while nothing waits in it. */
  async typeNow(session: string, slot: string | null, text: string): Promise<Settled> {
    if (this.#busy.has(session) || waitingInputs(this.#town.ledger.views, session).length > 0)
      return { outcome: "held", why: "something else is to be typed there first" };
    this.#busy.add(session);
    try {
      return await this.#type({ session, slot, text });
    } finally {
      this.#busy.delete(session);
    }
  }

  async #type(row: Pick<InputRow, "session" | "slot" | "text">): Promise<Settled> {
    await this.#displays.ready(row.session);
    const display = this.#displays.displayOf(row.session, row.slot);
    if (!display) return { outcome: "not-ready", why: "it does not run" };
    const place = this.#placeOf(display);
    const lastKeyS = place && (await this.#town.tmux.lastKeyS(place.session));
    const why = await this.#obstacle(display);
    if (why !== null || !place || lastKeyS === null) return { outcome: "held", why: why ?? "its process has ended" };
    const untouched = (): Untouched => ({ ...place, lastKeyS, cursor: { ...display.screen.cursor } });
    const typedMs = performance.now();
    // Between the look and the paste a person may begin: tmux knows, and then nothing is typed.
    if (!(await this.#town.tmux.typeText(display.pane, row.text, { untouched: untouched() })))
      return { outcome: "held", why: "somebody has begun to type there" };
    const shown = await this.#until(
      display,
      SHOWN_WITHIN_MS,
      (now) => now !== null && (isOurs(now, row.text) || standsBefore(now, row.text) !== null),
    );
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, ENTER_AFTER_MS - (performance.now() - typedMs))));
    const now = composed(display.screen, display.profiles);
    const ours = shown && now !== null && isOurs(now, row.text);
    // The same between that look and Enter.
    const entered = ours && (await this.#town.tmux.typeKeys(display.pane, ENTER, { untouched: untouched() }));
    if (!entered) {
      if (await this.#takeBack(display, row.text)) return { outcome: "held", why: "somebody typed there meanwhile" };
      return {
        outcome: "unproven",
        why: ours
          ? "somebody typed there meanwhile; it stands in the composer, Enter was not pressed"
          : "it was typed, and did not appear as it was; Enter was not pressed",
      };
    }
    const left = await this.#until(display, LEFT_WITHIN_MS, (now) => now === null || !isOurs(now, row.text));
    return left
      ? { outcome: "submitted", why: "it stood in the composer, and left it with Enter" }
      : { outcome: "unproven", why: "Enter was pressed, and it still stands there" };
  }

  /**
   * Takes our text out of what a person types around it, who goes on meanwhile: from the beginning of the line over what stood
   * there before, so that it does not matter how much they have typed behind it. Gives whether it is gone.
   */
  async #takeBack(display: Display, text: string): Promise<boolean> {
    for (let tries = 0; tries < TAKE_BACK_TRIES; tries++) {
      const now = composed(display.screen, display.profiles);
      const before = now && standsBefore(now, text);
      if (before === null) return tries > 0;
      const keys = `${LINE_START}${RIGHT.repeat(cells(before))}${DELETE.repeat(cells(text))}${LINE_END}`;
      if (keys.length > MOST_KEYS) return false;
      await this.#town.tmux.typeKeys(display.pane, Buffer.from(keys));
      await this.#until(display, TAKEN_BACK_WITHIN_MS, (then) => !then || standsBefore(then, text) === null);
    }
    return false;
  }

  /** Why nothing may be typed there now, or null. */
  async #obstacle(display: Display): Promise<string | null> {
    await this.#town.look();
    const found = this.#town.world?.sessions.find((each) => each.marks?.id === display.session);
    const pane = found?.windows.flatMap((window) => window.panes).find((each) => each.id === display.pane);
    if (!found || !pane || pane.dead) return "its process has ended";
    if (pane.inMode) return "somebody reads there (copy mode)";
    if (await this.#humanIsHere(display)) return "somebody types there";
    const { state, reason, source } = display.track.activity;
    if (state === "waiting") return `it waits for a person: ${reason}`;
    // That it writes says little where a place to type is seen; that its screen says so says all.
    if (state === "stalled" || (state === "working" && source !== "output"))
      return "it works; what is typed comes when it is idle";
    const now = composed(display.screen, display.profiles);
    if (now === null) return "no place to type is known on its screen";
    if (now.kind !== "empty") return "a half-typed line stands there";
    return null;
  }

  #placeOf(display: Display): Pick<Untouched, "session" | "window"> | null {
    const found = this.#town.world?.sessions.find((each) => each.marks?.id === display.session);
    const window = found?.windows.find((each) => each.panes.some((pane) => pane.id === display.pane));
    return found && window ? { session: found.id, window: window.id } : null;
  }

  async #humanIsHere(display: Display): Promise<boolean> {
    const found = this.#town.world?.sessions.find((each) => each.marks?.id === display.session);
    const sinceMs = found ? await this.#town.tmux.sinceHumanKeyMs(found.id) : null;
    return sinceMs !== null && sinceMs < HUMAN_WITHIN_MS;
  }

  async #until(display: Display, withinMs: number, fits: (now: Composed | null) => boolean): Promise<boolean> {
    const endMs = performance.now() + withinMs;
    for (;;) {
      if (fits(composed(display.screen, display.profiles))) return true;
      if (performance.now() > endMs) return false;
      await new Promise<void>((resolve) => {
        const next = (): void => {
          clearTimeout(timer);
          display.waiting.delete(next);
          resolve();
        };
        const timer = setTimeout(next, LOOK_EVERY_MS);
        display.waiting.add(next);
      });
    }
  }

  #settle(id: string, outcome: "submitted" | "unproven" | "dropped", because: string) {
    return this.#town.ledger.write({
      actor: "coordinator",
      decide: () => ({ events: [{ type: "input.settled", data: { id, outcome, because } }], result: null }),
    });
  }
}

/** What an agent writes to another goes as mail; into its program goes, from agents, only the line that says so. */
function mayNudge(session: PlanSession, text: string | undefined, actor: Actor): void {
  if (text !== undefined && (actor.kind === "agent" || actor.kind === "program")) {
    throw new BosunError({
      code: "REFUSED",
      what: `${actor.id} may not type into a session`,
      why: "what agents write to each other is mail: it says who it is from, and nobody takes it for a person's wish",
      fix: `bosun send ${nameOf(session)} SUBJECT BODY --wake`,
    });
  }
  if (!session.protect) return;
  throw new BosunError({
    code: "REFUSED",
    what: `${nameOf(session)} is protected`,
    why: "nothing is typed there but by a person who says so",
    fix: `bosun type ${nameOf(session)} TEXT --force`,
  });
}

/** What stands before our text in the composer; null where it does not stand there whole, or alone. */
function standsBefore(now: Composed, text: string): string | null {
  if (now.kind !== "text" || isSameText(now.text, text)) return null;
  const at = now.text.indexOf(text);
  return at === -1 ? null : now.text.slice(0, at);
}

/** Keys that go over it. */
function cells(text: string): number {
  return [...new Intl.Segmenter().segment(text)].length;
}

function isOurs(now: Composed, text: string): boolean {
  return now.kind === "pasted" || (now.kind === "text" && isSameText(now.text, text));
}

function held(session: PlanSession, why: string): BosunError {
  return new BosunError({
    code: "REFUSED",
    what: `nothing was typed into ${nameOf(session)}`,
    why,
    fix: "without --now it waits, and is typed when that is over",
  });
}
