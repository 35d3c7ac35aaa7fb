import type { Dispatch } from "./dispatch.ts";
import type { Town } from "./town.ts";

/** Figures of the hub: statistics, a report per agent, the status beacon. */
export function registerFigures(_dispatch: Dispatch, _town: Town): { close(): void } {
  return { close() {} };
}
