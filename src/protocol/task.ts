import { z } from "zod";
import { defineOperation } from "./operation.ts";

/**
 * A task lives from its first offer or handoff. `offered` waits for somebody to accept; `accepted` has an owner; `declined`:
 * everybody it was offered to said no; `done` is over.
 */
export const TASK_STATES = ["offered", "accepted", "declined", "done"] as const;
export const TaskState = z.enum(TASK_STATES);
export type TaskState = z.infer<typeof TaskState>;

export const TaskInfo = z.looseObject({
  task: z.string(),
  title: z.string(),
  state: TaskState,
  owner: z.string().nullable(),
  by: z.string(),
  offered_to: z.array(z.string()),
  /** The offer or the last handoff. */
  message: z.string(),
  since: z.string(),
});

export const taskList = defineOperation({
  name: "task.list",
  summary: "Tasks that are offered or worked on",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    owner: z.string().optional(),
    state: z.array(TaskState).optional(),
    offeredTo: z.string().optional(),
    after: z.string().optional(),
    limit: z.number().int().min(1).max(1000).optional(),
  }),
  output: z.looseObject({ tasks: z.array(TaskInfo), next: z.string().nullable() }),
});

export const taskShow = defineOperation({
  name: "task.show",
  summary: "One task and all that happened to it",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ task: z.string() }),
  output: z.looseObject({
    task: TaskInfo,
    history: z.array(
      z.looseObject({
        what: z.enum(["offered", "accepted", "declined", "handed", "done"]),
        by: z.string(),
        to: z.array(z.string()),
        at: z.string(),
        message: z.string().nullable(),
        note: z.string().nullable(),
      }),
    ),
  }),
  errors: ["NOT_FOUND"],
});
