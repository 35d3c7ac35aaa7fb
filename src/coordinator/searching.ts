import type { Dispatch } from "./dispatch.ts";
import type { Town } from "./town.ts";

/** Full-text search; its index is filled behind the log and can be deleted at any time. */
export function registerSearch(_dispatch: Dispatch, _town: Town): { close(): void } {
  return { close() {} };
}
