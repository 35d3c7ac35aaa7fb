import module from "node:module";

if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(
    `error: bosun needs Node.js 24 or newer; this is ${process.versions.node} [environment]\n  try           https://nodejs.org, or bin/bosun of a checkout, which brings its own\n`,
  );
  process.exit(6);
}
// The program itself is behind a second import, so that its compiled form comes from the cache: a third of the start.
module.enableCompileCache();
await import("./cli.js");
