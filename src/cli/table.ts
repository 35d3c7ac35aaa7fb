import { cut, displayWidth, pad } from "./width.ts";

export interface Column {
  title: string;
  /** May be cut to fit the terminal, the last one first. Names never are: what is shown must be what can be typed. */
  flexible?: boolean;
  align?: "right";
}

/** Below this many cells a cut column says nothing. */
const LEAST_CELLS = 6;
const GAP = "  ";

/** Aligned lines, the titles first; no line longer than `columns` cells as far as flexible columns allow. */
export function table(titles: readonly Column[], rows: readonly string[][], columns: number): string[] {
  const all = [titles.map((column) => column.title), ...rows];
  const widths = titles.map((_, index) => Math.max(...all.map((row) => displayWidth(row[index] ?? ""))));
  let over = widths.reduce((sum, width) => sum + width, 0) + GAP.length * (titles.length - 1) - columns;
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
