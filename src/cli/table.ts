import { cut, displayWidth, pad } from "../protocol/width.ts";

export interface Column {
  title: string;
  /** May be cut to fit the terminal, the last one first. Names never are: what is shown must be what can be typed. */
  flexible?: boolean;
  align?: "right";
  /** Left out when no row says anything in it: empty, `-` or 0. */
  whenSaid?: boolean;
}

/** Below this many cells a cut column says nothing. */
const LEAST_CELLS = 6;
const GAP = "  ";

const SAYS_NOTHING = new Set(["", "-", "0"]);

/** Aligned lines, the titles first; no line longer than `columnsOfTerminal` cells as far as flexible columns allow. */
export function table(columns: readonly Column[], cells: readonly string[][], columnsOfTerminal: number): string[] {
  const said = columns.map(
    (column, index) => !column.whenSaid || cells.some((row) => !SAYS_NOTHING.has(row[index] ?? "")),
  );
  const titles = columns.filter((_, index) => said[index]);
  const rows = cells.map((row) => row.filter((_, index) => said[index]));
  const all = [titles.map((column) => column.title), ...rows];
  const widths = titles.map((_, index) => Math.max(...all.map((row) => displayWidth(row[index] ?? ""))));
  let over = widths.reduce((sum, width) => sum + width, 0) + GAP.length * (titles.length - 1) - columnsOfTerminal;
  for (let index = titles.length - 1; index >= 0 && over > 0; index--) {
    if (!titles[index]!.flexible) continue;
    const least = Math.min(widths[index]!, Math.max(LEAST_CELLS, displayWidth(titles[index]!.title)));
    const less = Math.min(over, widths[index]! - least);
    widths[index]! -= less;
    over -= less;
  }
  return all.map((row) =>
    titles
      .map((column, index) => {
        const text = row[index] ?? "";
        const cell = column.flexible ? cut(text, widths[index]!) : pad(text, widths[index]!);
        return column.align === "right" ? `${" ".repeat(cell.length - cell.trimEnd().length)}${cell.trimEnd()}` : cell;
      })
      .join(GAP)
      .trimEnd(),
  );
}

/** The same as tab-separated records, nothing cut; tabs and line breaks inside a cell become spaces. */
export function tabSeparated(titles: readonly Column[], rows: readonly string[][]): string[] {
  const clean = (cell: string): string => cell.replace(/[\t\r\n]+/g, " ");
  return [titles.map((column) => column.title.toLowerCase()), ...rows].map((row) => row.map(clean).join("\t"));
}
