/**
 * A pattern of keys as the people who write them know it from the shell: `*` any characters, `?` one, `[abc]` one of these,
 * `[!abc]` one of the others; a bracket that is not closed is itself. Given as SQLite's GLOB, which spells two of them in
 * another way, with the fixed beginning that every match has.
 */
export function globOf(pattern: string): { glob: string; prefix: string } {
  let glob = "";
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]!;
    if (character !== "[") {
      glob += character;
      continue;
    }
    // A closing bracket right behind the opening one (or its "!") is an ordinary character.
    const negated = pattern[at + 1] === "!";
    const end = pattern.indexOf("]", at + (negated ? 3 : 2));
    if (end < 0) {
      glob += "[[]";
      continue;
    }
    const inside = pattern.slice(at + (negated ? 2 : 1), end);
    // First among others, "^" would turn the meaning round.
    const members = !negated && inside.startsWith("^") ? `${inside.slice(1)}^` : inside;
    glob += members === "^" ? "^" : `[${negated ? "^" : ""}${members}]`;
    at = end;
  }
  const prefix = /^[^*?[]*/.exec(pattern)![0];
  return { glob, prefix };
}
