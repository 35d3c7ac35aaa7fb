import { type Connection, openConnection } from "../src/client/connection.ts";
import { type Bench, Ground, ratio, series } from "./measure.ts";

const WORLDS = 1_000;

/** Of other people on the same server: they run a program each, which must be the same one at the end. */
const CANARIES = 6;

/** What a hostile script does to a server, and a careless operator to bosun, at random: whatever is not ours stays. */
export const hostile: Bench = {
  name: "hostile",
  question: `${WORLDS} random worlds, made by a script that creates, renames, kills and attaches underneath: what happens to sessions that are not ours`,
  async run() {
    const ground = new Ground();
    try {
      return await voyage(ground, WORLDS);
    } finally {
      await ground.close();
    }
  },
};

async function voyage(ground: Ground, worlds: number) {
  const random = generator(20261121);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  ground.write(
    "floorplan.yaml",
    `version: 1
defaults: { restart: always }
sessions:
  sisters: { run: exec sleep 86400 }
  bridge: { windows: [ { name: a, run: exec sleep 86400 }, { name: b, run: exec sleep 86400 } ] }
  astra: { run: exec sleep 86400, protect: true }
`,
  );
  const quiet = (...args: string[]): string => {
    try {
      return ground.tmux(...args);
    } catch {
      // Aimed at what has gone already.
      return "";
    }
  };
  ground.tmux("new-session", "-d", "-s", "person-0", "exec sleep 86400");
  for (let n = 1; n < CANARIES; n++) quiet("new-session", "-d", "-s", `person-${n}`, "exec sleep 86400");
  const pids = new Map(
    Array.from({ length: CANARIES }, (_, n) => [
      `person-${n}`,
      quiet("display-message", "-p", "-t", `=person-${n}:`, "#{pane_pid}").trim(),
    ]),
  );
  await ground.bosun("up", "--quiet");
  const { socket } = JSON.parse(await ground.bosun("status", "--json")) as { socket: string };
  const connection = await openConnection(socket);
  const names = ["sisters", "bridge", "astra", "sisters-2", "hq-mayor", "x y", "ghost"];
  let made = 0;
  const hostilities: (() => void)[] = [
    () => quiet("new-session", "-d", "-s", `${pick(names)}`, "exec sleep 86400"),
    () => quiet("new-session", "-d", "-s", `stray-${++made}`, "exec sleep 86400"),
    () => quiet("rename-session", "-t", `=${pick(names)}`, pick(names)),
    () => quiet("kill-session", "-t", `=${pick(["sisters", "bridge", "astra"])}`),
    () => quiet("kill-window", "-t", "=bridge:"),
    () => quiet("set-option", "-t", `=stray-${made}:`, "@town", pick([ground.env.BOSUN_TOWN!, "other"])),
    () => quiet("set-option", "-t", `=stray-${made}:`, "@id", pick(["sisters", "astra", "nobody"])),
    () => quiet("link-window", "-s", `=person-${Math.floor(random() * CANARIES)}:0`, "-t", "=sisters:9"),
    () => quiet("rename-window", "-t", "=sisters:", pick(names)),
  ];
  const orders: [string, object][] = [
    ["town.up", {}],
    ["town.up", { yes: true, restart: true }],
    ["town.down", { sessions: ["sisters"], yes: true }],
    ["session.restart", { sessions: ["bridge"], yes: true }],
    ["town.fix", {}],
    ["ghost.list", {}],
    ["session.reset", { sessions: ["sisters"] }],
  ];
  let touched = 0;
  let refused = 0;
  const times: number[] = [];
  for (let world = 0; world < worlds; world++) {
    for (let n = 0; n < 3; n++) pick(hostilities)();
    const [name, input] = pick(orders);
    const startedMs = performance.now();
    await (connection as Connection).call(name as "town.up", input as never).catch(() => refused++);
    times.push(performance.now() - startedMs);
    const listed = quiet("list-panes", "-a", "-F", "#{session_name} #{pane_pid} #{pane_dead}");
    for (const [person, pid] of pids) {
      if (listed.includes(`${person} ${pid} 0`)) continue;
      // Linked windows are listed by the session that holds them now; the process is what counts.
      if (listed.includes(` ${pid} 0`) && quiet("has-session", "-t", `=${person}`) === "") continue;
      touched++;
      pids.delete(person);
    }
  }
  const after = quiet("list-sessions", "-F", "#{session_name}").split("\n");
  const strays = Array.from({ length: made }, (_, n) => `stray-${n + 1}`).filter((name) => !after.includes(name));
  // Strays that were given a mark of ours may go as what they pretend to be; none without one may.
  const { sessions } = await connection.call("town.status", {});
  connection.close();
  return {
    series: [series("one order, answered", "ms", times)],
    ratios: [ratio(`of ${CANARIES} strangers' sessions in ${worlds} worlds, touched`, touched, "0", touched === 0)],
    notes: [
      `${refused} orders were refused with a reason; ${made} strays made, ${strays.length} gone (those that were marked as ours)`,
      `at the end: ${sessions.map((each) => `${each.id} ${each.state}`).join(", ")}`,
    ],
  };
}

/** Mulberry32: the same worlds in every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
