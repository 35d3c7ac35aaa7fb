import { BosunError } from "../protocol/error.ts";
import { nearest } from "../protocol/nearest.ts";
import { type Command, type Flag, type FlagValue, type Invocation, listOf, textOf } from "./command.ts";
import { durationMs } from "./time.ts";

/** What every command understands. A command's own flag of the same letter wins behind its name: `feed -f` follows. */
export const GLOBAL_FLAGS: Record<string, Flag> = {
  file: { short: "f", value: "FILE", about: "the floor plan (floorplan.yaml here or above)" },
  town: { short: "t", value: "NAME", about: "the town (else: environment, plan, folder)" },
  as: { value: "AGENT", about: "speak as this registered agent (people only)" },
  json: { value: "FIELD,…", optionalValue: true, about: "print JSON; with fields only those" },
  plain: { about: "print tab-separated records, never cut" },
  quiet: { short: "q", about: "no talk on stderr" },
  yes: { short: "y", about: "also what would be asked about" },
  "no-color": { about: "no colour (also: NO_COLOR)" },
  help: { short: "h", about: "this text" },
};

export interface Parsed {
  command: Command | null;
  args: string[];
  flags: Record<string, FlagValue>;
}

/**
 * Reads a command line: global flags, the command (one or two words), then its flags and arguments in any order. `--` ends
 * the flags; `-` and negative numbers are arguments. Throws USAGE, with the nearest word, for what is not known.
 */
export function parseArguments(argv: readonly string[], commands: readonly Command[]): Parsed {
  const flags: Record<string, FlagValue> = {};
  const args: string[] = [];
  let command: Command | null = null;
  let at = 0;
  const takeValue = (name: string, flag: Flag, inline: string | undefined): FlagValue => {
    if (flag.value === undefined) {
      if (inline === undefined) return true;
      throw usage(`--${name} takes no value`, command);
    }
    if (inline !== undefined) return inline;
    if (flag.optionalValue) return true;
    const next = argv[at];
    if (next === undefined) throw usage(`--${name} needs a value: --${name} ${flag.value}`, command);
    at += 1;
    return next;
  };
  const set = (name: string, flag: Flag, value: FlagValue): void => {
    const before = flags[name];
    if (flag.many) flags[name] = [...(Array.isArray(before) ? before : []), String(value)];
    else flags[name] = value;
  };
  while (at < argv.length) {
    const word = argv[at++]!;
    if (word === "--") {
      args.push(...argv.slice(at));
      break;
    }
    if (word.startsWith("--")) {
      const [name, inline] = splitOnce(word.slice(2));
      const flag = command?.flags?.[name] ?? GLOBAL_FLAGS[name];
      if (!flag) throw unknownFlag(`--${name}`, command);
      set(name, flag, takeValue(name, flag, inline));
    } else if (/^-[^\d-]/.test(word)) {
      // `-qf FILE` and `-fFILE` mean what they mean elsewhere.
      for (let letterAt = 1; letterAt < word.length; letterAt++) {
        const found = byLetter(word[letterAt]!, command);
        if (!found) throw unknownFlag(`-${word[letterAt]}`, command);
        const [name, flag] = found;
        const rest = word.slice(letterAt + 1);
        const inline = flag.value !== undefined && rest !== "" ? rest.replace(/^=/, "") : undefined;
        set(name, flag, takeValue(name, flag, inline));
        if (inline !== undefined) break;
      }
    } else if (command === null) {
      const pair = `${word} ${argv[at] ?? ""}`;
      command = findCommand(pair, commands);
      if (command) at += 1;
      else command = findCommand(word, commands);
      if (!command) throw unknownCommand(word, argv[at], commands);
    } else args.push(word);
  }
  return { command, args, flags };
}

export function findCommand(name: string, commands: readonly Command[]): Command | null {
  return commands.find((command) => command.name === name || command.aliases?.includes(name)) ?? null;
}

function splitOnce(text: string): [string, string | undefined] {
  const equals = text.indexOf("=");
  return equals === -1 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)];
}

function byLetter(letter: string, command: Command | null): [string, Flag] | undefined {
  for (const table of [command?.flags ?? {}, GLOBAL_FLAGS]) {
    const found = Object.entries(table).find(([, flag]) => flag.short === letter);
    if (found) return found;
  }
  return undefined;
}

export function usage(what: string, command: Command | null, why?: string): BosunError {
  const fix = command ? `bosun ${command.name} --help` : "bosun help";
  return new BosunError({ code: "USAGE", what, ...(why && { why }), fix });
}

function unknownFlag(flag: string, command: Command | null): BosunError {
  const known = [...Object.keys(command?.flags ?? {}), ...Object.keys(GLOBAL_FLAGS)].map((name) => `--${name}`);
  const close = nearest(flag, known);
  return new BosunError({
    code: "USAGE",
    what: command ? `${command.name} has no flag ${flag}` : `there is no flag ${flag}`,
    ...(close && { why: `did you mean ${close}?` }),
    fix: command ? `bosun ${command.name} --help` : "bosun help",
  });
}

function unknownCommand(word: string, next: string | undefined, commands: readonly Command[]): BosunError {
  const family = commands.filter((command) => !command.hidden && command.name.startsWith(`${word} `));
  if (family.length > 0) {
    return new BosunError({
      code: "USAGE",
      what: next === undefined ? `${word} needs a second word` : `there is no command ${word} ${next}`,
      why: `one of ${family.map((command) => command.name.slice(word.length + 1)).join(", ")}`,
      fix: `bosun ${family[0]!.name}`,
    });
  }
  const close = nearest(
    word,
    commands.filter((command) => !command.hidden).flatMap((command) => [command.name, ...(command.aliases ?? [])]),
  );
  return new BosunError({
    code: "USAGE",
    what: `there is no command ${word}`,
    ...(close && { why: `did you mean ${close}?` }),
    fix: close ? `bosun ${close} --help` : "bosun help",
  });
}

/** A flag's value as a whole number, or undefined. Throws USAGE. */
export function numberOf(invocation: Invocation, flag: string, command: Command): number | undefined {
  const text = textOf(invocation, flag);
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw usage(`--${flag} ${text}`, command, "it needs a whole number");
}

/** A flag's value as a duration in milliseconds, or undefined. Throws USAGE. */
export function durationOf(invocation: Invocation, flag: string, command: Command): number | undefined {
  const text = textOf(invocation, flag);
  if (text === undefined) return undefined;
  const ms = durationMs(text);
  if (ms !== null) return ms;
  throw usage(`--${flag} ${text}`, command, "a duration is 500ms, 30s or 5m");
}

/** All words of a flag: given several times, or with commas between them. */
export function wordsOf(invocation: Invocation, flag: string): string[] {
  return listOf(invocation, flag).flatMap((text) =>
    text
      .split(",")
      .map((word) => word.trim())
      .filter((word) => word !== ""),
  );
}

/** All of standard input, where `-` stands for a text. */
export async function stdinText(): Promise<string> {
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) text += chunk;
  return text;
}
