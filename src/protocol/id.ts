/**
 * Ids of agents, users, rooms, rigs, towns: letters, digits, `_`, `.` and `-`, at most 64 characters, no leading `-` or `.`.
 * The set that passes tmux, a shell, a file name and a URL unchanged.
 */
export const ID_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;

/**
 * The UUID of version 7 (RFC 9562) for a moment, from a random one of version 4: 48 bits of milliseconds, 74 random ones. Ids
 * made so sort by when they were made; where they are the key of a table, new ones come to lie side by side, which spares a
 * commit a third of its pages.
 */
export function timedId(random: string, ms: number): string {
  const time = ms.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(15)}`;
}
