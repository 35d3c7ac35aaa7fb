import module from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../cli/run.ts";

module.enableCompileCache();
process.exitCode = await run(process.argv.slice(2), dirname(fileURLToPath(import.meta.url)));
// An open socket to the coordinator is no reason to stay once the command is done.
process.exit();
