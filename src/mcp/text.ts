import type { Facts } from "./tool.ts";

/**
 * Facts as compact text, nothing left out: plain values on the first line, then each list with one line per item, and long
 * texts (bodies) below their item. For models that see only the text.
 */
export function textOf(facts: Facts): string {
  const plain: string[] = [];
  const blocks: string[] = [];
  for (const [name, value] of Object.entries(facts)) {
    if (isRows(value)) blocks.push(`${name} (${value.length})${value.length ? ":" : ""}`, ...value.map(row));
    else plain.push(`${name}: ${scalar(value)}`);
  }
  return [plain.join(" · "), ...blocks].filter((line) => line !== "").join("\n");
}

/** The mail line at the end of an answer. */
export function mailLine(unread: number, urgent: number): string {
  return `[mail: ${unread} unread, ${urgent} urgent]`;
}

function isRows(value: unknown): value is unknown[] {
  return Array.isArray(value) && (value.length === 0 || value.some((each) => typeof each === "object"));
}

function row(item: unknown): string {
  if (typeof item !== "object" || item === null) return `- ${scalar(item)}`;
  const { body, ...rest } = item as Facts;
  const line = `- ${Object.entries(rest)
    .map(([name, value]) => `${name}=${scalar(value)}`)
    .join(" ")}`;
  return typeof body === "string" ? `${line}\n${body.replaceAll(/^/gm, "    ")}` : line;
}

/** Words stand as they are; what holds blanks or line ends is quoted, so that items keep to one line. */
function scalar(value: unknown): string {
  if (typeof value === "string") return /^[^\s"=·]+$/.test(value) ? value : JSON.stringify(value);
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value.join(",") || "[]";
  return JSON.stringify(value) ?? "null";
}
