import { join } from "node:path";
import { isatty } from "node:tty";
import type { Place } from "../../client/place.ts";
import { BosunError, type ErrorBody } from "../../protocol/error.ts";
import type { Command } from "../command.ts";

/** What `console.js` holds; it is a file of its own, so that no other command loads it. */
interface ConsoleModule {
  run(place: Place, program: string, colour: boolean): Promise<void>;
}

const console_: Command = {
  name: "console",
  group: "session",
  anywhere: true,
  ops: ["session.roster", "screen.watch", "session.switch", "session.type"],
  summary: "All sessions on one screen: who needs you, the one you look at, a line to type (also: bosun alone)",
  examples: ["bosun", "bosun console --town moo"],
  async run(invocation) {
    if (!isatty(0) || !isatty(1)) {
      throw new BosunError({
        code: "USAGE",
        what: "the console needs a terminal",
        why: "standard input and output are not one",
        fix: "bosun ls   and bosun status print; bosun help shows all",
      });
    }
    const file = join(invocation.distFolder, "console.js");
    const { run }: ConsoleModule = await import(process.getBuiltinModule("node:url").pathToFileURL(file).href);
    const plain = process.env.NO_COLOR !== undefined && process.env.NO_COLOR !== "";
    const colour = invocation.out.wish.colour && !plain;
    try {
      await run(invocation.place(), join(invocation.distFolder, "coordinator.js"), colour);
    } catch (error) {
      // Of the other file's class: the same in all but name.
      const body = (error as { body?: ErrorBody }).body;
      throw body ? new BosunError(body) : error;
    }
    return 0;
  },
};

export const CONSOLE_COMMANDS = [console_];
