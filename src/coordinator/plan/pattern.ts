import { type Mistake, show } from "./mistakes.ts";

/** Longer than any line a person writes to pick lines of output. */
const MAX_CHARACTERS = 500;

/**
 * Why a pattern over pane output is refused, or null. Read with the `u` flag, as it will be used. A repeated group that
 * holds a repetition can take hours on one line: `(a+)+$` against 26 letters took 4 s.
 */
export function whyBadPattern(pattern: string): Mistake | null {
  const fix = 'for example pattern: "^NARRATE (.*)"';
  if (pattern.length > MAX_CHARACTERS)
    return {
      what: `${show(pattern)} has ${pattern.length} characters`,
      why: `a pattern may have ${MAX_CHARACTERS}`,
      fix,
    };
  try {
    new RegExp(pattern, "u");
  } catch (error) {
    return {
      what: `${show(pattern)} is not a regular expression`,
      why: error instanceof Error ? error.message.replace(/^Invalid regular expression: /, "") : String(error),
      fix,
    };
  }
  if (!repeatsARepetition(pattern)) return null;
  return {
    what: `${show(pattern)} repeats something that is repeated`,
    why: "one hostile line could keep it busy for hours",
    fix: "write it without + or * inside a repeated group",
  };
}

const REPETITION = /^(?:[+*]|\{\d+,\d*\})/;

/** Of a pattern that compiles: whether a group with a repetition inside is itself repeated. */
function repeatsARepetition(pattern: string): boolean {
  /** Per open group: whether something in it is repeated. */
  const groups = [false];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]!;
    if (character === "\\") at++;
    else if (character === "[") at = endOfClass(pattern, at);
    else if (character === "(") groups.push(false);
    else if (character === ")") {
      const inner = groups.pop() ?? false;
      if (inner && /^(?:[+*]|\{\d{2,}|\{\d+,)/.test(pattern.slice(at + 1, at + 8))) return true;
      if (inner) groups[groups.length - 1] = true;
    } else if (REPETITION.test(pattern.slice(at, at + 8))) groups[groups.length - 1] = true;
  }
  return false;
}

function endOfClass(pattern: string, start: number): number {
  let at = start + 1;
  while (at < pattern.length && pattern[at] !== "]") at += pattern[at] === "\\" ? 2 : 1;
  return at;
}
