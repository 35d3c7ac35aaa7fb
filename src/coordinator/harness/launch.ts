import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Given, HARNESSES, type Harness, quoted } from "./harness.ts";

/** Folder of the shims, put first on the PATH of panes whose agent is to have our tools and hooks. */
export function harnessFolder(stateFolder: string): string {
  return join(stateFolder, "harness");
}

/** The harness an agent is, by the type its plan gives or by the program its command line starts; or null. */
export function harnessOf(type: string, run: string | null): Harness | null {
  const program = run === null ? "" : (firstProgram(run).split("/").at(-1) ?? "");
  return (
    HARNESSES.find((harness) => harness.command === program) ??
    HARNESSES.find((harness) => harness.types.includes(type.toLowerCase())) ??
    null
  );
}

/** The first word that is no assignment, `env` or `exec`. */
function firstProgram(run: string): string {
  return run.split(/\s+/).find((word) => word !== "" && !/^(\w+=.*|env|exec)$/.test(word)) ?? "";
}

/**
 * Writes one shim per harness, and the files they point at. A shim finds the next program of its name on the PATH, adds our
 * server for this run, and becomes that program.
 */
export function writeHarnessShims(stateFolder: string, cli: { node: string; script: string }): void {
  const folder = harnessFolder(stateFolder);
  const config = join(folder, "config");
  mkdirSync(config, { recursive: true, mode: 0o700 });
  const given: Given = {
    server: { command: cli.node, args: [cli.script, "mcp"] },
    hook: [cli.node, cli.script, "hook"],
  };
  const file = (name: string, text: string): string => {
    writeFileSync(join(config, name), text, { mode: 0o600 });
    return join(config, name);
  };
  for (const harness of HARNESSES) {
    const path = join(folder, harness.command);
    writeFileSync(path, shim(harness, folder, harness.args(given, file), harness.env(given, file)), { mode: 0o755 });
  }
}

function shim(harness: Harness, folder: string, args: string[], env: Record<string, string>): string {
  const exports = Object.entries(env).map(
    ([name, value]) => `if [ -z "\${${name}+set}" ]; then ${name}=${quoted(value)}; export ${name}; fi`,
  );
  return `#!/bin/sh
# Starts ${harness.command} with bosun's tools and hooks, for this run only. Written anew at each start of the coordinator.
own=${quoted(folder)}
path=
IFS=:
for each in $PATH; do
  [ "$each" = "$own" ] || path="\${path:+$path:}$each"
done
unset IFS
PATH=$path
export PATH
if ! command -v ${harness.command} >/dev/null 2>&1; then
  echo "${harness.command}: not found on PATH" >&2
  exit 127
fi
${exports.join("\n")}
exec ${[harness.command, ...args.map(quoted)].join(" ")} "$@"
`;
}
