import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

export interface Lock {
  release(): void;
}

/**
 * One coordinator per town: an exclusive SQLite transaction that is held as long as the process lives. The kernel drops it
 * when the process dies, however it dies, so there is no stale lock to clear and no process id to trust. Null = another
 * coordinator holds it.
 */
export function takeLock(stateFolder: string): Lock | null {
  mkdirSync(stateFolder, { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(join(stateFolder, "lock.db"));
  try {
    database.exec("PRAGMA busy_timeout = 0");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) return null;
    throw error;
  }
  return {
    release() {
      database.exec("ROLLBACK");
      database.close();
    },
  };
}
