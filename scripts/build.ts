/** Bundles the processes of `src/main` and the two library entries into `dist/`; a fifth of a second. */
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { type BuildOptions, build as esbuild } from "esbuild";

await mkdir("dist", { recursive: true });
const made = new Set<string>();

/** A file that says the same stays as it is, another takes its place at once: programs may be running from here. */
async function build(options: BuildOptions): Promise<void> {
  const { outputFiles } = await esbuild({ ...options, write: false });
  for (const { path, contents } of outputFiles) {
    made.add(basename(path));
    const there = await readFile(path).catch(() => null);
    if (there?.equals(contents)) continue;
    await writeFile(`${path}.new`, contents);
    if (basename(path) === "bosun.js") await chmod(`${path}.new`, 0o755);
    await rename(`${path}.new`, path);
  }
}

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
  entryPoints: { coordinator: "src/main/coordinator.ts", plan: "src/main/plan.ts", servers: "src/main/servers.ts" },
  external: ["./daemon.js"],
  minifyWhitespace: true,
});
// HTTP is loaded by a coordinator that needs it. What both use is in a third file, so that it is there once: an error of the
// one is the same class in the other.
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
// Parts are called after what is in them: those of an earlier build are nobody's any more.
for (const name of await readdir("dist")) if (/^(shared|chat)-/.test(name) && !made.has(name)) await rm(`dist/${name}`);
if (process.argv.includes("--clean")) await rm("dist", { recursive: true });
