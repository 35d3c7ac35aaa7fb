import type { Connection } from "../client/connection.ts";
import type { OperationName } from "../client/operations.gen.ts";
import type { Place } from "../client/place.ts";
import type { Output } from "./output.ts";

export interface Flag {
  /** One letter, typed with one dash. */
  short?: string;
  /** Placeholder of its value in help (`N`); without it the flag is a switch. */
  value?: string;
  /** May be given several times. */
  many?: boolean;
  /** The value may be left out: `--json` and `--json=a,b`. */
  optionalValue?: boolean;
  /** Help text; without it the description of the field of the command's operation with the flag's camelCase name. */
  about?: string;
}

export type FlagValue = string | true | string[];

export interface Command {
  /** One or two words: `feed`, `view open`. */
  name: string;
  /** Other spellings. */
  aliases?: string[];
  /** What stands behind the name in help: `ROOM…`. */
  args?: string;
  group: "plan" | "look" | "session" | "room" | "message" | "agent" | "mail" | "memory" | "book" | "keep" | "shell";
  /** Operations it calls; help and tests read them. The first gives summary and flag texts. */
  ops?: OperationName[];
  summary?: string;
  flags?: Record<string, Flag>;
  examples?: string[];
  /** Needs no floor plan: where nothing names a town it means the town `default`. */
  anywhere?: boolean;
  /** Not shown in the overview. */
  hidden?: boolean;
  run(invocation: Invocation): Promise<number> | number;
}

export interface PlaceWish {
  /** As the command's own `anywhere`. */
  anywhere?: boolean;
}

export interface ConnectWish extends PlaceWish {
  start?: boolean;
  /** Another town than the one that is meant here. */
  town?: string;
  /** The registered agent to speak as; without it the one of `--as`, else oneself. */
  as?: string;
}

/** One call of the program, after reading its arguments. */
export interface Invocation {
  args: string[];
  /** Flags that were given, by long name. */
  flags: Readonly<Record<string, FlagValue>>;
  out: Output;
  /** Folder of the bundles (`coordinator.js`, `plan.js`) and its parent (`presets/`, `examples/`). */
  distFolder: string;
  /** Which town is meant. Throws NOT_FOUND when nothing names one. */
  place(options?: PlaceWish): Place;
  /** Connects, starting the coordinator when it does not run; with `start: false` that is UNREACHABLE instead. */
  connect(options?: ConnectWish): Promise<Connection>;
}

/** A flag's value as text, or undefined. */
export function textOf(invocation: Invocation, flag: string): string | undefined {
  const value = invocation.flags[flag];
  return typeof value === "string" ? value : undefined;
}

/** All values of a flag that may be repeated. */
export function listOf(invocation: Invocation, flag: string): string[] {
  const value = invocation.flags[flag];
  return Array.isArray(value) ? value : [];
}

export function isSet(invocation: Invocation, flag: string): boolean {
  return invocation.flags[flag] !== undefined;
}
