import type { PlanJob } from "../../../protocol/plan.ts";
import type { Displays } from "../../displays.ts";
import type { Town } from "../../town.ts";
import type { Alerts } from "../alerts.ts";
import type { Chapters } from "../chapters/chapters.ts";

/** What jobs work with. */
export interface Bench {
  town: Town;
  displays: Displays;
  alerts: Alerts;
  chapters: Chapters;
}

/** What one run of a job came to. `exit` 0: all went well. */
export interface Outcome {
  exit: number;
  said: string;
}

/** One job at work. */
export interface Work {
  /** Does it once; called by the clock, never twice at a time. Rejects with what went wrong. */
  run(): Promise<Outcome>;
  close(): void;
}

export type MakeWork = (job: PlanJob, bench: Bench, say: (line: string) => void) => Work;
