import type { Dispatch } from "./dispatch.ts";
import type { Town } from "./town.ts";

/** Shared memory and leases as operations. */
export function registerRemember(_dispatch: Dispatch, _town: Town): { close(): void } {
  return { close() {} };
}
