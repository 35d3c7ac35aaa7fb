import { displayWidth } from "../protocol/width.ts";

/** Longer, it is shown by its length: a terminal cannot move back over what has left its top. */
const SHOWN_CHARS = 1_000;

export const PROMPT = "› ";
const INDENT = "  ";

/** A line that is typed, as rows of a terminal, and where in them the cursor stands. */
export function promptRows(text: string, cursor: number, columns: number): { rows: string[]; x: number; y: number } {
  if (text.length > SHOWN_CHARS) {
    const shown = `${PROMPT}[Pasted text · ${text.length} characters]`;
    return { rows: [shown], x: displayWidth(shown), y: 0 };
  }
  const space = Math.max(8, columns - displayWidth(PROMPT) - 1);
  const rows = [PROMPT];
  let cells = 0;
  let at = { x: displayWidth(PROMPT), y: 0 };
  let index = 0;
  for (const character of text) {
    if (index === cursor) at = { x: displayWidth(INDENT) + cells, y: rows.length - 1 };
    index += character.length;
    const width = displayWidth(character);
    if (character === "\n" || cells + width > space) {
      rows.push(INDENT);
      cells = 0;
    }
    if (character === "\n") continue;
    rows[rows.length - 1] += character;
    cells += width;
  }
  if (index === cursor) at = { x: displayWidth(INDENT) + cells, y: rows.length - 1 };
  return { rows, ...at };
}
