import type { IBufferCell } from "@xterm/headless";

/** Parameters of the SGR sequence that paints like this cell, from a state without any; "" for plain text. */
export function sgrOf(cell: IBufferCell): string {
  if (cell.isAttributeDefault()) return "";
  const parts: (number | string)[] = [];
  if (cell.isBold()) parts.push(1);
  if (cell.isDim()) parts.push(2);
  if (cell.isItalic()) parts.push(3);
  if (cell.isUnderline()) parts.push(4);
  if (cell.isInverse()) parts.push(7);
  if (cell.isInvisible()) parts.push(8);
  if (cell.isStrikethrough()) parts.push(9);
  if (cell.isFgRGB()) parts.push(`38;2;${rgb(cell.getFgColor())}`);
  else if (cell.isFgPalette()) parts.push(palette(cell.getFgColor(), 30));
  if (cell.isBgRGB()) parts.push(`48;2;${rgb(cell.getBgColor())}`);
  else if (cell.isBgPalette()) parts.push(palette(cell.getBgColor(), 40));
  return parts.join(";");
}

function rgb(colour: number): string {
  return `${(colour >> 16) & 255};${(colour >> 8) & 255};${colour & 255}`;
}

function palette(colour: number, base: 30 | 40): string {
  if (colour < 8) return String(base + colour);
  if (colour < 16) return String(base + 60 + colour - 8);
  return `${base + 8};5;${colour}`;
}
