import { run } from "../cli/run.ts";

process.exitCode = await run(process.argv.slice(2), import.meta.dirname);
// An open socket to the coordinator is no reason to stay once the command is done.
process.exit();
