import type { Connection } from "../client/connection.ts";
import { BosunError } from "../protocol/error.ts";
import { Console } from "./console.ts";

/** Runs the console on this process's terminal until somebody leaves, or the coordinator goes. */
export async function openConsole(connection: Connection, town: string, colour: boolean): Promise<void> {
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY) {
    throw new BosunError({
      code: "USAGE",
      what: "the console needs a terminal",
      why: "standard input and output are not one",
      fix: "bosun ls   and bosun status print; bosun help shows all",
    });
  }
  let leave = (): void => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const console_ = new Console(
    connection,
    {
      columns: () => stdout.columns,
      rows: () => stdout.rows,
      write: (text) => void stdout.write(text),
      colour,
    },
    town,
    leave,
  );
  // Another screen, bracketed pastes; both are given back whatever happens.
  stdout.write("\x1b[?1049h\x1b[?2004h\x1b[2J");
  const restore = (): void => void stdout.write("\x1b[?2004l\x1b[?25h\x1b[m\x1b[?1049l");
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  const onInput = (text: string): void => console_.input(text);
  stdin.on("data", onInput);
  stdout.on("resize", () => console_.resized());
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, leave);
  try {
    await console_.start();
    await Promise.race([left, connection.closed]);
  } finally {
    stdin.off("data", onInput);
    stdin.setRawMode(false);
    stdin.pause();
    restore();
  }
}
