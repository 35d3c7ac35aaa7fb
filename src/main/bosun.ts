import module from "node:module";

// The program itself is behind a second import, so that its compiled form comes from the cache: a third of the start.
module.enableCompileCache();
await import("./cli.js");
