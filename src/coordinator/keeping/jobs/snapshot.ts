import type { PlanJob } from "../../../protocol/plan.ts";
import { replaceFile } from "../replace-file.ts";
import type { Bench, Work } from "./work.ts";

/** The screen of a session, as tmux captures it, in a file: whole or not at all, at every reading. */
export function snapshot(job: PlanJob, { town, displays }: Bench, say: (line: string) => void): Work {
  return {
    async run() {
      const display = displays.displayOf(job.target, null);
      if (!display) return { exit: 0, said: `${job.target} does not run; ${job.to} stays as it was` };
      const text = (await town.tmux.capture([display.pane])).get(display.pane);
      if (text === undefined) return { exit: 0, said: `${job.target} has just ended` };
      replaceFile(job.to!, text.endsWith("\n") ? text : `${text}\n`);
      const said = `${Buffer.byteLength(text)} bytes of ${job.target} in ${job.to}`;
      say(said);
      return { exit: 0, said };
    },
    close() {},
  };
}
