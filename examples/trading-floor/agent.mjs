/**
 * One agent of the floor: `agent.mjs deacon|butterfly|gamma --instrument SPX`. Walks through real prices, says what it sees in
 * its room, and answers questions. When the coordinator goes away it goes on in its own pane; what was not acknowledged is
 * sent again afterwards under the same key, so nothing is lost and nothing comes twice.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { NARRATORS } from "./narrators.mjs";
import { prices } from "./prices.mjs";

const [kind, , instrument] = process.argv.slice(2);
const series = prices(instrument);
const narrate = NARRATORS[kind];
const { BOSUN_SOCKET, BOSUN_TOKEN_FILE, BOSUN_ROOM } = process.env;
/** One bar of the series takes this long; FLOOR_PACE_MS changes it. */
const PACE_MS = Number(process.env.FLOOR_PACE_MS ?? 1_200);
const RETRY_MS = 300;

const waiting = new Map();
let socket = null;
let nextId = 10;
let last = "nothing yet";
let said = 0;
let at = 0;

function dial() {
  if (!BOSUN_SOCKET) return;
  const mine = connect(BOSUN_SOCKET, () => {
    socket = mine;
    send({ hello: { v: 1, token: readFileSync(BOSUN_TOKEN_FILE, "utf8") } });
    send({ id: 1, op: "agent.listen", in: {} });
    for (const frame of waiting.values()) send(frame);
  });
  let held = "";
  mine.setEncoding("utf8");
  mine.on("data", (chunk) => {
    const lines = (held + chunk).split("\n");
    held = lines.pop();
    for (const line of lines) receive(JSON.parse(line));
  });
  // "close" follows and tries again.
  mine.on("error", () => {});
  mine.on("close", () => {
    if (socket === mine) socket = null;
    setTimeout(dial, RETRY_MS);
  });
}

function send(frame) {
  socket?.write(`${JSON.stringify(frame)}\n`);
}

function receive(frame) {
  if (frame.event)
    send({ id: nextId++, op: "ask.answer", in: { ask: frame.event.ask, text: answer(frame.event.text) } });
  else waiting.delete(frame.id);
}

function answer(text) {
  const { when, close } = series.bars[at];
  const words = {
    status: `${kind} on ${instrument} (${series.about}): bar ${at + 1} of ${series.bars.length}, ${when} at ${close.toFixed(2)}; ${said} lines said`,
    last,
    why: {
      deacon: "I tell the price against its own past",
      butterfly: "I price a 30-day butterfly at the realised volatility",
      gamma: "I compare 6 bars of volatility with 18",
    }[kind],
  };
  return words[text.trim().toLowerCase()] ?? "ask me: status, last, why";
}

function step() {
  const line = narrate(series, at);
  if (line) {
    said++;
    last = line.msg;
    console.log(line.msg);
    const id = nextId++;
    const frame = { id, op: "room.post", in: { room: BOSUN_ROOM, ...line }, key: `${process.pid}-${Date.now()}-${id}` };
    waiting.set(id, frame);
    send(frame);
  }
  at = (at + 1) % series.bars.length;
  setTimeout(step, PACE_MS * (0.7 + 0.6 * Math.random()));
}

/** Where the story is told from: late 2007 for those who have it, so that something happens soon. */
at = Math.max(
  0,
  series.bars.findIndex((bar) => bar.when >= "2007-10"),
);
if (series.bars[0].when >= "2009") at = 0;
dial();
setTimeout(step, PACE_MS * Math.random());
