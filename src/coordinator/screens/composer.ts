import { displayWidth } from "../../protocol/width.ts";
import type { Profile } from "./profile.ts";
import type { Screen } from "./screen.ts";

/** Rows above the cursor in which the beginning of what is typed is looked for. */
const MOST_ROWS = 200;

/** What stands where text is typed: nothing, a long paste that is not shown, or text. */
export type Composed = { kind: "empty" } | { kind: "pasted" } | { kind: "text"; text: string };

/** Null where no profile knows a place to type at the cursor: then nothing can be said, and nothing may be sent. */
export function composed(
  screen: Pick<Screen, "text" | "cursor" | "isHint">,
  profiles: readonly Profile[],
): Composed | null {
  const rows = screen.text();
  const { x, y } = screen.cursor;
  for (const { composer } of profiles) {
    if (!composer) continue;
    for (let top = y; top >= Math.max(0, y - MOST_ROWS); top--) {
      // A prompt with nothing behind it has lost its space.
      const found = composer.prompt.exec(`${rows[top] ?? ""} `);
      if (!found) continue;
      const width = displayWidth(found[0]);
      const first = (rows[top] ?? "").slice(found[0].length);
      const text = [first, ...rows.slice(top + 1, y + 1)].join("\n").trim();
      if (text === "") return { kind: "empty" };
      // Some programs draw the cursor themselves: then a hint begins one cell later.
      if (top === y && x <= width && (screen.isHint(width, y) || screen.isHint(width + 1, y))) return { kind: "empty" };
      if (
        composer.pasted &&
        squeezed(text).replace(new RegExp(composer.pasted.source.replaceAll(" ", ""), "gu"), "") === ""
      )
        return { kind: "pasted" };
      return { kind: "text", text };
    }
  }
  return null;
}

/** Programs break and indent lines as they like: only what is not space can be compared. */
function squeezed(text: string): string {
  return text.replace(/[\s\u00a0│┃]+/g, "");
}

export function isSameText(shown: string, text: string): boolean {
  return squeezed(shown) === squeezed(text);
}
