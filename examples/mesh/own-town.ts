import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../src/client/index.ts";

/** Runs an example in a town of its own, in a folder of its own; nothing of it is left afterwards. */
export async function inOwnTown(example: () => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bosun-mesh-"));
  process.chdir(folder);
  delete process.env.BOSUN_SOCKET;
  delete process.env.BOSUN_TOKEN_FILE;
  Object.assign(process.env, {
    BOSUN_HOME: folder,
    BOSUN_TOWN: "mesh",
    BOSUN_TMUX_SOCKET: `bosun-mesh-${process.pid}`,
  });
  try {
    await example();
  } finally {
    const connection = await connect();
    const { pid } = await connection.call("coordinator.stop", {});
    while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // ESRCH: it has gone.
    return false;
  }
}
