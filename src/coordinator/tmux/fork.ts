import { spawn } from "node:child_process";
import { BosunError } from "../../protocol/error.ts";
import { TmuxRefusal, unreachable } from "./control-client.ts";

/** A server that is leaving takes new clients for a moment and then drops them: 24 of 60 starts right after kill-server. */
export const LEAVING = /server exited unexpectedly|lost server/;
const RETRY_AFTER_MS = 50;
const RETRIES = 10;

/** No server under this name. Not the same as a server that does not answer. */
const NO_SERVER =
  /no server running on|error connecting to .*(No such file or directory|Connection refused)|no current (session|target)/;

/**
 * Null: there is no server. Throws TmuxRefusal when tmux said no, UNREACHABLE when it could not be asked, or said nothing within
 * `withinMs`, TMUX_MISSING.
 */
export async function forkTmux(
  argv: string[],
  env: Record<string, string>,
  input?: Buffer,
  withinMs?: number,
): Promise<string | null> {
  let ran = await once(argv, env, input, withinMs);
  for (let retry = 0; retry < RETRIES && LEAVING.test(ran.stderr); retry++) {
    await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
    ran = await once(argv, env, input, withinMs);
  }
  if (ran.code === 0) return ran.stdout;
  if (NO_SERVER.test(ran.stderr)) return null;
  if (/error connecting|server exited|lost server|access not allowed/.test(ran.stderr) || ran.code === null)
    throw unreachable(ran.stderr.trim() || "tmux was killed");
  throw new TmuxRefusal(ran.stderr.trim());
}

function once(
  argv: string[],
  env: Record<string, string>,
  input: Buffer | undefined,
  withinMs: number | undefined,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn("tmux", argv, {
      env,
      stdio: [input ? "pipe" : "ignore", "pipe", "pipe"],
      ...(withinMs === undefined ? {} : { timeout: withinMs, killSignal: "SIGKILL" as const }),
    });
    const stdout: Buffer[] = [];
    let stderr = "";
    child.stdout!.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr!.on("data", (chunk: Buffer) => {
      stderr += chunk.toString("utf8");
    });
    child.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ENOENT" ? tmuxMissing() : unreachable(error.message)),
    );
    child.once("close", (code) => resolve({ code, stdout: Buffer.concat(stdout).toString("utf8"), stderr }));
    if (input) {
      // A child that refused its arguments has closed its input; its exit code tells why.
      child.stdin!.on("error", () => {});
      child.stdin!.end(input);
    }
  });
}

function tmuxMissing(): BosunError {
  return new BosunError({
    code: "TMUX_MISSING",
    what: "tmux is not installed",
    why: "sessions run in it; bosun needs tmux 3.2 or newer",
    fix: "sudo apt-get install tmux   (Debian, Ubuntu), sudo dnf install tmux, or brew install tmux",
  });
}
