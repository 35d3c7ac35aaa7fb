import { mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname } from "node:path";
import { isatty } from "node:tty";
import { BosunError } from "../../protocol/error.ts";
import { type Flag, type Invocation, isSet } from "../command.ts";

/** What an agent program's own settings can be told of bosun, and where: which file, and how its text changes. */
export interface AgentSettings {
  name: string;
  file(home: string, env: Record<string, string | undefined>): string;
  /** The file's text with ours in it; null when the file is written in a way that is not understood. */
  put(text: string): string | null;
  /** The file's text without it; null as above. */
  take(text: string): string | null;
}

export const SETTINGS_FLAGS: Record<string, Flag> = {
  write: { about: "show the change, ask, keep a copy, write (else nothing is touched)" },
  undo: { about: "take it out again" },
};

/** Prints what to put where; changes the file only with `--write` or `--undo`, after showing the change and asking. */
export async function settle(invocation: Invocation, agent: AgentSettings, command: string): Promise<number> {
  const file = agent.file(process.env.HOME || homedir(), process.env);
  if (isSet(invocation, "undo")) return undo(invocation, agent, file, command);
  if (isSet(invocation, "write")) return write(invocation, agent, file, command);
  const snippet = ours(agent, "", command);
  if (invocation.out.wish.json) invocation.out.json({ agent: agent.name, file, snippet });
  else {
    invocation.out.say(`put this into ${file}, beside what is there:`);
    invocation.out.write(snippet);
    invocation.out.say(`${command} ${agent.name} --write   does it, after asking`);
  }
  return 0;
}

/** `text` with ours in it. Throws CONFLICT for a file that is not understood. */
function ours(agent: AgentSettings, text: string, command: string): string {
  const made = agent.put(text);
  if (made !== null) return made;
  throw notUnderstood(agent, command);
}

function notUnderstood(agent: AgentSettings, command: string): BosunError {
  return new BosunError({
    code: "CONFLICT",
    what: `the settings of ${agent.name} are written in a way that is not understood`,
    why: "nothing was changed",
    fix: `${command} ${agent.name}   prints what to put in by hand`,
  });
}

/** The text of the file, or null when there is none. */
function textIn(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function backupOf(file: string): string {
  return `${file}.before-bosun`;
}

async function write(invocation: Invocation, agent: AgentSettings, file: string, command: string): Promise<number> {
  const before = textIn(file);
  const after = ours(agent, before ?? "", command);
  if (after === before) return done(invocation, file, `${file} has it already`, false);
  await consent(invocation, file, before ?? "", after);
  mkdirSync(dirname(file), { recursive: true });
  if (before !== null) writeFileSync(backupOf(file), before, { mode: 0o600 });
  replace(file, after);
  const kept = before === null ? "it is new" : `the file as it was: ${backupOf(file)}`;
  return done(invocation, file, `wrote ${file}; ${kept}`, true);
}

/**
 * Byte for byte what was there before when nobody has changed the file since; else only our entry goes, because agents
 * write into their own settings.
 */
async function undo(invocation: Invocation, agent: AgentSettings, file: string, command: string): Promise<number> {
  const now = textIn(file);
  if (now === null) return done(invocation, file, `there is no ${file}`, false);
  const backup = textIn(backupOf(file));
  const untouched = now === agent.put(backup ?? "");
  const after = untouched ? (backup ?? "") : agent.take(now);
  if (after === null) throw notUnderstood(agent, command);
  if (after === now) return done(invocation, file, `${file} does not have it`, false);
  await consent(invocation, file, now, after);
  if (untouched && backup === null) rmSync(file);
  else replace(file, after);
  rmSync(backupOf(file), { force: true });
  return done(invocation, file, `${file} is as it was`, true);
}

function done({ out }: Invocation, file: string, text: string, changed: boolean): number {
  if (out.wish.json) out.json({ file, changed });
  else out.line(text);
  return 0;
}

/** Whole or not at all, with the mode it had; a link stays a link. */
function replace(file: string, text: string): void {
  const exists = textIn(file) !== null;
  const target = exists ? realpathSync(file) : file;
  writeFileSync(`${target}.new`, text, { mode: exists ? statSync(target).mode & 0o777 : 0o600 });
  renameSync(`${target}.new`, target);
}

/** Shows the change and asks. Throws NEEDS_CONSENT for a no, and where nobody can be asked. */
async function consent(invocation: Invocation, file: string, before: string, after: string): Promise<void> {
  const { out } = invocation;
  for (const line of [`--- ${file}`, ...changed(before, after)]) out.say(line);
  if (isSet(invocation, "yes")) return;
  const refusal = new BosunError({
    code: "NEEDS_CONSENT",
    what: `${file} was not changed`,
    why: "it is yours; a change needs your word",
    fix: "add --yes",
  });
  if (!isatty(0)) throw refusal;
  const { createInterface } = await import("node:readline/promises");
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await asking.question("change it? [y/N] ");
  asking.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw refusal;
}

/** The lines that differ, from the first to the last, old ones first. */
function changed(before: string, after: string): string[] {
  const [old, made] = [before.split("\n"), after.split("\n")];
  let head = 0;
  while (head < old.length && head < made.length && old[head] === made[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(old.length, made.length) - head && old.at(-1 - tail) === made.at(-1 - tail)) tail += 1;
  const removed = old.slice(head, old.length - tail).map((line) => `-${line}`);
  const added = made.slice(head, made.length - tail).map((line) => `+${line}`);
  return [`@@ line ${head + 1} @@`, ...removed, ...added];
}
