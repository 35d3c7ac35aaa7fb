/** One key as the console knows it, or text that was typed or pasted. */
export type Key = { key: string } | { text: string };

const NAMED: Record<string, string> = {
  "\r": "enter",
  "\n": "enter",
  "\t": "tab",
  "\x7f": "backspace",
  "\b": "backspace",
  "\x1b": "escape",
  "\x1b[A": "up",
  "\x1b[B": "down",
  "\x1b[C": "right",
  "\x1b[D": "left",
  "\x1bOA": "up",
  "\x1bOB": "down",
  "\x1bOC": "right",
  "\x1bOD": "left",
  "\x1b[H": "home",
  "\x1b[F": "end",
  "\x1b[1~": "home",
  "\x1b[4~": "end",
  "\x1b[3~": "delete",
  "\x1b[5~": "page-up",
  "\x1b[6~": "page-down",
  "\x1b[Z": "shift-tab",
};

// Pastes, sequences, Alt with a character, single control characters; what is left is text.
const PIECES =
  /\x1b\[200~([\s\S]*?)\x1b\[201~|\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[A-Za-z]|\x1b([^\x1b[O])|[\x00-\x1f\x7f]|[^\x00-\x1f\x7f]+/gu;

/** What a terminal sent, as keys. Unknown sequences give nothing. */
export function keysOf(input: string): Key[] {
  const keys: Key[] = [];
  for (const match of input.matchAll(PIECES)) {
    const [piece, pasted, alt] = match;
    if (pasted !== undefined) keys.push({ text: pasted });
    else if (NAMED[piece]) keys.push({ key: NAMED[piece] });
    else if (alt !== undefined) keys.push({ key: `alt-${alt}` });
    else if (piece.length === 1 && piece < " ")
      keys.push({ key: `ctrl-${String.fromCharCode(piece.charCodeAt(0) + 96)}` });
    else if (!piece.startsWith("\x1b")) keys.push({ text: piece });
  }
  return keys;
}
