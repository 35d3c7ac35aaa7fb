import { basename, dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { importGastown } from "../coordinator/plan/import/gastown.ts";
import { importProcfile } from "../coordinator/plan/import/procfile.ts";
import { importTmuxinator } from "../coordinator/plan/import/tmuxinator.ts";
import { importTmuxp } from "../coordinator/plan/import/tmuxp.ts";
import { readPlan } from "../coordinator/plan/read.ts";
import { listeningPaths } from "../coordinator/tmux/other-servers.ts";
import { readPlanFile } from "../coordinator/town.ts";
import { BosunError, exitCodeOf, toErrorBody } from "../protocol/error.ts";

/**
 * Work on floor plan files that needs no coordinator: `plan check FILE`, `plan import KIND FILE`, `plan import
 * gastown FOLDER`. One JSON document on
 * stdout, `{"ok": …}` or `{"error": …}`; the command line prints it for people.
 */
function main(): unknown {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { town: { type: "string" } } });
  const [verb, first, second] = positionals;
  if (verb === "check") {
    const file = resolve(first ?? "floorplan.yaml");
    const town = { name: values.town ?? basename(dirname(file)), from: "folder" };
    return readPlan({
      text: readPlanFile(file),
      file,
      town: values.town ? town : undefined,
      readFile: readPlanFile,
      env: process.env,
    });
  }
  if (verb === "import") {
    if (first === "gastown" && second !== undefined)
      return importGastown(second, { env: process.env, uid: process.getuid!(), listening: listeningPaths() });
    const importer = { tmuxp: importTmuxp, tmuxinator: importTmuxinator, procfile: importProcfile }[first ?? ""];
    if (!importer || second === undefined) throw unsupported(first ?? "");
    return importer(readPlanFile(resolve(second)), second);
  }
  throw new BosunError({ code: "USAGE", what: `plan ${verb ?? ""}`, why: "it knows check and import" });
}

function unsupported(kind: string): BosunError {
  const gastown = /gas-?town|gt|beads/i.test(kind);
  return new BosunError({
    code: "USAGE",
    what: gastown ? "Gas Town mail and nudges cannot be imported or bridged" : `there is no importer for "${kind}"`,
    why: gastown
      ? "its mail lives in a store of its own (beads), which bosun does not read"
      : "it knows tmuxp, tmuxinator, procfile and gastown",
    fix: gastown
      ? "bosun import gastown DIR   takes its sessions over; agents then use bosun send and bosun inbox"
      : "bosun import tmuxp FILE",
  });
}

try {
  process.stdout.write(`${JSON.stringify({ ok: main() })}\n`);
} catch (error) {
  const body = toErrorBody(error);
  process.stdout.write(`${JSON.stringify({ error: body })}\n`);
  process.exitCode = exitCodeOf(body.code);
}
