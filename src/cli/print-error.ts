import { readFileSync } from "node:fs";
import type { ErrorBody } from "../protocol/error.ts";
import { renderPlanError } from "../protocol/plan-error.ts";
import { sanitise } from "../protocol/text.ts";
import type { Output } from "./output.ts";

/** Three lines at most for each: what and code, why, what to type next. */
export function errorLines(body: ErrorBody, style: Output["style"] = (text) => text): string[] {
  const place = body.at ? `${body.at.file}:${body.at.line}:${body.at.column}: ` : "";
  const code = body.code.toLowerCase().replaceAll("_", "-");
  const lines = [`${style("error:", "red", "bold")} ${place}${sanitise(body.what)} ${style(`[${code}]`, "dim")}`];
  const guess = /^did you mean (.*)\?$/s.exec(body.why ?? "");
  if (guess) lines.push(...labelled("did you mean", guess[1]!));
  else if (body.why) lines.push(...labelled("because", body.why));
  if (body.fix) lines.push(...labelled("try", body.fix));
  if (body.retryAfterMs) lines.push(`  ${"again in".padEnd(LABEL_CELLS)}${Math.ceil(body.retryAfterMs / 1000)} s`);
  return [...lines, ...(body.more ?? []).flatMap((other) => errorLines(other, style))];
}

const LABEL_CELLS = "did you mean".length + 2;

function labelled(label: string, text: string): string[] {
  return sanitise(text)
    .split("\n")
    .map((line, index) => `  ${(index === 0 ? label : "").padEnd(LABEL_CELLS)}${line}`);
}

/** On stderr for people; with `--json` the error is also the document on stdout. */
export function printError(body: ErrorBody, out: Output): void {
  if (out.wish.json) out.write(`${JSON.stringify({ error: body })}\n`);
  const style = out.style.bind(out);
  out.complain(body.at ? renderPlanError(body, textOf(body.at.file), style) : errorLines(body, style).join("\n"));
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    // The plan of another machine, or gone meanwhile: the mistake is told without its line.
    return "";
  }
}
