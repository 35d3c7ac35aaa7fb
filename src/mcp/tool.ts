import { z } from "zod";
import type { ErrorBody } from "../protocol/error.ts";
import type { Guest } from "./guest.ts";

/** All that a result says; the text is made from it, so that both channels carry the same. */
export type Facts = Record<string, unknown>;

/** What hosts may believe about a tool; all four, because a missing one is read as the worst. */
export interface Hints {
  readOnlyHint: boolean;
  destructiveHint: boolean;
  idempotentHint: boolean;
  openWorldHint: boolean;
}

/** Nothing here reaches beyond the town, so `openWorldHint` is false in all of them. */
const LOCAL = { openWorldHint: false } as const;
export const READS: Hints = { readOnlyHint: true, destructiveHint: false, idempotentHint: true, ...LOCAL };
export const ADDS: Hints = { readOnlyHint: false, destructiveHint: false, idempotentHint: false, ...LOCAL };
export const SETS: Hints = { readOnlyHint: false, destructiveHint: false, idempotentHint: true, ...LOCAL };
export const REPLACES: Hints = { readOnlyHint: false, destructiveHint: true, idempotentHint: false, ...LOCAL };

export interface Tool {
  name: string;
  /** One line for the model. */
  about: string;
  hints: Hints;
  input: z.ZodObject;
  /** What to call when the operation behind it refuses, by error code. */
  next?: Partial<Record<ErrorBody["code"], string>>;
  /** May end with the line about unread mail; `false` where the answer is about mail itself. */
  mailLine?: false;
  /** The text of the original server: its facts as JSON. */
  asJson?: true;
  run(input: never, guest: Guest): Promise<Facts>;
}

/** Ties the type of `run` to its schema. */
export function tool<Input extends z.ZodObject>(
  definition: Omit<Tool, "input" | "run"> & {
    input: Input;
    run(input: z.output<Input>, guest: Guest): Promise<Facts>;
  },
): Tool {
  return definition as unknown as Tool;
}

/** A page's mark: opaque to the model, a number or a text to the operation. */
export const Cursor = z.string().max(4096).optional();
export const Limit = z.number().int().min(1).max(200).optional();
export const MaxChars = z.number().int().min(0).max(65_536).optional();
/** Characters of a body that are given without being asked for more. */
export const MAX_CHARS = 2_000;
/** Some hosts give up on a call after 60 s. */
export const WaitS = z.number().min(0).max(50).optional();

/** The fields that have a value: an absent one costs the model nothing. */
export function present(fields: Facts): Facts {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}

/** Seconds since an RFC 3339 time, or undefined for none. */
export function ageS(time: string | null | undefined): number | undefined {
  if (!time) return undefined;
  return Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
}
