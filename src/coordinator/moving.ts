import type { Dispatch } from "./dispatch.ts";
import type { Town } from "./town.ts";

/** Records of other systems moving in, with their own times and ids. */
export function registerMoving(_dispatch: Dispatch, _town: Town): void {}
