/**
 * Ids of agents, users, rooms, rigs, towns: letters, digits, `_`, `.` and `-`, at most 64 characters, no leading `-` or `.`.
 * The set that passes tmux, a shell, a file name and a URL unchanged.
 */
export const ID_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;
