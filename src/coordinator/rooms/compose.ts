import { BosunError } from "../../protocol/error.ts";
import type { InputOf } from "../../protocol/operation.ts";
import type { PlanRoom } from "../../protocol/plan.ts";
import { LEVELS, MAX_LINE_BYTES, type roomPost } from "../../protocol/room.ts";
import { sanitise } from "../../protocol/text.ts";
import type { Draft } from "./store.ts";

export type PostInput = InputOf<typeof roomPost>;

const DEFAULT_TYPE = "narrative";

/**
 * What was said, made ready to store. The text is cleaned here, once: the mirror file is shown in terminals by `jq -r .msg`,
 * and every reader shall see the same text.
 * Throws USAGE for nothing said or data that is no JSON, TOO_LARGE for more than MAX_LINE_BYTES of text or of data.
 */
export function compose(from: string, input: PostInput, key: string | null, alsoIn: Draft["alsoIn"]): Draft {
  const msg = cleaned(input.msg ?? input.content ?? "");
  if (msg.trim() === "") {
    throw new BosunError({
      code: "USAGE",
      what: "nothing was said",
      why: "`msg` is missing, empty, or holds only control characters",
      fix: `bosun say ${input.room} "some text"`,
    });
  }
  refuseTooLarge("text", msg);
  const dataJson = input.data === undefined ? null : jsonOf(input.data);
  if (dataJson !== null) refuseTooLarge("data", dataJson);
  return {
    room: input.room,
    from,
    type: cleaned(input.type ?? "") || DEFAULT_TYPE,
    level: LEVELS.indexOf(input.level ?? "info"),
    msg,
    tags: [...new Set((input.tags ?? []).map(cleaned))].filter((tag) => tag !== ""),
    dataJson,
    key,
    alsoIn,
  };
}

/** Half a surrogate pair has no UTF-8 form; JSON readers disagree about its escape. */
function cleaned(text: string): string {
  return sanitise(text.toWellFormed());
}

function jsonOf(data: unknown): string | null {
  try {
    return JSON.stringify(data)?.toWellFormed() ?? null;
  } catch (error) {
    throw new BosunError({ code: "USAGE", what: "`data` cannot be written as JSON", why: String(error) });
  }
}

function refuseTooLarge(part: "text" | "data", text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes <= MAX_LINE_BYTES) return;
  throw new BosunError({
    code: "TOO_LARGE",
    what: `the ${part} has ${bytes} bytes`,
    why: `a line carries at most ${MAX_LINE_BYTES} bytes of ${part}`,
    fix: "write it to a file and say where it lies",
  });
}

/**
 * The rooms that repeat what is said in `said`: those with a source over it whose level is reached or one of whose tags is
 * there (a source with neither repeats all). A private room is repeated only where every reader is a member of it too.
 */
export function repeatedIn(
  rooms: Iterable<PlanRoom>,
  said: PlanRoom,
  line: { level: number; tags: string[] },
): string[] {
  const into: string[] = [];
  for (const room of rooms) {
    if (room.id === said.id || !staysPrivate(said, room)) continue;
    const wants = room.sources.some(
      (source) =>
        source.kind === "rooms" &&
        (source.rooms.includes("*") || source.rooms.includes(said.id)) &&
        wantsLine(source, line),
    );
    if (wants) into.push(room.id);
  }
  return into;
}

function wantsLine(source: { level: string | null; tags: string[] }, line: { level: number; tags: string[] }): boolean {
  if (source.level === null && source.tags.length === 0) return true;
  const least = source.level === null ? -1 : (LEVELS as readonly string[]).indexOf(source.level);
  return (least !== -1 && line.level >= least) || source.tags.some((tag) => line.tags.includes(tag));
}

function staysPrivate(said: PlanRoom, room: PlanRoom): boolean {
  const members = said.private;
  return members === null || room.private?.every((name) => members.includes(name)) === true;
}
