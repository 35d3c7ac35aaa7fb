import { BosunError } from "../../protocol/error.ts";
import { taskList, taskShow } from "../../protocol/task.ts";
import type { Dispatch } from "../dispatch.ts";
import { rfc3339 } from "../registry.ts";
import { type TaskRow, taskHistory, taskRow, tasksPage } from "../tasks/projection.ts";
import type { Town } from "../town.ts";

/** Tasks of one page unless asked for more. */
const PAGE = 100;

/** Tasks as they are; what changes them is mail: offers, acceptances, handoffs and their acknowledgements. */
export function registerTasks(dispatch: Dispatch, town: Town): void {
  dispatch.handle(taskList, ({ owner, state, offeredTo, after = "", limit = PAGE }) => {
    const rows = tasksPage(town.ledger.views, { owner, states: state, offeredTo }, after, limit + 1);
    const tasks = rows.slice(0, limit);
    return { tasks: tasks.map(taskInfo), next: rows.length > limit ? tasks.at(-1)!.id : null };
  });

  dispatch.handle(taskShow, ({ task }) => {
    const row = taskRow(town.ledger.views, task);
    if (!row) {
      throw new BosunError({
        code: "NOT_FOUND",
        what: `there is no task ${task}`,
        fix: "bosun task list   shows them",
      });
    }
    const history = taskHistory(town.ledger.views, task).map(({ atMs, ...step }) => ({ ...step, at: rfc3339(atMs) }));
    return { task: taskInfo(row), history };
  });
}

export function taskInfo({ id, offeredTo, sinceMs, ...row }: TaskRow) {
  return { task: id, ...row, offered_to: offeredTo, since: rfc3339(sinceMs) };
}
