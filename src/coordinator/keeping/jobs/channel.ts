import { appendFileSync, closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readSync } from "node:fs";
import { dirname } from "node:path";
import type { PlanJob } from "../../../protocol/plan.ts";
import { sanitise } from "../../../protocol/text.ts";
import type { Bench, Work } from "./work.ts";

/** A file is read in pieces of at most this. */
const PIECE_BYTES = 1_048_576;

/** Of a room so many lines are read at a time. */
const PAGE = 500;

const ME = { name: "coordinator", role: "admin" } as const;

/**
 * Watches a channel, a room or an append-only file, shows its new lines, and writes a receipt for each: an id, where it stands,
 * and who said it. The receipts say how far it has read, so that after a time away none is missed and none is given twice.
 */
export function channel(job: PlanJob, bench: Bench, say: (line: string) => void): Work {
  const { receipts } = job;
  let at = receipts === null ? null : lastReceipt(receipts);
  let count = 0;
  const receipt = (place: number, next: number, from: string, text: string): void => {
    const id = `r-${place}`;
    if (receipts !== null) {
      mkdirSync(dirname(receipts), { recursive: true });
      appendFileSync(
        receipts,
        `${JSON.stringify({ id, ts: new Date(bench.town.now()).toISOString(), place, next, from, text })}\n`,
        { mode: 0o600 },
      );
    }
    count++;
    say(`${id}  ${sanitise(from)}: ${sanitise(text)}`);
    at = next;
  };
  const readFile = (file: string): void => {
    if (!existsSync(file)) return;
    const descriptor = openSync(file, "r");
    try {
      const { size } = fstatSync(descriptor);
      // Begun anew by its writer, it is read anew. At first, what stands there is the past.
      if (at === null || at > size) at = at === null ? size : 0;
      const bytes = Buffer.alloc(Math.min(PIECE_BYTES, size - at));
      const read = readSync(descriptor, bytes, 0, bytes.length, at);
      const whole = bytes.subarray(0, bytes.subarray(0, read).lastIndexOf(10) + 1);
      let place = at;
      for (const line of whole.toString("utf8").split("\n").slice(0, -1)) {
        const next = place + Buffer.byteLength(line) + 1;
        // As the ship writes it: `2026-04-21 04:30 UTC | [ASTRA] | message`.
        const [, from = "?", text = line] = /^[^|]*\|\s*\[([^\]]*)\]\s*\|\s*(.*)$/.exec(line) ?? [];
        if (line.trim() !== "") receipt(place, next, from, text);
        else at = next;
        place = next;
      }
    } finally {
      closeSync(descriptor);
    }
  };
  const readRoom = async (room: string): Promise<void> => {
    const last = at;
    const range = last === null ? { last: 1 } : { after: { [room]: last }, limit: PAGE };
    const { lines } = await bench.town.rooms.read(ME, { rooms: [room], ...range });
    if (last === null) {
      at = lines.at(-1)?.seq ?? 0;
      return;
    }
    for (const line of lines) receipt(line.seq, line.seq, line.from, line.msg);
  };
  return {
    async run() {
      if (job.channel === null) await readRoom(job.target);
      else readFile(job.channel);
      return { exit: 0, said: `${count} lines since ${at ?? 0}` };
    },
    close() {},
  };
}

/** How far the receipts say that it was read; null before the first. */
function lastReceipt(file: string): number | null {
  if (!existsSync(file)) return null;
  for (const line of readFileSync(file, "utf8").split("\n").toReversed()) {
    try {
      const { next } = JSON.parse(line) as { next?: unknown };
      if (typeof next === "number") return next;
    } catch {
      // Cut off by a crash: the line it was for is receipted again.
    }
  }
  return null;
}
