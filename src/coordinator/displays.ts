import { join } from "node:path";
import { BosunError } from "../protocol/error.ts";
import { agentAt, nameOf, type PlanSession, paneAt } from "../protocol/plan.ts";
import { screenHistory, screenShow, screenWatch } from "../protocol/screen.ts";
import type { Actor, Dispatch, Stream } from "./dispatch.ts";
import type { Hearing } from "./hearing.ts";
import { meant } from "./look.ts";
import { declaredPanes } from "./plan/diff.ts";
import { ActivityTrack, type Judged, judge, weigh } from "./screens/activity.ts";
import { linesOf, writtenOf } from "./screens/lines.ts";
import { BUFFER_BYTES, OutputBuffer } from "./screens/output-buffer.ts";
import { OwnFiles, type OwnSign } from "./screens/own-sign.ts";
import { GENERIC, type Profile, profileFor } from "./screens/profile.ts";
import { Recording } from "./screens/recording.ts";
import type { Screen } from "./screens/screen.ts";
import { Ticker } from "./ticker.ts";
import type { PaneId, Picture, TmuxPane, TmuxWindow, WantedPicture, World } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/** A changed screen goes out this often: what an eye takes for at once. */
const PAINT_EVERY_MS = 33;

/** A screen is judged this long after it changed, at most so often. */
const JUDGE_AFTER_MS = 150;

/** Silence turns "it writes" into something else: all are judged again this often. */
const JUDGE_EVERY_MS = 1_000;

/** The files in which programs keep their state are looked at this often. */
const FILES_EVERY_MS = 100;

/** A session that runs has its picture within this. */
const READY_WITHIN_MS = 3_000;

/** Scrollback that is read when a pane is first heard. */
const ABOVE_LINES = 10_000;

/** Panes that come together have their first pictures taken together. */
const PICTURES_WITHIN_MS = 10;

/** One pane's picture, what it wrote, and what it is doing. */
export interface Display {
  session: string;
  pane: PaneId;
  slot: string;
  pid: number;
  screen: Screen;
  buffer: OutputBuffer;
  recording: Recording;
  profiles: Profile[];
  track: ActivityTrack;
  /** What its screen says, and since when. */
  shown: (Judged & { sinceMs: number }) | null;
  /** What the program says of itself: in its files, and by its last hook. */
  files: OwnFiles;
  filed: OwnSign | null;
  hook: OwnSign | null;
  /** What it last answered, by its own word. */
  answered: { text: string; atMs: number } | null;
  /** Which of the two is believed. */
  judged: Judged | null;
  /** When it had last written as it was judged. */
  judgedWrite: number | null;
  wroteAtMs: number | null;
  exit: string | null;
  /** Called when the picture has changed: of people who look, and of us. */
  watchers: Set<() => void>;
  /** Get every byte as it comes. */
  taps: Set<(bytes: Buffer) => void>;
  waiting: Set<() => void>;
  release: () => void;
  judging: NodeJS.Timeout | null;
}

/** Loads the emulator: it is needed once something runs, and not before. */
export type LoadScreen = () => Promise<typeof Screen>;

/**
 * The live pictures of all sessions. Each pane that the plan declares is heard from birth on; its bytes go to an emulator, a
 * buffer and a recording. Watching reads from here: it never touches the pane.
 */
export class Displays {
  readonly #town: Town;
  readonly #hearing: Hearing;
  readonly #load: LoadScreen;
  readonly #readProfiles: () => ReadonlyMap<string, Profile>;
  #read: ReadonlyMap<string, Profile> | null = null;
  readonly #displays = new Map<PaneId, Display | null>();
  /** By person and session: the place in the buffer up to which they have seen it. */
  readonly #seen = new Map<string, Map<string, number>>();
  readonly #followers = new Set<() => void>();
  readonly #every: NodeJS.Timeout;
  readonly #files: Ticker;
  #pictures: Promise<Map<PaneId, Picture>> | null = null;
  #pictured: WantedPicture[] = [];
  #turns: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(
    dispatch: Dispatch,
    town: Town,
    hearing: Hearing,
    load: LoadScreen,
    readProfiles: () => ReadonlyMap<string, Profile>,
  ) {
    this.#town = town;
    this.#hearing = hearing;
    this.#load = load;
    this.#readProfiles = readProfiles;
    town.on("world", (world) => this.#match(world));
    town.on("plan", () => this.#told());
    this.#every = setInterval(() => {
      // A screen that rests says what it said; only work can turn into silence.
      for (const display of this.#displays.values())
        if (display && (display.judgedWrite !== display.wroteAtMs || display.judged?.state === "working"))
          this.#judge(display);
    }, JUDGE_EVERY_MS);
    this.#every.unref();
    this.#files = new Ticker(FILES_EVERY_MS, () => {
      for (const display of this.#displays.values()) {
        if (!display || display.exit !== null) continue;
        const filed = display.files.read(this.#town.now());
        if (filed === display.filed) continue;
        display.filed = filed;
        this.#answered(display, filed);
        this.#judge(display);
      }
    });
    dispatch.handle(screenShow, (input, { actor }) => this.#show(input, actor));
    dispatch.handle(screenWatch, (input, { actor, stream }) => this.#watch(input, actor, stream));
    dispatch.handle(screenHistory, (input, { actor }) => this.#history(input, actor));
  }

  /** Read when the first session is shown: a start does without. */
  get profiles(): ReadonlyMap<string, Profile> {
    this.#read ??= this.#readProfiles();
    return this.#read;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#every);
    this.#files.close();
    for (const [pane, display] of this.#displays) this.#drop(pane, display);
  }

  /** The live pane at that place of a session, or its first. */
  displayOf(session: string, slot: string | null): Display | null {
    return this.of(session).find((each) => slot === null || each.slot === slot || each.pane === slot) ?? null;
  }

  at(pane: PaneId): Display | null {
    return this.#displays.get(pane) ?? null;
  }

  /** How the screens of that pane's program are read. */
  profileOf(session: PlanSession, slot: string | null): Profile {
    const { agent = null, run = null, face = null } = paneAt(session, slot) ?? {};
    const profile = face?.kind === "chat" ? "chat" : (agent?.profile ?? null);
    return profileFor(this.profiles, { profile, type: agent?.type ?? null, run });
  }

  /** What the program in a pane has just said of itself by a hook. */
  heard(display: Display, sign: OwnSign): void {
    display.hook = sign;
    this.#answered(display, sign);
    this.#judge(display);
  }

  #answered(display: Display, sign: OwnSign | null): void {
    if (sign?.answer) display.answered = { text: sign.answer, atMs: sign.atMs };
  }

  /** Calls `listener` when a session does something else than before; gives the function that ends it. */
  onActivity(listener: () => void): () => void {
    this.#followers.add(listener);
    return () => this.#followers.delete(listener);
  }

  #match(world: World | null): void {
    if (this.#closed) return;
    const found = new Map<PaneId, { session: PlanSession; epoch: number; window: TmuxWindow; pane: TmuxPane }>();
    for (const session of world?.sessions ?? []) {
      if (session.marks?.town !== this.#town.name.name) continue;
      const declared = this.#town.plan?.sessions.find((each) => each.id === session.marks!.id);
      // What is being started just now is left alone until it stands.
      if (!declared || declared.kind === "view" || this.#town.busy.has(declared.id)) continue;
      for (const pane of declaredPanes(session)) {
        const window = session.windows.find((each) => each.panes.includes(pane))!;
        found.set(pane.id, { session: declared, epoch: session.marks!.epoch, window, pane });
      }
    }
    for (const [pane, display] of this.#displays) if (!found.has(pane)) this.#drop(pane, display);
    for (const [pane, place] of found) {
      const display = this.#displays.get(pane);
      if (display === undefined) void this.#begin(place.session, place.epoch, place.window, place.pane);
      else if (display && this.#follow(display, place.pane)) this.#judge(display);
    }
  }

  /** What tmux says of its pane now. True: its end, or that it lives again, is news. */
  #follow(display: Display, pane: TmuxPane): boolean {
    display.screen.resize(pane.columns, pane.rows);
    if (pane.pid !== display.pid) {
      // Another process has taken its place: what the one before said is over.
      display.pid = pane.pid;
      display.files.pid = pane.pid;
      display.filed = null;
      display.hook = null;
    }
    const exit = pane.dead ? (pane.exit ?? "ended") : null;
    if (exit === display.exit) return false;
    display.exit = exit;
    return true;
  }

  /** Making a screen takes a millisecond: hundreds that come at once are made one by one, and others are answered in between. */
  #turn(): Promise<void> {
    this.#turns = this.#turns.then(() => new Promise((next) => setImmediate(next)));
    return this.#turns;
  }

  async #begin(session: PlanSession, epoch: number, window: TmuxWindow, pane: TmuxPane): Promise<void> {
    this.#displays.set(pane.id, null);
    try {
      const Made = await this.#load();
      await this.#turn();
      const made = new Made(pane.columns, pane.rows);
      const own = this.profileOf(session, pane.slot);
      const generic = this.profiles.get(GENERIC);
      const slot = pane.slot!;
      const folder = join(this.#town.cradle.stateFolder, "recordings", session.id.replaceAll("/", "_"));
      const display: Display = {
        session: session.id,
        pane: pane.id,
        slot,
        pid: pane.pid,
        screen: made,
        buffer: new OutputBuffer(),
        recording: new Recording(folder, `${slot}-${epoch}`, pane, session.label ?? session.name),
        profiles: generic && own !== generic ? [own, generic] : [own],
        track: new ActivityTrack(this.#town.now()),
        shown: null,
        files: new OwnFiles(own, pane.pid),
        filed: null,
        hook: null,
        answered: null,
        judged: null,
        judgedWrite: null,
        wroteAtMs: null,
        exit: pane.dead ? (pane.exit ?? "ended") : null,
        watchers: new Set(),
        taps: new Set(),
        waiting: new Set(),
        release: () => {},
        judging: null,
      };
      await this.#seed(display, window);
      if (this.#closed || !this.#displays.has(pane.id)) {
        display.release();
        made.close();
        return;
      }
      this.#displays.set(pane.id, display);
      // It may have ended while it was made.
      const now = this.#town.world?.sessions
        .flatMap((each) => each.windows.flatMap((one) => one.panes))
        .find((each) => each.id === pane.id);
      if (now) this.#follow(display, now);
      if (display.files.any) this.#files.set(true);
      this.#changed(display);
      this.#judge(display);
      this.#told();
    } catch (error) {
      this.#displays.delete(pane.id);
      this.#town.log.warn({ err: error, session: session.id }, "a pane cannot be shown");
    }
  }

  /** Hears the pane, and puts what stood on its screen before under what comes. */
  async #seed(display: Display, window: TmuxWindow): Promise<void> {
    let early: Buffer[] | null = [];
    const keep = (bytes: Buffer): void => {
      display.buffer.add(bytes);
      display.recording.add(bytes, this.#town.now());
    };
    display.release = await this.#hearing.want(window.id, display.pane, (bytes) => {
      display.wroteAtMs = this.#town.now();
      if (early) early.push(bytes);
      else {
        keep(bytes);
        for (const tap of display.taps) tap(bytes);
        void display.screen.feed(bytes).then(() => this.#changed(display));
        this.#judgeSoon(display);
      }
    });
    let pictured = 0;
    const before = display.recording.before(BUFFER_BYTES);
    const picture = await this.#picture({
      pane: display.pane,
      above: before.length === 0 ? ABOVE_LINES : 0,
      onTaken: () => {
        pictured = early?.length ?? 0;
      },
    });
    for (const bytes of before) display.buffer.add(bytes);
    if (picture) {
      const { lines, cursor, alternate } = picture;
      // What it wrote before it was heard is part of what it wrote; also what has left the screen since.
      const written = writtenOf(picture);
      if (display.buffer.end === 0 && written.trim() !== "") keep(Buffer.from(written));
      const text = `${alternate ? "\x1b[?1049h" : ""}\x1b[H${lines.join("\r\n")}\x1b[${cursor.y + 1};${cursor.x + 1}H`;
      await display.screen.feed(text);
    }
    const rest = early;
    early = null;
    rest.forEach((bytes, index) => {
      // What came before the picture is on it, and in what it wrote.
      if (index >= pictured) {
        keep(bytes);
        void display.screen.feed(bytes);
      } else if (!picture) keep(bytes);
    });
    await display.screen.feed("");
  }

  /** Pictures asked for within a moment are taken together. */
  async #picture(wanted: WantedPicture): Promise<Picture | null> {
    this.#pictures ??= (async () => {
      await new Promise((resolve) => setTimeout(resolve, PICTURES_WITHIN_MS));
      const all = this.#pictured;
      this.#pictured = [];
      this.#pictures = null;
      return this.#town.tmux.pictures(all);
    })();
    this.#pictured.push(wanted);
    return (await this.#pictures).get(wanted.pane) ?? null;
  }

  #drop(pane: PaneId, display: Display | null): void {
    this.#displays.delete(pane);
    if (!display) return;
    if (display.files.any) this.#files.set([...this.#displays.values()].some((each) => each?.files.any));
    if (display.judging) clearTimeout(display.judging);
    display.release();
    display.recording.flush();
    display.screen.close();
    this.#told();
  }

  #changed(display: Display): void {
    for (const each of [...display.watchers, ...display.waiting]) each();
  }

  #judgeSoon(display: Display): void {
    display.judging ??= setTimeout(() => {
      display.judging = null;
      this.#judge(display);
    }, JUDGE_AFTER_MS);
  }

  #judge(display: Display): void {
    const nowMs = this.#town.now();
    display.judgedWrite = display.wroteAtMs;
    const shown = judge(display.profiles, {
      text: display.screen.text(),
      signals: display.screen.signals,
      wroteAtMs: display.wroteAtMs,
      exit: display.exit,
      nowMs,
    });
    const same = display.shown?.state === shown.state && display.shown.rule === shown.rule;
    display.shown = { ...shown, sinceMs: same ? display.shown!.sinceMs : nowMs };
    const { filed, hook } = display;
    const own = filed?.source === "state-file" || (filed?.atMs ?? 0) > (hook?.atMs ?? 0) ? filed : hook;
    display.judged = weigh(display.profiles[0]!.profile, own, display.shown);
    const changed = display.track.look(display.judged, nowMs, display.watchers.size > 0);
    if (display.track.doubtful) this.#judgeSoon(display);
    if (changed) this.#told();
  }

  #told(): void {
    for (const follower of this.#followers) follower();
  }

  /** The pane somebody means: of the session, the first unless named. Throws UNKNOWN_SESSION for one that does not run. */
  async find(
    text: string | undefined,
    pane: string | undefined,
    actor: Actor,
  ): Promise<{ session: PlanSession; display: Display }> {
    const session = meant(this.#town, text, actor);
    await this.ready(session.id);
    const found = this.of(session.id).find(
      (each) =>
        pane === undefined ||
        pane === each.pane ||
        pane === each.slot ||
        pane === paneAt(session, each.slot)?.title ||
        pane === agentAt(session, each.slot),
    );
    if (found) return { session, display: found };
    throw new BosunError({
      code: "UNKNOWN_SESSION",
      what: pane === undefined ? `${nameOf(session)} does not run` : `${nameOf(session)} has no pane "${pane}"`,
      why: "only what runs has a screen",
      fix: `bosun up ${session.id}`,
    });
  }

  /** What has just been started is about to have a picture. */
  async ready(session: string): Promise<void> {
    const runs = (): boolean => {
      const found = this.#town.world?.sessions.find((each) => each.marks?.id === session);
      return found !== undefined && found.marks!.town === this.#town.name.name;
    };
    for (let waitedMs = 0; waitedMs < READY_WITHIN_MS && runs() && this.of(session).length === 0; waitedMs += 20)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** The live panes of a session, in their order. */
  of(session: string): Display[] {
    return [...this.#displays.values()]
      .filter((each): each is Display => each?.session === session)
      .toSorted((a, b) => a.slot.localeCompare(b.slot, "en", { numeric: true }));
  }

  async #show(
    input: { session?: string | undefined; pane?: string | undefined; colour?: boolean | undefined },
    actor: Actor,
  ) {
    const { session, display } = await this.find(input.session, input.pane, actor);
    return {
      session: session.id,
      name: nameOf(session),
      pane: display.pane,
      lines: input.colour ? display.screen.painted() : display.screen.text(),
      ...pictureOf(display),
      full_screen: display.screen.fullScreen,
      notices: display.screen.signals.notices,
      bells: display.screen.signals.bells,
    };
  }

  async #watch(input: { session: string; pane?: string | undefined }, actor: Actor, stream: Stream) {
    const { session, display } = await this.find(input.session, input.pane, actor);
    let shown = display.screen.painted();
    let before = JSON.stringify(pictureOf(display));
    let timer: NodeJS.Timeout | null = null;
    let slow = false;
    const paint = (): void => {
      timer = null;
      if (slow) return;
      const rows = display.screen.painted();
      const lines = Object.fromEntries(rows.flatMap((row, y) => (row === shown[y] ? [] : [[String(y), row]])));
      const picture = pictureOf(display);
      const now = JSON.stringify(picture);
      this.#sawAll(display, actor);
      if (Object.keys(lines).length === 0 && now === before) return;
      shown = rows;
      before = now;
      // A slow reader gets the newest picture when it is ready for more, and none of those in between.
      slow = !stream.push(JSON.stringify({ lines, ...picture }));
    };
    const watcher = (): void => {
      timer ??= setTimeout(paint, PAINT_EVERY_MS);
    };
    stream.onDrain(() => {
      if (!slow) return;
      slow = false;
      watcher();
    });
    display.watchers.add(watcher);
    stream.onClose(() => {
      display.watchers.delete(watcher);
      if (timer) clearTimeout(timer);
    });
    const missed = this.#missedBy(display, actor);
    this.#sawAll(display, actor);
    if (display.track.seen()) this.#told();
    return {
      session: session.id,
      name: nameOf(session),
      pane: display.pane,
      lines: shown,
      ...pictureOf(display),
      missed,
    };
  }

  async #history(
    input: {
      session?: string | undefined;
      pane?: string | undefined;
      missed?: boolean | undefined;
      lines?: number | undefined;
    },
    actor: Actor,
  ) {
    const { session, display } = await this.find(input.session, input.pane, actor);
    const from = input.missed ? this.#seenBy(display, actor) : 0;
    const { bytes } = display.buffer.since(from);
    const lines = linesOf(bytes);
    const dropped = Math.max(0, display.buffer.dropped - from);
    if (input.missed) {
      this.#sawAll(display, actor);
      if (display.track.seen()) this.#told();
    }
    display.recording.flush();
    return {
      session: session.id,
      name: nameOf(session),
      lines: input.lines === undefined ? lines : lines.slice(-input.lines),
      bytes: bytes.length,
      dropped,
      recording: display.buffer.end > 0 ? display.recording.file : null,
    };
  }

  /** Bytes it wrote since somebody last looked. */
  unseen(display: Display, actor: Actor): number {
    return display.buffer.end - this.#seenBy(display, actor);
  }

  #seenBy(display: Display, actor: Actor): number {
    return this.#seen.get(actor.id)?.get(seenKey(display)) ?? 0;
  }

  #sawAll(display: Display, actor: Actor): void {
    const own = this.#seen.get(actor.id) ?? new Map<string, number>();
    own.set(seenKey(display), display.buffer.end);
    this.#seen.set(actor.id, own);
  }

  #missedBy(display: Display, actor: Actor): { bytes: number; dropped: number; first: boolean } {
    const seen = this.#seenBy(display, actor);
    const first = this.#seen.get(actor.id)?.has(seenKey(display)) !== true;
    return { bytes: display.buffer.end - seen, dropped: Math.max(0, display.buffer.dropped - seen), first };
  }
}

function seenKey(display: Display): string {
  return `${display.session} ${display.pane}`;
}

function pictureOf({ screen }: Display) {
  return { columns: screen.columns, rows: screen.rows, cursor: screen.cursor, title: screen.signals.title };
}
