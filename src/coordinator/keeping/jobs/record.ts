import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { StringDecoder } from "node:string_decoder";
import type { PlanJob } from "../../../protocol/plan.ts";
import type { Display } from "../../displays.ts";
import { linesOf, writtenOf } from "../../screens/lines.ts";
import type { Picture } from "../../tmux/port.ts";
import type { Bench, Work } from "./work.ts";

/** Lines of scrollback that are looked through for those nobody recorded, after a time away. */
const HISTORY_LINES = 10_000;

/** So many lines in a row have to be the same to know where the record stopped. */
const OVERLAP = 20;

/** The end of the record that is compared. */
const TAIL_BYTES = 262_144;

/** Lines are gathered this long. */
const WRITE_AFTER_MS = 100;

/**
 * What a session writes, as lines of a log, each once. While the coordinator is away tmux keeps what is written; what it has
 * and the log has not is added when it is back.
 */
export function record(job: PlanJob, { town, displays }: Bench, say: (line: string) => void): Work {
  const file = job.to!;
  let attached: { display: Display; tap: (bytes: Buffer) => void } | null = null;
  let decoder = new StringDecoder("utf8");
  let half = "";
  let waiting: string[] = [];
  let timer: NodeJS.Timeout | null = null;
  let written = 0;

  const write = (): void => {
    if (timer) clearTimeout(timer);
    timer = null;
    if (waiting.length === 0) return;
    const lines = waiting;
    waiting = [];
    mkdirSync(dirname(file), { recursive: true });
    // Rotated before it is too large: no line is ever cut in two, or lost between two files.
    for (let from = 0; from < lines.length; ) {
      let size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
      let to = from;
      while (to < lines.length && (size === 0 || size + Buffer.byteLength(lines[to]!) < job.rotateBytes))
        size += Buffer.byteLength(lines[to++]!) + 1;
      if (to > from) appendFileSync(file, `${lines.slice(from, to).join("\n")}\n`, { mode: 0o600 });
      if (to < lines.length) rotate(file, job.keep);
      from = to;
    }
    written += lines.length;
    for (const line of lines) say(line);
  };
  const take = (text: string): void => {
    half += text;
    const at = half.lastIndexOf("\n");
    if (at < 0) return;
    waiting.push(...linesOf(Buffer.from(half.slice(0, at + 1))));
    half = half.slice(at + 1);
    timer ??= setTimeout(write, WRITE_AFTER_MS);
  };
  const detach = (): void => {
    attached?.display.taps.delete(attached.tap);
    attached = null;
    write();
  };
  /** From here on every byte is heard; what stood there before is compared with the log. */
  const attach = async (display: Display): Promise<void> => {
    let early: string[] | null = [];
    let taken = 0;
    decoder = new StringDecoder("utf8");
    const tap = (bytes: Buffer): void => {
      const text = decoder.write(bytes);
      if (early) early.push(text);
      else take(text);
    };
    display.taps.add(tap);
    attached = { display, tap };
    const onTaken = (): void => {
      taken = early?.length ?? 0;
    };
    const wanted = { pane: display.pane, above: HISTORY_LINES, onTaken };
    let picture: Picture | undefined;
    try {
      picture = (await town.tmux.pictures([wanted])).get(display.pane);
    } catch (error) {
      // The next look begins anew.
      detach();
      throw error;
    }
    const stood = picture ? writtenOf(picture) : "";
    const complete = stood.lastIndexOf("\n") + 1;
    waiting.push(...missing(tailOf(file), linesOf(Buffer.from(stood.slice(0, complete)))));
    write();
    half = stood.slice(complete);
    const rest = early.slice(taken).join("");
    early = null;
    take(rest);
  };

  return {
    async run() {
      const display = displays.displayOf(job.target, null);
      if (attached && attached.display !== display) detach();
      if (display && !attached) await attach(display);
      return { exit: 0, said: display ? `${written} lines of ${job.target} in ${file}` : `${job.target} does not run` };
    },
    close: detach,
  };
}

function equal(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((line, index) => line === b[index]);
}

/** Of `lines` those that follow what the log ends with; all of them where nothing fits. */
function missing(log: readonly string[], lines: readonly string[]): string[] {
  for (let count = Math.min(OVERLAP, log.length); count > 0; count = count > 5 ? Math.floor(count / 2) : count - 1) {
    const end = log.slice(-count);
    for (let at = lines.length - count; at >= 0; at--)
      if (equal(lines.slice(at, at + count), end)) return lines.slice(at + count);
  }
  return [...lines];
}

function tailOf(file: string): string[] {
  if (!existsSync(file)) return [];
  const descriptor = openSync(file, "r");
  try {
    const { size } = fstatSync(descriptor);
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    const read = readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
    const lines = bytes.toString("utf8", 0, read).split("\n");
    if (lines.at(-1) === "") lines.pop();
    return size > bytes.length ? lines.slice(1) : lines;
  } finally {
    closeSync(descriptor);
  }
}

/** `log` becomes `log.1`, `log.1` `log.2` …; the oldest beyond `keep` goes. */
function rotate(file: string, keep: number): void {
  rmSync(`${file}.${keep}`, { force: true });
  for (let n = keep - 1; n >= 1; n--) if (existsSync(`${file}.${n}`)) renameSync(`${file}.${n}`, `${file}.${n + 1}`);
  renameSync(file, `${file}.1`);
}
