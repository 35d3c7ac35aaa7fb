import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: ["test/build-once.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    maxWorkers: 2,
    // Real processes on a machine shared with others: one that stalls is tried again there. At a desk a failure is a failure.
    retry: process.env["CI"] ? 2 : 0,
    reporters: process.env["CI"] ? ["default"] : ["dot"],
  },
});
