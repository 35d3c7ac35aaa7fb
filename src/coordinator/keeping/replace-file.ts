import { existsSync, mkdirSync, realpathSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Whole or not at all, also after a crash; a link stays a link, and the mode stays as it is. */
export function replaceFile(file: string, text: string): void {
  const target = existsSync(file) ? realpathSync(file) : file;
  const known = statSync(target, { throwIfNoEntry: false });
  if (!known) mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  const scratch = `${target}.${process.pid}.new`;
  writeFileSync(scratch, text, { mode: known ? known.mode & 0o777 : 0o600, flush: true });
  renameSync(scratch, target);
}
