import type { Plan, PlanSession } from "../../protocol/plan.ts";
import { readPlan } from "./read.ts";

/** What was opened beside the plan, as it is kept. */
export interface Opened {
  session: string;
  label: string;
  entry: Record<string, unknown>;
  damaged: string | null;
}

/** A town that has no floor plan: its file is "", and it declares nothing. */
export function unwritten(town: string): Plan {
  return read(town, {});
}

/** The plan with the opened sessions behind its own. A record that cannot be read is left out: the others are none the worse. */
export function withOpened(plan: Plan, rows: readonly Opened[]): Plan {
  if (rows.length === 0) return plan;
  return { ...plan, sessions: [...withoutOpened(plan).sessions, ...rows.flatMap((row) => sessionOf(plan, row) ?? [])] };
}

export function withoutOpened(plan: Plan): Plan {
  return { ...plan, sessions: plan.sessions.filter((session) => session.label === undefined) };
}

/** As an entry of the plan would be read: the same defaults, checks, drift marks and naming. */
function sessionOf(plan: Plan, { session, label, entry, damaged }: Opened): PlanSession | null {
  if (damaged !== null) return null;
  try {
    const key = label.replaceAll(" ", "_");
    const [read_] = read(plan.town, { [key]: entry }).sessions;
    return { ...read_!, id: session, label };
  } catch {
    return null;
  }
}

function read(town: string, sessions: Record<string, unknown>): Plan {
  return readPlan({
    text: JSON.stringify({ version: 1, town, sessions }),
    file: "",
    town: { name: town, from: "flag" },
    readFile: () => "",
    env: process.env,
  });
}
