import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { WaitingFor } from "../../protocol/screen.ts";
import { descendantsOf, statOf } from "../tmux/process-tree.ts";
import type { OwnRule, Profile } from "./profile.ts";

/** What a program has said of itself, and when. */
export interface OwnSign {
  state: "working" | "idle" | "waiting";
  reason: WaitingFor | null;
  /** `state-file`, `hook:Stop`, `transcript`. */
  source: string;
  evidence: string;
  text: string | null;
  /** Milliseconds since 1970. */
  atMs: number;
  mail: boolean;
  moment: "start" | "compact" | "end" | null;
  /** With which its turn ended. */
  answer: string | null;
}

/** Its files are searched for this often while there are none. */
const SEARCH_EVERY_MS = 2_000;

/** A program may begin a new transcript at any time. */
const SEARCH_AGAIN_MS = 5_000;

/** The end of a transcript that is read: a line may hold a whole tool result. */
const TAIL_BYTES = 1_048_576;

/** The first rule that fits what was said, as a sign; or null. */
export function signBy(rules: readonly OwnRule[], said: unknown, source: string, atMs: number): OwnSign | null {
  const rule = rules.find(({ when }) =>
    Object.entries(when).every(([path, pattern]) => {
      const value = at(said, path);
      return (typeof value === "string" || typeof value === "number") && pattern.test(String(value));
    }),
  );
  if (!rule) return null;
  const text = rule.text === undefined ? undefined : at(said, rule.text);
  const answer = rule.answer === undefined ? undefined : at(said, rule.answer);
  return {
    state: rule.state,
    reason: rule.reason ?? null,
    source,
    evidence: `it says so itself: ${Object.keys(rule.when)
      .map((path) => String(at(said, path)))
      .join(" ")}`,
    text: typeof text === "string" ? text.slice(0, 200) : null,
    atMs,
    mail: rule.mail ?? false,
    moment: rule.moment ?? null,
    answer: typeof answer === "string" && answer.trim() !== "" ? answer.trim() : null,
  };
}

function at(said: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (value, key) =>
        typeof value === "object" && value !== null && Object.hasOwn(value, key)
          ? (value as Record<string, unknown>)[key]
          : undefined,
      said,
    );
}

/** Reads the files in which one pane's program keeps its state, when they have changed. Never throws. */
export class OwnFiles {
  readonly #profile: Profile;
  #pid: number;
  #searchedAtMs = Number.NEGATIVE_INFINITY;
  #state: { path: string; pid: number } | null = null;
  #transcript: string | null = null;
  #read = new Map<string, { version: string; sign: OwnSign | null }>();

  /** `pid`: the pane's first process; the program is that one or descends from it. */
  constructor(profile: Profile, pid: number) {
    this.#profile = profile;
    this.#pid = pid;
  }

  /** Whether programs of this profile keep files that say what they do. */
  get any(): boolean {
    return this.#profile.state_file !== undefined || this.#profile.transcript !== undefined;
  }

  /** Another process has taken the pane's place. */
  set pid(pid: number) {
    if (pid === this.#pid) return;
    this.#pid = pid;
    this.#searchedAtMs = Number.NEGATIVE_INFINITY;
  }

  /** What it says now: its state file before its transcript. */
  read(nowMs: number): OwnSign | null {
    const { state_file, transcript } = this.#profile;
    if (!state_file && !transcript) return null;
    const found = this.#state !== null || this.#transcript !== null;
    if (nowMs - this.#searchedAtMs >= (found ? SEARCH_AGAIN_MS : SEARCH_EVERY_MS)) this.#search(nowMs);
    const state = this.#state && this.#once(this.#state.path, () => this.#stateIn(this.#state!));
    if (state) return state;
    return this.#transcript === null ? null : this.#once(this.#transcript, () => this.#lastIn(this.#transcript!));
  }

  #once(path: string, read: () => OwnSign | null): OwnSign | null {
    try {
      const { size, mtimeMs, ino } = statSync(path);
      const version = `${ino} ${size} ${mtimeMs}`;
      const before = this.#read.get(path);
      if (before?.version === version) return before.sign;
      const sign = read();
      this.#read.set(path, { version, sign });
      return sign;
    } catch {
      // Gone, or being written just now: it is read another time.
      return null;
    }
  }

  #search(nowMs: number): void {
    this.#searchedAtMs = nowMs;
    const pids = descendantsOf(this.#pid);
    const { state_file, transcript } = this.#profile;
    this.#state = null;
    this.#transcript = null;
    for (const pid of pids) {
      if (state_file) {
        const path = stateFileOf(state_file, pid);
        if (path !== null) this.#state = { path, pid };
      }
      if (transcript) this.#transcript = openFileOf(pid, transcript.path) ?? this.#transcript;
    }
  }

  #stateIn({ path, pid }: { path: string; pid: number }): OwnSign | null {
    const rules = this.#profile.state_file!;
    const said: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (rules.started !== undefined && String(at(said, rules.started)) !== statOf(pid)?.startedTicks) return null;
    return signBy(rules.rules, said, "state-file", Number(at(said, rules.at)) || statSync(path).mtimeMs);
  }

  #lastIn(path: string): OwnSign | null {
    const rules = this.#profile.transcript!;
    const lines = tailOf(path).split("\n");
    for (const line of lines.toReversed()) {
      let said: unknown;
      try {
        said = JSON.parse(line);
      } catch {
        // The first may be cut off, the last half written.
        continue;
      }
      const sign = signBy(rules.rules, said, "transcript", Date.parse(String(at(said, rules.at))) || 0);
      if (sign) return sign;
    }
    return null;
  }
}

function stateFileOf({ folder, file }: NonNullable<Profile["state_file"]>, pid: number): string | null {
  let environment: string[];
  try {
    environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    // It has gone, or is somebody else's.
    return null;
  }
  const variable = (name: string): string | undefined =>
    environment.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
  const home = variable("HOME") || homedir();
  const path = join(
    variable(folder.variable) || folder.default.replace(/^~/, home),
    file.replaceAll("{pid}", String(pid)),
  );
  return statSync(path, { throwIfNoEntry: false }) ? path : null;
}

/** The newest file of that kind which the process holds open. */
function openFileOf(pid: number, pattern: RegExp): string | null {
  try {
    const paths = readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
      try {
        const path = readlinkSync(`/proc/${pid}/fd/${name}`);
        return pattern.test(path) ? [{ path, mtimeMs: statSync(path).mtimeMs }] : [];
      } catch {
        // Closed meanwhile.
        return [];
      }
    });
    return paths.toSorted((a, b) => b.mtimeMs - a.mtimeMs)[0]?.path ?? null;
  } catch {
    return null;
  }
}

function tailOf(path: string): string {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const length = Math.min(size, TAIL_BYTES);
    const bytes = Buffer.alloc(length);
    const read = readSync(file, bytes, 0, length, size - length);
    return bytes.toString("utf8", 0, read);
  } finally {
    closeSync(file);
  }
}
