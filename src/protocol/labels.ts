/** The one rule for names that people give to sessions they open: 1 to 64 letters, digits, `-`, `_` and spaces, with a letter. */
export const SESSION_LABEL = /^(?=.*[A-Za-z])[A-Za-z0-9_](?:[A-Za-z0-9_ -]{0,62}[A-Za-z0-9_])?$/;
export const SESSION_LABEL_RULE =
  "1 to 64 letters, digits, - _ and spaces, with at least one letter, and no space or - at either end";

/** Words that every object of the language has already: no key of a plan, and no session's name. */
export const RESERVED_NAMES: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** Sessions that may be open beside the floor plan at a time unless the plan says otherwise (`limits.sessions`). */
export const MAX_OPENED = 10;

/** What a session is for; shown with a prefix and a colour. */
export const SESSION_TYPES = [
  "shell",
  "debug",
  "planning",
  "development",
  "review",
  "feature",
  "hotfix",
  "refactor",
  "experiment",
] as const;

export type SessionType = (typeof SESSION_TYPES)[number];
