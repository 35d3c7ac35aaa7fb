import { z } from "zod";
import { BosunError } from "./error.ts";

/**
 * Ids of agents, users, rooms, rigs: letters, digits, `_`, `.` and `-`, at most 64 characters, no leading `-` or `.`.
 * The set that passes tmux, a shell, a file name and a URL unchanged.
 */
export const ID_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;

export const Id = z.string().regex(ID_PATTERN, "letters, digits, _ . and -, at most 64, not starting with - or .");

/**
 * Where an agent lives in the floor plan: `town/rig/agent`, or `town/agent` for a town-level agent. An address outlives the
 * sessions that fill it: mail goes to addresses, never to session ids.
 */
export type Address = string & { readonly __address: true };

/** Throws BAD_ADDRESS when `text` is not two or three ids joined by "/". */
export function parseAddress(text: string): Address {
  const words = text.split("/");
  if (words.length >= 2 && words.length <= 3 && words.every((word) => ID_PATTERN.test(word))) return text as Address;
  throw new BosunError({
    code: "BAD_ADDRESS",
    what: `"${text}" is not an address`,
    why: "an address is town/agent or town/rig/agent",
    fix: "list the addresses you can use with `bosun status --json`",
  });
}
