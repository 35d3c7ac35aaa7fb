import { BosunError } from "../../protocol/error.ts";

/** Scripts written without spaces between words. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Hangul}]/gu;

/** Text as the index takes it: in scripts without spaces every character is a word of its own, so that any part is found. */
export function spaced(text: string): string {
  return text.replace(UNSPACED, " $& ");
}

/**
 * What a person typed, as a query of FTS5: words that must all occur, `"a phrase"`, `prefix*`. Everything else is text, never
 * an operator. Throws USAGE when no letter or digit is left.
 */
export function queryOf(typed: string): string {
  // A control character ends the query for SQLite, in the middle of a word.
  const parts = [...typed.replace(/\p{Cc}/gu, " ").matchAll(/"([^"]*)"(\*?)|([^\s"]+)/g)].flatMap(
    ([, phrase, star, word]) => {
      const text = spaced(phrase ?? word!.replace(/\*+$/, "")).trim();
      if (!/[\p{L}\p{N}]/u.test(text)) return [];
      const prefix = star === "*" || (word?.endsWith("*") ?? false);
      return [`"${text.replaceAll('"', " ")}"${prefix ? "*" : ""}`];
    },
  );
  if (parts.length > 0) return parts.join(" ");
  throw new BosunError({
    code: "USAGE",
    what: "there is no word to search for",
    why: "a search needs at least one letter or digit",
    fix: 'bosun search deploy "exact phrase" migrat*',
  });
}
