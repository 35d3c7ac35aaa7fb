import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isatty } from "node:tty";
import { startCoordinator } from "../client/autostart.ts";
import { type Connection, openConnection, readToken } from "../client/connection.ts";
import { findPlace, findPlaceAnywhere, type Place } from "../client/place.ts";
import { BosunError, exitCodeOf, toErrorBody } from "../protocol/error.ts";
import { findCommand, parseArguments, usage } from "./arguments.ts";
import type { Command, FlagValue, Invocation, PlaceWish } from "./command.ts";
import { AGENT_COMMANDS } from "./commands/agent.ts";
import { BENCH_COMMANDS } from "./commands/bench.ts";
import { BOOK_COMMANDS } from "./commands/book.ts";
import { CHAT_COMMANDS } from "./commands/chat.ts";
import { CONSOLE_COMMANDS } from "./commands/console.ts";
import { DOCTOR_COMMANDS } from "./commands/doctor.ts";
import { FIGURE_COMMANDS } from "./commands/figures.ts";
import { GHOST_COMMANDS } from "./commands/ghost.ts";
import { HOOK_COMMANDS } from "./commands/hooks.ts";
import { KEEP_COMMANDS } from "./commands/keep.ts";
import { LOOK_COMMANDS } from "./commands/look.ts";
import { MAIL_COMMANDS } from "./commands/mail.ts";
import { MCP_COMMANDS } from "./commands/mcp.ts";
import { MEMORY_COMMANDS } from "./commands/memory.ts";
import { MESSAGE_COMMANDS } from "./commands/message.ts";
import { MOVING_COMMANDS } from "./commands/moving.ts";
import { OPENED_COMMANDS } from "./commands/opened.ts";
import { PLAN_COMMANDS } from "./commands/plan.ts";
import { ROOM_COMMANDS } from "./commands/room.ts";
import { SERVICE_COMMANDS } from "./commands/service.ts";
import { SESSION_COMMANDS } from "./commands/session.ts";
import { SHELL_COMMANDS } from "./commands/shell.ts";
import { TASK_COMMANDS } from "./commands/task.ts";
import { WATCH_COMMANDS } from "./commands/watch.ts";
import { completion, helpOf, overview } from "./help.ts";
import { Output } from "./output.ts";
import { printError } from "./print-error.ts";
import { withTown } from "./towns.ts";

export const COMMANDS: readonly Command[] = [
  ...PLAN_COMMANDS,
  ...LOOK_COMMANDS,
  ...GHOST_COMMANDS,
  ...WATCH_COMMANDS,
  ...CONSOLE_COMMANDS,
  ...OPENED_COMMANDS,
  ...CHAT_COMMANDS,
  ...SESSION_COMMANDS,
  ...FIGURE_COMMANDS,
  ...BOOK_COMMANDS,
  ...DOCTOR_COMMANDS,
  ...SERVICE_COMMANDS,
  ...KEEP_COMMANDS,
  ...ROOM_COMMANDS,
  ...MESSAGE_COMMANDS,
  ...AGENT_COMMANDS,
  ...MAIL_COMMANDS,
  ...TASK_COMMANDS,
  ...MEMORY_COMMANDS,
  ...MOVING_COMMANDS,
  ...BENCH_COMMANDS,
  ...MCP_COMMANDS,
  ...HOOK_COMMANDS,
  ...SHELL_COMMANDS,
];

/** Runs one command line and gives its exit code. `distFolder` holds this program and those it starts. */
export async function run(argv: readonly string[], distFolder: string): Promise<number> {
  let out = new Output({ json: false, fields: null, plain: false, quiet: false, colour: false });
  try {
    const [first, second] = argv;
    if (first === "--version" || first === "version") return print(out, [versionOf(distFolder)]);
    if (first === "help" || (argv.length === 0 && !(isatty(0) && isatty(1))))
      return help(argv.slice(1), out, distFolder);
    if (first === "completion") return complete(second ?? "", out);
    const { command, args, flags } = parseArguments(argv.length === 0 ? ["console"] : argv, COMMANDS);
    out = new Output(wishOf(flags));
    if (!command || "help" in flags) return command ? print(out, helpOf(command)) : help([], out, distFolder);
    const invocation = invocationOf(command, args, flags, out, distFolder);
    try {
      return await command.run(invocation);
    } catch (error) {
      throw await withTown(error, command, invocation);
    }
  } catch (error) {
    const body = toErrorBody(error);
    printError(body, out);
    return exitCodeOf(body.code);
  }
}

function print(out: Output, lines: string[]): number {
  out.lines(lines);
  return 0;
}

function help(words: readonly string[], out: Output, distFolder: string): number {
  const name = words.join(" ");
  if (name === "") return print(out, overview(COMMANDS, versionOf(distFolder)));
  const command =
    findCommand(name, COMMANDS) ??
    COMMANDS.find((each) => each.name.startsWith(`${name} `)) ??
    parseArguments([name], COMMANDS).command;
  return print(out, command ? helpOf(command) : overview(COMMANDS, versionOf(distFolder)));
}

function complete(shell: string, out: Output): number {
  const script = completion(shell, COMMANDS);
  if (script === null) throw usage(`completion for "${shell}"`, null, "the shells are bash, zsh and fish");
  out.write(script);
  return 0;
}

function wishOf(flags: Record<string, FlagValue>) {
  const { json } = flags;
  const env = process.env;
  const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== "0";
  const terminal = isatty(1) && env.TERM !== "dumb";
  return {
    json: json !== undefined,
    fields: typeof json === "string" && json !== "" ? json.split(",") : null,
    plain: "plain" in flags,
    quiet: "quiet" in flags,
    colour: !("no-color" in flags) && !env.NO_COLOR && (forced || terminal),
  };
}

function invocationOf(
  command: Command,
  args: string[],
  flags: Record<string, FlagValue>,
  out: Output,
  distFolder: string,
): Invocation {
  let place: Place | null = null;
  const where = ({ anywhere = command.anywhere ?? false }: PlaceWish = {}): Place => {
    const named = { file: flags.file as string | undefined, town: flags.town as string | undefined };
    place ??= anywhere ? findPlaceAnywhere(named) : findPlace(named);
    return place;
  };
  return {
    args,
    flags,
    out,
    distFolder,
    place: where,
    connect: ({ start = true, as = flags.as as string | undefined, town, ...wish } = {}) =>
      connect(town === undefined ? where(wish) : findPlace({ town }), distFolder, start, as),
  };
}

/** A coordinator that is just leaving, or just coming, is met again a moment later. */
const ATTEMPTS = 3;

async function connect(place: Place, distFolder: string, start: boolean, as: string | undefined): Promise<Connection> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await openConnection(place.socket, readToken(place.tokenFile), as);
    } catch (error) {
      const silent = error instanceof BosunError && error.code === "UNREACHABLE";
      if (!silent || !start || place.given || attempt >= ATTEMPTS) throw error;
      await startCoordinator(join(distFolder, "coordinator.js"), place);
    }
  }
}

function versionOf(distFolder: string): string {
  return (JSON.parse(readFileSync(join(distFolder, "../package.json"), "utf8")) as { version: string }).version;
}
