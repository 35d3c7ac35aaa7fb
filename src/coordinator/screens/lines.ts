import { displayWidth } from "../../protocol/width.ts";
import type { Picture } from "../tmux/port.ts";

const SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])/g;

/**
 * What a program wrote, as lines of text: without sequences, a line that was written over as it ended up. For programs that
 * print; one that paints the whole screen leaves little that makes sense as lines.
 */
export function linesOf(bytes: Buffer): string[] {
  const plain = bytes.toString("utf8").replace(SEQUENCES, "");
  const lines = plain.split("\n").map((line) => {
    const parts = line.replace(/\r+$/, "").split("\r");
    return (parts.at(-1) ?? "").replace(/[\x00-\x08\x0b-\x1f\x7f]/g, "");
  });
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** What a program must have written for this to stand on its screen and above it: up to the cursor. Of a painted screen, nothing. */
export function writtenOf({ lines, above, cursor: { x, y }, alternate }: Picture): string {
  if (alternate) return "";
  const last = lines[y] ?? "";
  const missing = x - displayWidth(last.replace(SEQUENCES, ""));
  return [...above, ...lines.slice(0, y), last + " ".repeat(Math.max(0, missing))].join("\r\n");
}
