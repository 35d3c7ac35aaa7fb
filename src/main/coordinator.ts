import module from "node:module";

// As in bosun.ts: the daemon is a large program, and its compiled form comes from the cache.
module.enableCompileCache();
await import("./daemon.js");
