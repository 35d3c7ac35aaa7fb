/** Bundles the processes of `src/main` and the two library entries into `dist/`; a fifth of a second. */
import { chmod, mkdir, rm } from "node:fs/promises";
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
  entryPoints: { bosun: "src/main/bosun.ts", cli: "src/main/cli.ts" },
  external: ["./cli.js"],
  minify: true,
});
await build({
  ...shared,
  entryPoints: { coordinator: "src/main/coordinator.ts", daemon: "src/main/daemon.ts", plan: "src/main/plan.ts" },
  external: ["@nats-io/transport-node", "./daemon.js"],
  minifyWhitespace: true,
});
await build({
  ...shared,
  entryPoints: { index: "src/client/index.ts", protocol: "src/protocol/index.ts" },
  external: ["zod"],
});
await chmod("dist/bosun.js", 0o755);
if (process.argv.includes("--clean")) await rm("dist", { recursive: true });
