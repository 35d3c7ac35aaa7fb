import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import type { Readable } from "node:stream";
import { BosunError, type ErrorBody } from "../protocol/error.ts";
import { townHome } from "./home.ts";
import { type Place, rememberedPlaceFile } from "./place.ts";

/** Longest silence of a coordinator that starts: while it reads a long log it says how far it is. Past it something hangs. */
const READY_WITHIN_MS = 30_000;

/** How soon a coordinator that somebody else starts is found to listen. */
const LOOK_EVERY_MS = 20;

/** What a coordinator says on file descriptor 3 before it closes it: lines of progress, and this as the last. */
type StartReport = { ready: true; pid: number; socket: string; already?: boolean } | { error: ErrorBody };

/** Enough of a dying coordinator's last words for an error text. */
const LAST_WORDS_CHARS = 2_000;

/** The person's identity in tmux and in another session's name is not the coordinator's. */
const NOT_INHERITED = [
  "TMUX",
  "TMUX_PANE",
  "BOSUN_SOCKET",
  "BOSUN_TOKEN_FILE",
  "BOSUN_SESSION",
  "BOSUN_EPOCH",
  "BOSUN_AGENT",
  "BOSUN_ROOM",
  "BOSUN_NEAR",
  "BOSUN_ASK_FIFO",
];

/**
 * Starts the coordinator of `place` in the background and resolves when it answers. Rejects with what it reports (a broken
 * floor plan: PLAN_INVALID, and nothing has changed), or UNREACHABLE with its last words. When two start at once, one wins
 * and both resolve.
 */
export async function startCoordinator(program: string, place: Place): Promise<{ pid: number; already: boolean }> {
  const { spawn } = await import("node:child_process");
  const args = [program, "--town", place.town, "--from", place.from, "--root", place.root, "--home", place.home];
  if (place.plan) args.push("--plan", place.plan);
  if (place.tmuxSocket) args.push("--tmux-socket", place.tmuxSocket);
  const env = { ...process.env };
  for (const name of NOT_INHERITED) delete env[name];
  const child = spawn(process.execPath, args, {
    cwd: place.root,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  const pipes = [child.stdout, child.stderr, child.stdio[3]] as [Readable, Readable, Readable];
  const gathered = pipes.map(() => "");
  pipes.forEach((pipe, index) => {
    pipe.setEncoding("utf8");
    pipe.on("data", (text: string) => {
      gathered[index] += text;
    });
    pipe.on("error", () => {});
  });
  try {
    const report = await new Promise<StartReport | null>((resolve, reject) => {
      const giveUp = (): void => reject(notStarted(place, "it did not get ready in time", "TIMEOUT"));
      let timer = setTimeout(giveUp, READY_WITHIN_MS);
      const settle = (): void => {
        clearTimeout(timer);
        resolve(parseReport(gathered[2]!));
      };
      pipes[2].on("end", settle);
      pipes[2].on("data", () => {
        clearTimeout(timer);
        timer = setTimeout(giveUp, READY_WITHIN_MS);
        if (parseReport(gathered[2]!)) settle();
      });
      child.on("error", (error) => reject(notStarted(place, error.message)));
      child.on("close", settle);
    });
    if (report === null) throw notStarted(place, lastWords(gathered[1]! || gathered[0]!));
    if ("error" in report) throw new BosunError(report.error);
    if (report.already) await answering(place);
    remember(place);
    return { pid: report.pid, already: report.already ?? false };
  } finally {
    for (const pipe of pipes) pipe.destroy();
    child.unref();
  }
}

/** Somebody else's coordinator is starting: it has the lock before it listens. */
async function answering(place: Place): Promise<void> {
  const giveUpAtMs = performance.now() + READY_WITHIN_MS;
  while (!(await listens(place.socket))) {
    if (performance.now() > giveUpAtMs) {
      throw notStarted(place, "another process holds its lock, and does not listen", "TIMEOUT");
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** Null as long as there was nothing but progress. */
function parseReport(text: string): StartReport | null {
  for (const line of text.split("\n").slice(0, -1)) {
    const said = parsed(line);
    if (said && !("progress" in said)) return said as StartReport;
  }
  return null;
}

function parsed(line: string): object | null {
  try {
    return JSON.parse(line) as object;
  } catch {
    return null;
  }
}

function lastWords(text: string): string {
  return text.slice(-LAST_WORDS_CHARS).trim() || "it ended without a word";
}

function notStarted(place: Place, why: string, code: "UNREACHABLE" | "TIMEOUT" = "UNREACHABLE"): BosunError {
  return new BosunError({
    code,
    what: `the coordinator of ${place.town} did not start`,
    why,
    fix: `look into ${townHome(place.home, place.town)}`,
  });
}

function remember(place: Place): void {
  const text = `${JSON.stringify({ root: place.root, plan: place.plan })}\n`;
  writeFileSync(rememberedPlaceFile(place.home, place.town), text, { mode: 0o600 });
}
