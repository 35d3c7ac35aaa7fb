import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { BosunError } from "../protocol/error.ts";

const run = promisify(execFile);

export interface Worktree {
  folder: string;
  branch: string;
  /** Root of the repository it belongs to. */
  repository: string;
}

/** A git worktree of the repository around `cwd`, on a branch of its own from what is checked out there. Throws USAGE. */
export async function addWorktree(cwd: string, parent: string, name: string): Promise<Worktree> {
  const branch = `bosun/${name}`;
  const folder = join(parent, name);
  try {
    const repository = (await git(cwd, "rev-parse", "--show-toplevel")).trim();
    await git(repository, "worktree", "add", "-b", branch, folder);
    return { folder, branch, repository };
  } catch (error) {
    throw new BosunError({
      code: "USAGE",
      what: `no worktree for ${name}`,
      why: lastLine(error),
      fix: "a worktree needs a git repository with a commit; leave --worktree away to start in the folder itself",
    });
  }
}

/**
 * Removes a worktree and its branch when nothing of it would be lost: no changes that are not committed, and the branch merged
 * into what its repository has checked out; with `drop` also an unmerged branch. Says what became of it.
 */
export async function removeWorktree({ folder, branch, repository }: Worktree, drop: boolean): Promise<string> {
  try {
    const changes = (await git(folder, "status", "--porcelain")).trim();
    if (changes !== "" && !drop) return `kept: ${folder} has changes that are not committed`;
    const merged = await git(repository, "merge-base", "--is-ancestor", branch, "HEAD").then(
      () => true,
      () => false,
    );
    if (!merged && !drop) return `kept: ${branch} is not merged`;
    await git(repository, "worktree", "remove", ...(drop ? ["--force"] : []), folder);
    await git(repository, "branch", drop ? "-D" : "-d", branch);
    return `removed: ${branch} ${merged ? "was merged" : "was given up"}`;
  } catch (error) {
    return `kept: ${lastLine(error)}`;
  }
}

async function git(cwd: string, ...args: string[]): Promise<string> {
  return (await run("git", ["-C", cwd, ...args], { encoding: "utf8" })).stdout;
}

function lastLine(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  return (stderr || message).trim().split("\n").at(-1)!;
}
