import module from "node:module";

// The program itself is behind a second import, so that its compiled form comes from the cache: a third of the start.
module.enableCompileCache();
// @ts-expect-error made by the build beside this file
await import("./cli.js");
