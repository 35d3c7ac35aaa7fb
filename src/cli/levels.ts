import type { LEVELS } from "../protocol/room.ts";

/** The same words as the declaration, whose module would bring a schema library into every start. The type keeps them equal. */
export const LEVEL_WORDS: typeof LEVELS = ["debug", "info", "warn", "alert"];
