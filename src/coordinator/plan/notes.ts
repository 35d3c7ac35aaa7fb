import type { PlanSession } from "../../protocol/plan.ts";
import type { FloorPlan } from "./schema.ts";

/** Aboard a ship a name says who works there and at what. */
const CREW_FUNCTION = /^[a-z0-9]+_[a-z0-9_]+$/;

/** What a plan may say and nothing acts on in this version: said, so that nobody relies on it. */
const NOT_YET = ["hosts"] as const;

/** What is right in a plan and yet worth a word. */
export function notesOf(entry: FloorPlan, sessions: readonly PlanSession[], preset: string): string[] {
  const notes: string[] = [];
  for (const key of NOT_YET)
    if (Object.keys(entry[key] ?? {}).length > 0)
      notes.push(`${key}: is understood, and nothing acts on it in this version`);
  const held = (has: (session: PlanSession) => boolean): string =>
    sessions.flatMap((session) => (has(session) ? [session.id] : [])).join(", ");
  const said = (names: string, what: string): void => {
    if (names !== "") notes.push(`${names}: ${what}`);
  };
  said(
    held((each) => each.host !== null),
    "host: is understood, and everything runs on this machine in this version",
  );
  said(
    held((each) => each.start === "schedule" && each.schedule === null),
    "start: schedule, and no schedule: says when; it starts by name only",
  );
  said(
    held((each) => each.kind !== "view" && each.about === ""),
    "nobody wrote down what it is for: about:",
  );
  if (preset === "ship")
    said(
      held((each) => each.kind !== "view" && !CREW_FUNCTION.test(each.id) && !each.documented.naming_exception),
      "its name has no function (<crew>_<function>); if that is meant, say why: naming_exception:",
    );
  return notes;
}
