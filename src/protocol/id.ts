/**
 * Ids of agents, users, rooms, rigs, towns: letters, digits, `_`, `.` and `-`, at most 64 characters, no leading `-` or `.`.
 * The set that passes tmux, a shell, a file name and a URL unchanged.
 */
export const ID_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;

/**
 * A new id that sorts by when it was made: a UUID of version 7 (RFC 9562), 48 bits of milliseconds and 74 random ones. Where
 * ids are the key of a table, new ones come to lie side by side, which costs a commit a third of the pages.
 */
export function newId(): string {
  const random = crypto.randomUUID();
  const ms = Date.now().toString(16).padStart(12, "0");
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7${random.slice(15)}`;
}
