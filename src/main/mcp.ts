import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startCoordinator } from "../client/autostart.ts";
import { findPlaceAnywhere } from "../client/place.ts";
import { StdioGuest, serveOverStdio } from "../mcp/stdio.ts";
import { PROFILES, type Profile } from "../mcp/tools.ts";
import { BosunError, exitCodeOf, toErrorBody } from "../protocol/error.ts";

/** Standard output belongs to the protocol, whatever the level. */
function say(level: string, text: string): void {
  if (level === "info" || process.env.BOSUN_LOG === "debug") process.stderr.write(`bosun mcp: ${text}\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { profile: { type: "string", default: "full" }, town: { type: "string" } } });
  if (!(values.profile in PROFILES)) {
    throw new BosunError({
      code: "USAGE",
      what: "there is no such profile",
      fix: "the profiles are full, core and original",
    });
  }
  // Whatever a library prints while it works must not get between two answers.
  for (const name of ["log", "info", "debug"] as const)
    console[name] = (...words: unknown[]) => console.error(...words);
  const here = findPlaceAnywhere({ town: values.town });
  const version = (
    JSON.parse(readFileSync(join(import.meta.dirname, "../package.json"), "utf8")) as { version: string }
  ).version;
  const reach = async (): Promise<void> => {
    await startCoordinator(join(import.meta.dirname, "coordinator.js"), here);
  };
  say("debug", `town ${here.town}, socket ${here.socket}`);
  const guest = new StdioGuest(here, reach, process.env.BOSUN_ROOM ?? null);
  await serveOverStdio(guest, values.profile as Profile, version, (text) => say("debug", text));
}

try {
  await main();
  process.exit(0);
} catch (error) {
  const { code, what, why, fix } = toErrorBody(error);
  say("info", [what, why, fix].filter(Boolean).join(": "));
  process.exit(exitCodeOf(code));
}
