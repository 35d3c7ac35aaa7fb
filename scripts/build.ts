/** Bundles the processes of `src/main` and the two library entries into `dist/`; a fifth of a second. */
import { chmod, mkdir, readdir, rm } from "node:fs/promises";
import { build } from "esbuild";

await mkdir("dist", { recursive: true });
const shared = {
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  outdir: "dist",
  logLevel: "warning",
  // yaml and pino are CommonJS inside; bundled as ESM they still ask for `require`.
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
} as const;

await build({
  ...shared,
  banner: { js: "#!/usr/bin/env node" },
  // jsonc-parser is an ES module only by this field.
  mainFields: ["module", "main"],
  entryPoints: { bosun: "src/main/bosun.ts", cli: "src/main/cli.ts" },
  external: ["./cli.js"],
  minify: true,
});
await build({
  ...shared,
  entryPoints: { coordinator: "src/main/coordinator.ts", plan: "src/main/plan.ts" },
  external: ["./daemon.js"],
  minifyWhitespace: true,
});
// HTTP is loaded by a coordinator that needs it. What both use is in a third file, so that it is there once: an error of the
// one is the same class in the other.
for (const name of await readdir("dist")) if (/^shared-/.test(name)) await rm(`dist/${name}`);
await build({
  ...shared,
  entryPoints: { daemon: "src/main/daemon.ts", http: "src/main/http.ts" },
  splitting: true,
  chunkNames: "shared-[hash]",
  external: ["@nats-io/transport-node"],
  minifyWhitespace: true,
});
await build({
  ...shared,
  entryPoints: { mcp: "src/main/mcp.ts", console: "src/main/console.ts" },
  minifyWhitespace: true,
});
// Each provider of models is loaded when a conversation is with one of its models.
for (const name of await readdir("dist")) if (/^chat-/.test(name)) await rm(`dist/${name}`);
await build({
  ...shared,
  entryPoints: { chat: "src/main/chat.ts" },
  splitting: true,
  chunkNames: "chat-[hash]",
  minifyWhitespace: true,
});
await build({
  ...shared,
  entryPoints: { index: "src/client/index.ts", protocol: "src/protocol/index.ts" },
  external: ["zod"],
});
await chmod("dist/bosun.js", 0o755);
if (process.argv.includes("--clean")) await rm("dist", { recursive: true });
