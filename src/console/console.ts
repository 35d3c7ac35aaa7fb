import type { Connection, Stream } from "../client/connection.ts";
import { BosunError } from "../protocol/error.ts";
import type { RosterEntry } from "../protocol/screen.ts";
import { sanitise } from "../protocol/text.ts";
import { cut } from "../protocol/width.ts";
import { keysOf } from "../terminal/keys.ts";
import { LineEditor } from "../terminal/line-editor.ts";
import { type Desk, runSlash, SLASHES } from "./commands.ts";
import { Painter, rowsThatFit, window, withoutColour } from "./painting.ts";
import { fuzzy, groupOf, inOrder, rosterRows } from "./roster.ts";

/** Sessions that nobody declared are looked for this often. */
const ROLL_EVERY_MS = 3_000;

/** Narrower than this there is no room for the roster beside the screen. */
const ROSTER_FROM_COLUMNS = 60;

/** Notes go away by themselves. */
const NOTE_FOR_MS = 6_000;

/** Ends typing straight into a session. */
const ESCAPE_KEY = "\x1d";

export interface Terminal {
  columns(): number;
  rows(): number;
  write(text: string): void;
  colour: boolean;
}

interface Shown {
  session: string;
  stream: Stream<unknown>;
  lines: string[];
  cursor: { x: number; y: number };
  columns: number;
  rows: number;
}

/**
 * The full-screen console: who needs you at the left, the session you look at, live, at the right, a line to type at the
 * bottom. It holds nothing that matters: killed and started again it shows the same, and no session notices either.
 */
export class Console {
  readonly #connection: Connection;
  readonly #terminal: Terminal;
  readonly #town: string;
  readonly #painter: Painter;
  readonly #line = new LineEditor();
  readonly #leave: () => void;
  #roster: RosterEntry[] = [];
  #unknown: string[] = [];
  #shown: Shown | null = null;
  #showing = 0;
  #note = "";
  #noteTimer: NodeJS.Timeout | null = null;
  #page: { title: string; lines: string[]; top: number } | null = null;
  #finding: { typed: string; at: number } | null = null;
  /** Keys go to the session as they are. */
  #typing = false;
  #painting: NodeJS.Timeout | null = null;
  #typed: Promise<unknown> = Promise.resolve();

  /** `leave` is called once, when somebody wants to go. */
  constructor(connection: Connection, terminal: Terminal, town: string, leave: () => void) {
    this.#connection = connection;
    this.#terminal = terminal;
    this.#town = town;
    this.#leave = leave;
    this.#painter = new Painter(terminal.write);
  }

  /** Resolves when the first picture is there. */
  async start(): Promise<void> {
    const roster = await this.#connection.stream("session.roster", { follow: true }, (event) =>
      this.#heard((event as { sessions: RosterEntry[] }).sessions),
    );
    this.#roster = roster.ok.sessions;
    for (const bad of roster.ok.damaged)
      this.say(`${bad.name}: its record cannot be read (${bad.why}); the others run`);
    await this.#callRoll();
    setInterval(() => void this.#callRoll(), ROLL_EVERY_MS).unref();
    const active = this.#roster.find((entry) => entry.active) ?? inOrder(this.#roster)[0];
    if (active) await this.#switch(active.session);
    else this.say("no sessions yet: /new NAME opens one; /help shows all commands");
    this.paint();
  }

  input(text: string): void {
    if (this.#typing) {
      const end = text.indexOf(ESCAPE_KEY);
      const keys = end < 0 ? text : text.slice(0, end);
      if (keys !== "") this.#send({ keys: Buffer.from(keys).toString("base64") });
      if (end < 0) return;
      this.#typing = false;
      this.say("");
      this.input(text.slice(end + 1));
      return;
    }
    for (const key of keysOf(text)) {
      if ("text" in key) this.#text(key.text);
      else this.#key(key.key);
    }
    this.#paintSoon();
  }

  resized(): void {
    this.#painter.forget();
    this.paint();
  }

  say(text: string): void {
    this.#note = sanitise(text);
    if (this.#noteTimer) clearTimeout(this.#noteTimer);
    this.#noteTimer = setTimeout(() => {
      this.#note = "";
      this.paint();
    }, NOTE_FOR_MS);
    this.#noteTimer.unref();
    this.#paintSoon();
  }

  get #desk(): Desk {
    return {
      connection: this.#connection,
      roster: () => this.#roster,
      show: (session) => this.#show(session),
      say: (text) => this.say(text),
      page: (title, lines) => {
        this.#page = { title, lines: lines.map(sanitise), top: 0 };
        this.#paintSoon();
      },
      leave: this.#leave,
    };
  }

  #text(text: string): void {
    if (this.#finding) {
      this.#finding = { typed: this.#finding.typed + text, at: 0 };
      return;
    }
    this.#page = null;
    this.#line.insert(text.replace(/\r\n?/g, "\n").replaceAll("\n", " "));
  }

  #key(key: string): void {
    if (this.#finding) {
      this.#find(key);
      return;
    }
    if (this.#page && this.#turn(key)) return;
    if (/^alt-[1-9]$/.test(key)) {
      this.#do(() => this.#switchTo(key.slice(4)));
      return;
    }
    switch (key) {
      case "enter":
        this.#do(() => this.#enter(this.#line.take()));
        return;
      case "escape":
        this.#line.set("");
        return;
      case "tab":
        this.#complete();
        return;
      case "ctrl-n":
      case "ctrl-p":
        this.#do(() => this.#step(key === "ctrl-n" ? 1 : -1));
        return;
      case "ctrl-o":
        this.#do(() => this.#switchTo("-"));
        return;
      case "ctrl-g":
        this.#do(() => this.#nextNeeding());
        return;
      case "ctrl-f":
        this.#finding = { typed: "", at: 0 };
        return;
      case "ctrl-t":
        this.#typing = this.#shown !== null;
        this.say(this.#typing ? "keys go to the session; ctrl-] ends that" : "there is no session to type into");
        return;
      case "page-up":
        this.#do(() => this.#history());
        return;
      case "ctrl-l":
        this.#painter.forget();
        return;
      case "ctrl-q":
        this.#leave();
        return;
      case "ctrl-c":
      case "ctrl-d":
        if (this.#line.text === "") this.say("ctrl-q leaves; everything runs on. ctrl-t types into the session");
        else this.#line.set("");
        return;
      default:
        this.#line.key(key);
    }
  }

  /** What is thrown becomes a note: the console never ends by itself. */
  #do(work: () => Promise<void>): void {
    void work()
      .catch((error: unknown) => {
        const { what, fix } =
          error instanceof BosunError ? error.body : { what: String((error as Error).message), fix: null };
        this.say(`✗ ${what}${fix ? ` · try ${fix}` : ""}`);
      })
      .finally(() => this.#paintSoon());
  }

  async #enter(line: string): Promise<void> {
    if (line.startsWith("/")) {
      await runSlash(line, this.#desk);
      return;
    }
    if (!this.#shown) throw new Error("there is no session to type into; /new NAME opens one");
    await this.#send({ line });
  }

  /** One after the other, to the session that was shown when it was typed. */
  #send(what: { line: string } | { keys: string }): Promise<void> {
    const session = this.#shown?.session;
    if (session === undefined) return Promise.resolve();
    const sent = this.#typed.then(() => this.#connection.call("session.type", { session, ...what }));
    this.#typed = sent.catch(() => {});
    const done = sent.then(() => {});
    if ("keys" in what) this.#do(() => done);
    return done;
  }

  async #switch(session: string): Promise<void> {
    await this.#connection.call("session.switch", { session });
    await this.#show(session);
  }

  async #switchTo(text: string): Promise<void> {
    const { session } = await this.#connection.call("session.switch", { session: text });
    await this.#show(session);
  }

  async #step(by: 1 | -1): Promise<void> {
    const all = inOrder(this.#roster);
    if (all.length === 0) return;
    const at = all.findIndex((entry) => entry.session === this.#shown?.session);
    await this.#switch(all[(at + by + all.length) % all.length]!.session);
  }

  async #nextNeeding(): Promise<void> {
    const all = inOrder(this.#roster).filter(
      (entry) => groupOf(entry) === "Needs you" || entry.activity.state === "done-unseen",
    );
    const at = all.findIndex((entry) => entry.session === this.#shown?.session);
    const next = all[(at + 1) % Math.max(1, all.length)];
    if (!next || next.session === this.#shown?.session) this.say("nobody else needs you");
    else await this.#switch(next.session);
  }

  /** Follows another screen. The old picture stays until the new one is there, so that nothing flickers. */
  async #show(session: string): Promise<void> {
    const mine = ++this.#showing;
    this.#page = null;
    try {
      const stream = await this.#connection.stream("screen.watch", { session }, (event) => {
        const news = event as { lines: Record<string, string> } & Pick<Shown, "cursor" | "columns" | "rows">;
        const shown = this.#shown;
        if (!shown || shown.session !== session || mine !== this.#showing) return;
        if (news.rows !== shown.rows) shown.lines = shown.lines.slice(0, news.rows);
        for (const [y, row] of Object.entries(news.lines)) shown.lines[Number(y)] = row;
        Object.assign(shown, { cursor: news.cursor, columns: news.columns, rows: news.rows });
        this.#paintSoon();
      });
      if (mine !== this.#showing) {
        stream.cancel();
        return;
      }
      this.#shown?.stream.cancel();
      const { lines, cursor, columns, rows, missed } = stream.ok;
      this.#shown = { session, stream, lines: [...lines], cursor, columns, rows };
      if (missed.bytes > 0 && !missed.first) {
        const lost = missed.dropped > 0 ? `, ${kilobytes(missed.dropped)} no longer held` : "";
        this.say(`${kilobytes(missed.bytes)} came while you were away${lost} · page-up reads it`);
      }
    } catch (error) {
      if (!(error instanceof BosunError) || error.code !== "UNKNOWN_SESSION") throw error;
      // It does not run: there is nothing to show, and what is typed goes nowhere else.
      this.#shown?.stream.cancel();
      this.#shown = null;
      this.say(`${error.body.what}; /sessions shows what runs`);
    }
    this.#paintSoon();
  }

  /** Who is on the server that nobody declared: part of what this screen shows, because nobody looks for what they do not expect. */
  async #callRoll(): Promise<void> {
    try {
      const { ghosts } = await this.#connection.call("ghost.list", {});
      this.#unknown = ghosts.filter((each) => each.decision === null).map((each) => each.name);
    } catch {
      // tmux cannot be asked now: nothing is known to be unknown.
      this.#unknown = [];
    }
    this.#paintSoon();
  }

  #heard(sessions: RosterEntry[]): void {
    const before = new Map(this.#roster.map((entry) => [entry.session, entry]));
    this.#roster = sessions;
    for (const entry of sessions) {
      const was = before.get(entry.session);
      if (!was || entry.session === this.#shown?.session || was.activity.state === entry.activity.state) continue;
      const { state, reason, text } = entry.activity;
      if (state === "waiting") this.say(`◐ ${entry.name} needs you: ${reason}${text ? ` · ${text}` : ""} · ctrl-g`);
      else if (state === "done-unseen") this.say(`📬 ${entry.name} is done · ctrl-g`);
      else if (state === "dead") this.say(`✕ ${entry.name} ended: ${entry.activity.evidence}`);
    }
    if (this.#shown && !sessions.some((entry) => entry.session === this.#shown!.session)) {
      this.#shown.stream.cancel();
      this.#shown = null;
    }
    this.#paintSoon();
  }

  #find(key: string): void {
    const finding = this.#finding!;
    const found = fuzzy(finding.typed, inOrder(this.#roster));
    if (key === "escape" || key === "ctrl-c") this.#finding = null;
    else if (key === "backspace") this.#finding = { typed: finding.typed.slice(0, -1), at: 0 };
    else if (key === "down" || key === "ctrl-n") finding.at = Math.min(found.length - 1, finding.at + 1);
    else if (key === "up" || key === "ctrl-p") finding.at = Math.max(0, finding.at - 1);
    else if (key === "enter") {
      this.#finding = null;
      const chosen = found[finding.at];
      if (chosen) this.#do(() => this.#switch(chosen.session));
    }
  }

  async #history(): Promise<void> {
    if (!this.#shown) return;
    const { name, lines, dropped } = await this.#connection.call("screen.history", { session: this.#shown.session });
    const gone = dropped > 0 ? [`… ${kilobytes(dropped)} before this are no longer held; bosun replay has all`] : [];
    const all = [...gone, ...lines.map(sanitise)];
    this.#page = { title: `What ${name} wrote`, lines: all, top: Math.max(0, all.length - this.#bodyRows()) };
  }

  /** Keys of a page; true when it was one. */
  #turn(key: string): boolean {
    const page = this.#page!;
    const step = Math.max(1, this.#bodyRows() - 1);
    const last = Math.max(0, page.lines.length - this.#bodyRows());
    const move: Record<string, number> = {
      "page-up": -step,
      "page-down": step,
      up: -1,
      down: 1,
      home: -last,
      end: last,
    };
    if (key in move) {
      page.top = Math.max(0, Math.min(last, page.top + move[key]!));
      return true;
    }
    this.#page = null;
    return key === "escape" || (key === "enter" && this.#line.text === "");
  }

  #complete(): void {
    const words = this.#line.text.split(" ");
    const last = words.at(-1)!;
    const all = words.length === 1 ? SLASHES.flatMap((slash) => slash.names) : this.#roster.map((entry) => entry.name);
    const fitting = all.filter((name) => name.startsWith(last));
    if (fitting.length === 1) this.#line.set(`${[...words.slice(0, -1), fitting[0]].join(" ")} `);
    else if (fitting.length > 1) {
      const common = fitting.reduce(commonStart);
      this.#line.set([...words.slice(0, -1), common.length > last.length ? common : last].join(" "));
      this.say(fitting.slice(0, 12).join("  "));
    }
  }

  #bodyRows(): number {
    return Math.max(1, this.#terminal.rows() - 4);
  }

  #paintSoon(): void {
    this.#painting ??= setTimeout(() => this.paint(), 15);
  }

  paint(): void {
    if (this.#painting) clearTimeout(this.#painting);
    this.#painting = null;
    const columns = this.#terminal.columns();
    const body = this.#bodyRows();
    const left = columns >= ROSTER_FROM_COLUMNS ? Math.min(32, Math.floor(columns * 0.3)) : 0;
    const right = columns - left - (left > 0 ? 1 : 0);
    const side = left > 0 ? this.#side(left, body) : [];
    const main = this.#main(right, body + 1);
    const rows = [this.#header(columns)];
    for (let y = 0; y < body + 1; y++) {
      const row = main.rows[y] ?? " ".repeat(right);
      rows.push(left > 0 ? `${side[y] ?? " ".repeat(left)}${this.#dim("│")}${row}` : row);
    }
    rows.push(this.#style(cut(this.#note, columns), "33"));
    const { text, at } = this.#prompt(columns);
    rows.push(text);
    const cursor =
      this.#typing && main.cursor
        ? { x: main.cursor.x + left + (left > 0 ? 1 : 0), y: main.cursor.y + 1 }
        : { x: at, y: rows.length - 1 };
    this.#painter.paint(rows, cursor);
  }

  #header(columns: number): string {
    const count = (group: string): number => this.#roster.filter((entry) => groupOf(entry) === group).length;
    const needs = count("Needs you");
    const text = ` bosun · ${this.#town} · ${count("Working")} working · ${needs === 0 ? "nobody needs you" : `${needs} need${needs === 1 ? "s" : ""} you`} · ${this.#roster.length} sessions${this.#unknown.length === 0 ? "" : ` · ${this.#unknown.length} nobody declared (${this.#unknown.slice(0, 2).map(sanitise).join(", ")})`}`;
    return this.#style(cut(text, columns), "7");
  }

  #side(cells: number, rows: number): string[] {
    const entries = this.#roster.map((entry) => ({ ...entry, active: entry.session === this.#shown?.session }));
    const all = rosterRows(entries, cells, this.#terminal.colour);
    const at = all.findIndex((row) => row.includes("▶"));
    // The one you look at stays in sight.
    const from = Math.max(0, Math.min(at - rows + 3, all.length - rows - 1));
    return all.slice(from, from + rows + 1);
  }

  #main(cells: number, rows: number): { rows: string[]; cursor: { x: number; y: number } | null } {
    if (this.#finding) return { rows: this.#finder(cells, rows), cursor: null };
    if (this.#page) {
      const { title, lines, top } = this.#page;
      const shown = lines.slice(top, top + rows - 1).map((line) => cut(line, cells));
      const place =
        lines.length > rows - 1 ? ` (${top + 1}–${Math.min(lines.length, top + rows - 1)} of ${lines.length})` : "";
      return { rows: [this.#style(cut(`${title}${place} · esc closes`, cells), "1"), ...shown], cursor: null };
    }
    const entry = this.#roster.find((each) => each.session === this.#shown?.session);
    if (!this.#shown || !entry) return { rows: [cut("", cells)], cursor: null };
    const { activity } = entry;
    const title = `${entry.purpose ? `${entry.purpose}/` : ""}${entry.name}${entry.number ? ` (${entry.number})` : ""} · ${activity.state}${activity.reason ? ` for ${activity.reason}` : ""}${entry.room ? ` · ${entry.room}` : ""}${entry.title ? ` · ${sanitise(entry.title)}` : ""}`;
    const space = rows - 1;
    const places = rowsThatFit(this.#shown.lines, this.#shown.cursor.y, space);
    const side = Math.max(0, this.#shown.cursor.x - cells + 1);
    const shown = places.map((y) => {
      const row = this.#shown!.lines[y] ?? "";
      return window(this.#terminal.colour ? row : withoutColour(row), cells, side);
    });
    const cursor = { x: this.#shown.cursor.x - side, y: places.indexOf(this.#shown.cursor.y) + 1 };
    return { rows: [this.#style(cut(title, cells), "1"), ...shown], cursor: cursor.y > 0 ? cursor : null };
  }

  #finder(cells: number, rows: number): string[] {
    const { typed, at } = this.#finding!;
    const found = fuzzy(typed, inOrder(this.#roster));
    return [
      this.#style(cut(`find: ${typed}`, cells), "1"),
      ...found
        .slice(0, rows - 1)
        .map((entry, index) =>
          this.#style(
            cut(`${index === at ? "❯" : " "} ${entry.name}  ${entry.activity.state}`, cells),
            index === at ? "7" : "0",
          ),
        ),
    ];
  }

  #prompt(columns: number): { text: string; at: number } {
    if (this.#typing)
      return { text: this.#style(cut("keys go to the session · ctrl-] ends that", columns), "7"), at: 0 };
    const before = this.#line.text.slice(0, this.#line.cursor);
    const room = columns - 3;
    const from = Math.max(0, before.length - room);
    return {
      text: cut(`› ${this.#line.text.slice(from)}`, columns),
      at: Math.min(columns - 1, 2 + before.length - from),
    };
  }

  #style(text: string, sgr: string): string {
    return this.#terminal.colour || sgr === "7" ? `\x1b[0;${sgr}m${text}\x1b[m` : text;
  }

  #dim(text: string): string {
    return this.#style(text, "2");
  }
}

function commonStart(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return a.slice(0, length);
}

function kilobytes(bytes: number): string {
  return bytes < 1_000
    ? `${bytes} bytes`
    : bytes < 1_000_000
      ? `${Math.round(bytes / 1_000)} KB`
      : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
