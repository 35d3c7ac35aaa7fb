import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { BosunError } from "../protocol/error.ts";

/** `sun_path` holds 108 bytes on Linux and 104 on macOS, the closing zero included; 100 leaves room for a suffix. */
const MAX_SOCKET_PATH_BYTES = 100;

type Environment = Record<string, string | undefined>;

/** Folder of everything bosun keeps: `BOSUN_HOME`, else `$XDG_STATE_HOME/bosun`, else `~/.local/state/bosun`. */
export function bosunHome(env: Environment = process.env): string {
  if (env.BOSUN_HOME) return resolve(env.BOSUN_HOME);
  const state = env.XDG_STATE_HOME;
  // The XDG rules say that a relative path must be ignored.
  const base = state?.startsWith("/") ? state : join(env.HOME || homedir(), ".local", "state");
  return join(base, "bosun");
}

export function townHome(home: string, town: string): string {
  return join(home, town);
}

/** Names of the towns whose state is kept there. A town that was ever started has a lock. */
export function townsKept(home: string): string[] {
  if (!existsSync(home)) return [];
  return readdirSync(home)
    .filter((name) => existsSync(join(townHome(home, name), "lock.db")))
    .toSorted();
}

/**
 * Where the coordinator of `town` listens: `<home>/<town>/bosun.sock`. A home too deep for a Unix socket gets
 * `${XDG_RUNTIME_DIR:-/tmp}/bosun-<uid>/<16 hex of sha256(home, town)>.sock` instead. Pure; see `ensureSocketFolder`.
 */
export function socketPath(home: string, town: string, env: Environment = process.env): string {
  const beside = join(townHome(home, town), "bosun.sock");
  if (Buffer.byteLength(beside) <= MAX_SOCKET_PATH_BYTES) return beside;
  // Loaded here only: it costs every command 3 ms, and few homes are that deep.
  const { createHash } = process.getBuiltinModule("node:crypto");
  const hash = createHash("sha256").update(`${home}\0${town}`).digest("hex").slice(0, 16);
  const runtime = env.XDG_RUNTIME_DIR?.startsWith("/") ? env.XDG_RUNTIME_DIR : "/tmp";
  return join(runtime, `bosun-${process.getuid?.() ?? 0}`, `${hash}.sock`);
}

/**
 * Makes the folder of a socket, mode 0700. Throws REFUSED when it exists and belongs to somebody else or lets others in:
 * in /tmp anybody could have made it first, and would then read our tokens.
 */
export function ensureSocketFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(folder);
  const ours = process.getuid?.() ?? uid;
  if (uid === ours && (mode & 0o077) === 0) return;
  throw new BosunError({
    code: "REFUSED",
    what: `${folder} is open to other users`,
    why: uid === ours ? "its mode lets others in" : "it belongs to somebody else",
    fix: uid === ours ? `chmod 700 ${folder}` : "set BOSUN_HOME to a folder of your own with a short path",
  });
}
