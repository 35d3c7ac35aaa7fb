import type { Line, RoomEvent } from "../protocol/room.ts";
import { sanitise } from "../protocol/text.ts";
import { displayWidth, pad } from "../protocol/width.ts";
import type { Output } from "./output.ts";
import { clockText } from "./time.ts";

/** `pane` for people, `json` one object per line, `plain` tab-separated, `msg` the text alone (what `jq -r .msg` prints), `channel` as ships do. */
export type FeedForm = "pane" | "json" | "plain" | "msg" | "channel";

export interface FeedLook {
  form: FeedForm;
  /** Names the room of each line: wanted as soon as several are shown. */
  roomColumn: boolean;
  /** JSON fields; null = all. */
  fields: readonly string[] | null;
  /** Text goes to a terminal, which would obey escape sequences in it. */
  toTerminal: boolean;
  style: Output["style"];
}

/** Longer names push their own line only, instead of indenting every line after them. */
const MOST_NAME_CELLS = 20;
const GAP = "  ";

/** What `--json=…` may ask for. */
export const LINE_FIELDS: readonly (keyof Line)[] = [
  "id",
  "seq",
  "ts",
  "room",
  "from",
  "type",
  "level",
  "msg",
  "tags",
  "data",
];

/** The word beside a loud line; colour alone would not reach everybody. */
const LOUD: Partial<Record<Line["level"], string>> = { warn: "! ", alert: "!! " };

/** Turns lines of rooms into text. Columns grow with the names seen, so it is one per feed, not one per line. */
export class FeedLines {
  readonly #look: FeedLook;
  #roomCells = 0;
  #fromCells = 0;
  #second = "";
  #clock = "";

  constructor(look: FeedLook, rooms: readonly string[] = []) {
    this.#look = look;
    for (const room of rooms) this.#roomCells = Math.max(this.#roomCells, Math.min(room.length, MOST_NAME_CELLS));
  }

  /** Text of one line, its line break included. */
  text(line: Line): string {
    switch (this.#look.form) {
      case "json":
        return `${JSON.stringify(this.#look.fields ? chosen(line, this.#look.fields) : line)}\n`;
      case "msg":
        return `${this.#look.toTerminal ? sanitise(line.msg) : line.msg}\n`;
      case "channel":
        return `${line.ts.slice(0, 10)} ${line.ts.slice(11, 16)} UTC | [${oneLine(line.from).toUpperCase()}] | ${oneLine(line.msg)}\n`;
      case "plain":
        return `${[line.id, line.ts, line.room, line.from, line.level, line.msg, line.tags.join(",")].map(oneLine).join("\t")}\n`;
      case "pane":
        return this.#paneText(line);
    }
  }

  #paneText(line: Line): string {
    const { style } = this.#look;
    const room = sanitise(line.room);
    const from = sanitise(line.from);
    if (room.length > this.#roomCells) this.#roomCells = Math.min(displayWidth(room), MOST_NAME_CELLS);
    if (from.length > this.#fromCells) this.#fromCells = Math.min(displayWidth(from), MOST_NAME_CELLS);
    const columns = [style(this.#clockOf(line.ts), "dim")];
    if (this.#look.roomColumn) columns.push(style(pad(room, this.#roomCells), "cyan"));
    columns.push(style(pad(from, this.#fromCells), "bold"));
    const loud = LOUD[line.level] ?? "";
    let msg = sanitise(line.msg).replace(/\n+$/, "");
    if (msg.includes("\n")) {
      const indent = 8 + GAP.length * 2 + this.#fromCells + (this.#look.roomColumn ? this.#roomCells + GAP.length : 0);
      msg = msg.replaceAll("\n", `\n${" ".repeat(indent)}`);
    }
    columns.push(loud === "" ? msg : style(loud + msg, line.level === "alert" ? "red" : "yellow"));
    if (line.tags.length > 0) columns.push(style(line.tags.map((tag) => `#${sanitise(tag)}`).join(" "), "dim"));
    return `${columns.join(GAP)}\n`;
  }

  /** Lines of one second share their clock text: a burst formats one date. */
  #clockOf(ts: string): string {
    const second = ts.slice(0, 19);
    if (second !== this.#second) {
      this.#second = second;
      const moment = new Date(ts);
      this.#clock = Number.isNaN(moment.getTime()) ? "--:--:--" : clockText(moment);
    }
    return this.#clock;
  }
}

function chosen(line: Line, fields: readonly string[]): object {
  return Object.fromEntries(Object.entries(line).filter(([field]) => fields.includes(field)));
}

function oneLine(cell: string): string {
  return sanitise(cell).replace(/[\t\n]/g, " ");
}

/** What a watcher should know besides lines, as `── … ──`, or null for lines. */
export function noticeOf(event: RoomEvent): string | null {
  if ("stale" in event) {
    const { room, session, since, because } = event.stale;
    return rule(`stale since ${clockText(new Date(since))}: ${room}, ${session} is down (${because})`);
  }
  if ("live" in event) return rule(`live again: ${event.live.room}, ${event.live.session}`);
  if ("ended" in event) return rule(`ended: ${event.ended.room} has left the floor plan`);
  if ("gap" in event) {
    const { room, from, to } = event.gap;
    return rule(`gap: lines ${from} to ${to} of ${room} are no longer kept`);
  }
  return null;
}

export function rule(text: string): string {
  return `── ${sanitise(text).replaceAll("\n", " ")} ──`;
}
