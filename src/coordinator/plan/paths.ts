import { isAbsolute, resolve } from "node:path";

/** An absolute path: `~` is the home folder, anything relative starts from the plan's folder. */
export function pathFrom(folder: string, path: string, env: Record<string, string | undefined>): string {
  if (path === "~" || path.startsWith("~/")) return resolve(env.HOME ?? "/", path.slice(2));
  return isAbsolute(path) ? path : resolve(folder, path);
}
