import { openConnection, readToken } from "../../client/connection.ts";
import type { Answer } from "../../client/operations.gen.ts";
import { toErrorBody } from "../../protocol/error.ts";
import type { Level, Line, LineFilter } from "../../protocol/room.ts";
import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, listOf, textOf } from "../command.ts";
import { FeedFollower, type FeedWish, readFeed, replayFeed } from "../feed.ts";
import { FeedLines, type FeedLook, LINE_FIELDS } from "../feed-lines.ts";
import { LEVEL_WORDS } from "../levels.ts";
import { errorLines } from "../print-error.ts";
import { sayFromStdin } from "../say.ts";
import { momentOf, sinceText } from "../time.ts";

/** Like `tail -f`, but twice: a pane of a view shows that many. */
const FOLLOW_BACKLOG_LINES = 20;
/** Without `-f` on a terminal; into a pipe everything goes. */
const TERMINAL_BACKLOG_LINES = 50;

const say: Command = {
  name: "say",
  args: "ROOM TEXT…|-",
  group: "room",
  ops: ["room.post"],
  flags: {
    level: { value: "LEVEL", about: "debug, info, warn or alert" },
    tag: { value: "TAG", many: true, about: "a tag; may be repeated" },
    type: { value: "TYPE", about: "narrative (default), alert, signal, status …" },
    data: { value: "JSON", about: "anything structured, as JSON" },
  },
  examples: [
    'bosun say spx "gamma flips at 5840" --tag gamma',
    "deacon | bosun say spx -          # every line; JSON lines may carry msg, level, tags, type, data",
  ],
  async run(invocation) {
    const [room, ...words] = invocation.args;
    if (room === undefined || words.length === 0) throw usage("say needs a room and a text (or -)", say);
    const type = textOf(invocation, "type");
    const level = levelOf(textOf(invocation, "level"));
    const tags = listOf(invocation, "tag");
    const base = { room, ...(type && { type }), ...(level && { level }), ...(tags.length > 0 && { tags }) };
    if (words.length === 1 && words[0] === "-") return await sayFromStdin(invocation, base);
    const data = textOf(invocation, "data");
    const connection = await invocation.connect();
    const line = { ...base, msg: words.join(" "), ...(data !== undefined && { data: jsonOf(data) }) };
    const said = (await connection.call("room.post", line)) as Answer<"room.post">;
    if (invocation.out.wish.json) invocation.out.json(said);
    // A script wants the id; a pane that a person may look at shows what was said, too.
    else invocation.out.line(invocation.out.stdoutIsTerminal ? `${said.id}  ${sanitise(line.msg)}` : said.id);
    return 0;
  },
};

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw usage("--data is not JSON", say, "quote it for the shell: --data '{\"a\":1}'");
  }
}

function levelOf(text: string | undefined): Level | undefined {
  if (text === undefined || (LEVEL_WORDS as readonly string[]).includes(text)) return text as Level | undefined;
  throw usage(`"${text}" is not a level`, null, `a level is ${LEVEL_WORDS.join(", ")}`);
}

/** `--filter agent=… tag=… level=… type=…` and the short flags, as one filter; null when nothing is asked for. */
export function filterOf(invocation: Pick<Invocation, "flags">): LineFilter | null {
  const given = invocation as Invocation;
  const filter: LineFilter = {};
  const add = (field: "agent" | "tag" | "type", values: string[]): void => {
    const cleaned = values.flatMap((value) => value.split(",")).filter((value) => value !== "");
    if (cleaned.length > 0) filter[field] = [...(filter[field] ?? []), ...cleaned];
  };
  add("agent", listOf(given, "agent"));
  add("tag", listOf(given, "tag"));
  let level = textOf(given, "level");
  for (const pair of listOf(given, "filter")) {
    const [key, ...rest] = pair.split("=");
    const value = rest.join("=");
    if (key === "level") level = value;
    else if (key === "agent" || key === "tag" || key === "type") add(key, [value]);
    else throw usage(`--filter ${pair}`, feed, "a filter is agent=…, tag=…, type=… or level=…");
  }
  const loudEnough = levelOf(level);
  if (loudEnough) filter.level = loudEnough;
  return Object.keys(filter).length > 0 ? filter : null;
}

function lookOf({ out, flags }: Invocation, rooms: readonly string[]): FeedLook {
  const unknown = out.wish.fields?.find((field) => !(LINE_FIELDS as readonly string[]).includes(field));
  if (unknown !== undefined) throw usage(`there is no field ${unknown}`, feed, `known: ${LINE_FIELDS.join(", ")}`);
  const form = out.wish.json
    ? "json"
    : flags.msg
      ? "msg"
      : flags.channel
        ? "channel"
        : out.wish.plain
          ? "plain"
          : "pane";
  return {
    form,
    roomColumn: rooms.length > 1 || rooms[0] === "*",
    fields: out.wish.fields,
    toTerminal: out.stdoutIsTerminal,
    style: out.style.bind(out),
  };
}

function numberOf(invocation: Invocation, flag: string): number | null {
  const text = textOf(invocation, flag);
  if (text === undefined) return null;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw usage(`--${flag} ${text}`, null, "a number is wanted");
}

async function wishOf(invocation: Invocation, rooms: string[]): Promise<FeedWish> {
  const since = textOf(invocation, "since");
  const from = textOf(invocation, "from");
  const to = textOf(invocation, "to");
  const now = Date.now();
  const wish: FeedWish = {
    rooms,
    filter: filterOf(invocation),
    after: null,
    from: from ? momentOf(from, now) : null,
    to: to ? momentOf(to, now) : null,
    last: numberOf(invocation, "last"),
  };
  if (since !== undefined && /^\d+$/.test(since)) {
    wish.after = Object.fromEntries((await namesOf(invocation, rooms)).map((room) => [room, Number(since)]));
  } else if (since !== undefined) wish.from = momentOf(since, now);
  const unbounded = wish.after === null && wish.from === null && wish.to === null && wish.last === null;
  if (unbounded && isSet(invocation, "follow")) wish.last = FOLLOW_BACKLOG_LINES;
  else if (unbounded && invocation.out.stdoutIsTerminal) wish.last = TERMINAL_BACKLOG_LINES;
  return wish;
}

async function namesOf(invocation: Invocation, rooms: string[]): Promise<string[]> {
  if (!rooms.includes("*")) return rooms;
  const connection = await invocation.connect();
  const { rooms: all } = await connection.call("room.list", {});
  connection.close();
  return all.map((info) => info.room);
}

const feed: Command = {
  name: "feed",
  args: "ROOM…|'*'",
  group: "room",
  ops: ["room.watch", "room.read"],
  summary: "Read rooms, or follow them live: every line once and in order",
  flags: {
    follow: { short: "f", about: "go on with every new line, over lost connections too" },
    last: { short: "n", value: "N", about: "the newest N lines" },
    since: { value: "SEQ|TIME", about: "only lines after this number, or from this time (14:30, 10m)" },
    from: { value: "TIME", about: "replay: from here" },
    to: { value: "TIME", about: "replay: up to here" },
    speed: { value: "N", about: "replay with the original pauses divided by N" },
    filter: { value: "KEY=VALUE", many: true, about: "agent=…, tag=…, type=… or level=…; may be repeated" },
    agent: { value: "AGENT", many: true, about: "only lines from these agents" },
    tag: { value: "TAG", many: true, about: "only lines with one of these tags" },
    level: { value: "LEVEL", about: "this level and louder" },
    msg: { about: "the text alone, as `jq -r .msg` prints it" },
    channel: { about: "as ships write it: 2026-04-21 04:30 UTC | [ASTRA] | text" },
    review: { about: "ask for a past period and replay it, again and again" },
  },
  examples: [
    "bosun feed spx -f",
    "bosun feed '*' -f --tag gamma",
    "bosun feed spx --from 14:30 --to 15:00 --speed 10",
    "bosun feed spx --json | jq -r .msg",
  ],
  async run(invocation) {
    const rooms = invocation.args.flatMap((room) => room.split(",")).filter((room) => room !== "");
    if (isSet(invocation, "review")) return await reviewFeed(invocation, rooms);
    if (rooms.length === 0)
      throw usage("feed needs a room", feed, "list them with `bosun rooms`, or take all with '*'");
    const wish = await wishOf(invocation, rooms);
    const look = lookOf(invocation, rooms);
    const speed = numberOf(invocation, "speed");
    if (isSet(invocation, "follow")) return await followFeed(invocation, wish, look);
    const connection = await invocation.connect();
    if (speed !== null && speed > 0) await replayFeed(connection, wish, look, speed, invocation.out);
    else {
      const lines = new FeedLines(look, rooms);
      await readFeed(
        connection,
        wish,
        (page: Line[]) => invocation.out.write(page.map((line) => lines.text(line)).join("")),
        (room, count) => invocation.out.say(`${count} lines of ${room} are no longer kept`),
      );
    }
    return 0;
  },
};

const USUAL_REVIEW_SPEED = 10;

/** The pane of a review window: asks for a period, shows it with its pauses, asks again. */
async function reviewFeed(invocation: Invocation, rooms: string[]): Promise<number> {
  const { createInterface } = await import("node:readline");
  const { out } = invocation;
  const look = lookOf(invocation, rooms);
  out.line(
    out.style(`a past period of ${rooms.join(", ")}: FROM [TO] [SPEED], for example 14:30 15:00 10, or 10m`, "dim"),
  );
  const terminal = createInterface({ input: process.stdin, output: process.stdout, prompt: "review> " });
  terminal.prompt();
  for await (const typed of terminal) {
    const [from, to, speed] = typed.trim().split(/\s+/);
    try {
      if (from) {
        const now = Date.now();
        const wish: FeedWish = {
          rooms,
          filter: null,
          after: null,
          from: momentOf(from, now),
          to: to ? momentOf(to, now) : null,
          last: null,
        };
        const connection = await openConnection(invocation.place().socket, readToken(invocation.place().tokenFile));
        await replayFeed(connection, wish, look, Number(speed) || USUAL_REVIEW_SPEED, out);
        connection.close();
        out.line(out.style("── end ──", "dim"));
      }
    } catch (error) {
      out.line(errorLines(toErrorBody(error)).join("\n"));
    }
    terminal.prompt();
  }
  return 0;
}

async function followFeed(invocation: Invocation, wish: FeedWish, look: FeedLook): Promise<number> {
  const place = invocation.place();
  const follower = new FeedFollower(wish, look, invocation.out);
  process.once("SIGINT", () => {
    const [room, seq] = Object.entries(follower.cursors)[0] ?? [];
    if (invocation.out.stderrIsTerminal && room !== undefined && wish.rooms.length === 1 && room === wish.rooms[0]) {
      invocation.out.say(`\nstopped at line ${seq} · again from here: bosun feed ${room} -f --since ${seq}`);
    }
    process.exit(130);
  });
  const reconnect = () => openConnection(place.socket, readToken(place.tokenFile));
  // In a pane of a view the coordinator may be on its way; elsewhere a feed that cannot begin says so at once.
  const first = place.given ? null : await invocation.connect();
  if (first) await follower.backlog(first);
  await follower.follow(first, reconnect);
  return 0;
}

const rooms: Command = {
  name: "rooms",
  group: "room",
  ops: ["room.list"],
  async run(invocation) {
    const connection = await invocation.connect();
    const answer = await connection.call("room.list", {});
    if (invocation.out.wish.json) {
      invocation.out.json(answer, "rooms");
      return 0;
    }
    const now = Date.now();
    invocation.out.table(
      [
        { title: "ROOM" },
        { title: "LINES", align: "right" },
        { title: "LAST", align: "right" },
        { title: "WATCHERS", align: "right" },
        { title: "AGENTS", flexible: true },
        { title: "ABOUT", flexible: true },
      ],
      answer.rooms.map((info) => [
        info.room,
        String(info.seq),
        info.ended
          ? "ended"
          : info.staleSince
            ? `stale ${sinceText(info.staleSince, now)}`
            : sinceText(info.lastAt, now),
        String(info.watchers),
        info.agents.join(" "),
        info.about,
      ]),
    );
    return 0;
  },
};

export const ROOM_COMMANDS = [say, feed, rooms];
