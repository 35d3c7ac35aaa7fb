import { BosunError } from "../protocol/error.ts";

/** Where a page begins, from a mark that an answer before gave as `next`. Throws USAGE for anything else. */
export function placeOf(cursor: string | undefined): { after?: number } {
  if (cursor === undefined) return {};
  const after = Number(cursor);
  if (!/^\d+$/.test(cursor) || !Number.isSafeInteger(after)) throw badCursor();
  return { after };
}

/** Several places, one per room, as one mark. */
export function packed(places: Record<string, number>): string {
  return Buffer.from(JSON.stringify(places)).toString("base64url");
}

/** What `packed` was given. Throws USAGE for anything else. */
export function unpacked(cursor: string): Record<string, number> {
  try {
    const places = JSON.parse(Buffer.from(cursor, "base64url").toString()) as Record<string, number>;
    if (typeof places === "object" && places !== null && Object.values(places).every(Number.isSafeInteger))
      return places;
  } catch {
    // No JSON: told below, like JSON of another form.
  }
  throw badCursor();
}

function badCursor(): BosunError {
  return new BosunError({
    code: "USAGE",
    what: "the cursor is none of ours",
    fix: "leave cursor away to begin at the start; pass on `next` of an answer to go on",
  });
}
