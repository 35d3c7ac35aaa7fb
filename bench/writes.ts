import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Bench, Ground, median, ratio, series } from "./measure.ts";

const WRITES = 2_000;

const PLAN = `version: 1
rooms:
  bench: { about: Lines of the bench, keep: 1000000 }
sessions:
  quiet: { about: A recipient, run: "exec sleep 3600", start: manual, agent: { id: quiet-one, type: none } }
`;

/** Acknowledged writes per second through the socket, against SQLite alone with the same promise. */
export const writes: Bench = {
  name: "writes",
  question: "durable, acknowledged writes per second: one client, eight clients, and raw SQLite with the same fsync",
  async run(runs) {
    const ground = new Ground();
    try {
      ground.write("floorplan.yaml", PLAN);
      await ground.bosun("up", "--quiet");
      const socket = (JSON.parse(await ground.bosun("status", "--json")) as { socket: string }).socket;
      const raw: number[] = [];
      const posts: number[] = [];
      const posts8: number[] = [];
      const mails: number[] = [];
      const mails8: number[] = [];
      for (let run = 0; run < runs; run++) {
        raw.push(rawSqlite(join(ground.stateFolder, `raw-${run}.db`)));
        posts.push(
          await clients(socket, 1, (n) => ({
            op: "room.post",
            in: { room: "bench", msg: `line ${n}: the quick brown fox jumps over the lazy dog` },
          })),
        );
        posts8.push(
          await clients(socket, 8, (n) => ({
            op: "room.post",
            in: { room: "bench", msg: `line ${n}: the quick brown fox jumps over the lazy dog` },
          })),
        );
        mails.push(
          await clients(socket, 1, (n) => ({
            op: "message.send",
            in: { to: ["quiet-one"], subject: "bench", body: `message ${n}` },
          })),
        );
        mails8.push(
          await clients(socket, 8, (n) => ({
            op: "message.send",
            in: { to: ["quiet-one"], subject: "bench", body: `message ${n}` },
          })),
        );
      }
      const all = [
        series("raw SQLite, one row and one fsync per commit", "/s", raw),
        series("posts, one client waiting for each answer", "/s", posts),
        series("posts, eight such clients", "/s", posts8),
        series("messages, one client waiting for each answer", "/s", mails),
        series("messages, eight such clients", "/s", mails8),
      ];
      const [rawS, postS, post8S, mailS, mail8S] = all.map((each) => each.median) as [
        number,
        number,
        number,
        number,
        number,
      ];
      return {
        series: all,
        ratios: [
          ratio("posts, one client / raw", postS / rawS, "≥ 0.3", postS / rawS >= 0.3),
          ratio("messages, one client / raw", mailS / rawS, "≥ 0.3", mailS / rawS >= 0.3),
          ratio("posts, eight clients / one", post8S / postS, "≥ 3", post8S / postS >= 3),
          ratio("messages, eight clients / one", mail8S / mailS, "≥ 3", mail8S / mailS >= 3),
        ],
        notes: [
          `each client sends its next write when the last one is acknowledged; ${WRITES} writes a run; median raw ${median(raw).toFixed(0)}/s on this disk`,
        ],
      };
    } finally {
      await ground.close();
    }
  },
};

/** Rows per second that SQLite alone appends to `file`, one commit and one fsync each. */
export function rawSqlite(file: string, rows = WRITES): number {
  const database = new DatabaseSync(file);
  database.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)",
  );
  const insert = database.prepare("INSERT INTO t(text) VALUES (?)");
  const startedMs = performance.now();
  for (let n = 0; n < rows; n++) insert.run(`line ${n}: the quick brown fox jumps over the lazy dog`);
  const seconds = (performance.now() - startedMs) / 1000;
  database.close();
  return rows / seconds;
}

async function clients(
  path: string,
  many: number,
  request: (n: number) => { op: string; in: unknown },
): Promise<number> {
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: many }, () => client(path, WRITES / many, request)));
  return WRITES / ((performance.now() - startedMs) / 1000);
}

/** The smallest client there can be, so that it is the coordinator that is measured. */
function client(
  path: string,
  writesWanted: number,
  request: (n: number) => { op: string; in: unknown },
): Promise<void> {
  return new Promise((done, fail) => {
    let sent = 0;
    let held = "";
    const socket: Socket = connect(path, () => next());
    const next = (): void => {
      if (sent === writesWanted) {
        socket.end();
        done();
        return;
      }
      sent++;
      socket.write(`${JSON.stringify({ id: sent, ...request(sent) })}\n`);
    };
    socket.setEncoding("utf8");
    socket.on("error", fail);
    socket.on("data", (chunk: string) => {
      held += chunk;
      for (let end = held.indexOf("\n"); end >= 0; end = held.indexOf("\n")) {
        const answer = held.slice(0, end);
        held = held.slice(end + 1);
        if (answer.includes('"error"')) return fail(new Error(answer));
        next();
      }
    });
  });
}
