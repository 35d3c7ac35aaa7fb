import { sanitise } from "../../protocol/text.ts";
import { numberOf, stdinText, usage, wordsOf } from "../arguments.ts";
import { type Command, textOf } from "../command.ts";
import { sinceText } from "../time.ts";

const taskList: Command = {
  name: "task list",
  group: "mail",
  anywhere: true,
  ops: ["task.list"],
  flags: {
    owner: { value: "ID", about: "whose they are" },
    state: { value: "STATE", many: true, about: "offered, accepted, declined, done" },
    "offered-to": { value: "ID", about: "who could accept them" },
    after: { value: "TASK", about: "cursor: `next` of the answer before" },
    limit: { short: "n", value: "N", about: "at most N" },
  },
  async run(invocation) {
    const [owner, offeredTo, after] = ["owner", "offered-to", "after"].map((flag) => textOf(invocation, flag));
    const limit = numberOf(invocation, "limit", taskList);
    const state = wordsOf(invocation, "state") as "offered"[];
    const connection = await invocation.connect();
    const answer = await connection.call("task.list", {
      ...(owner !== undefined && { owner }),
      ...(offeredTo !== undefined && { offeredTo }),
      ...(after !== undefined && { after }),
      ...(limit !== undefined && { limit }),
      ...(state.length > 0 && { state }),
    });
    const { out } = invocation;
    if (out.wish.json) out.json(answer, "tasks");
    else {
      const now = Date.now();
      out.table(
        [
          { title: "TASK" },
          { title: "STATE" },
          { title: "OWNER" },
          { title: "TITLE", flexible: true },
          { title: "BY" },
          { title: "SINCE", align: "right" },
        ],
        answer.tasks.map((task) => [
          sanitise(task.task),
          task.state,
          sanitise(task.owner ?? "-"),
          sanitise(task.title),
          sanitise(task.by),
          sinceText(task.since, now),
        ]),
      );
    }
    return 0;
  },
};

const taskShow: Command = {
  name: "task show",
  args: "TASK",
  group: "mail",
  anywhere: true,
  ops: ["task.show"],
  async run(invocation) {
    const [task] = invocation.args;
    if (task === undefined) throw usage("task show needs a task", taskShow);
    const connection = await invocation.connect();
    const answer = await connection.call("task.show", { task });
    const { out } = invocation;
    if (out.wish.json) {
      out.json(answer);
      return 0;
    }
    const { title, state, owner, offered_to } = answer.task;
    const whose = owner ?? (offered_to.length > 0 ? `nobody yet; offered to ${offered_to.join(", ")}` : "nobody");
    out.line(sanitise(`${answer.task.task}: ${title}, ${state}, owner ${whose}`));
    for (const step of answer.history) {
      const to = step.to.length > 0 ? ` to ${step.to.join(", ")}` : "";
      out.line(sanitise(`  ${step.at}  ${step.what} by ${step.by}${to}${step.note === null ? "" : `: ${step.note}`}`));
    }
    return 0;
  },
};

const offer: Command = {
  name: "handoff offer",
  args: "TO TITLE [BODY]",
  group: "mail",
  anywhere: true,
  ops: ["message.send"],
  summary: "Offer a task; the first yes takes it",
  flags: { task: { value: "TASK", about: "the task it is; default a new one" } },
  examples: [
    'bosun handoff offer dev-001 "Review the parser" "branch parse, please by noon"',
    'bosun handoff offer any:python "Fix the import" -',
  ],
  async run(invocation) {
    const [to, subject, body = ""] = invocation.args;
    if (to === undefined || subject === undefined) throw usage("handoff offer needs somebody and a title", offer);
    const task = textOf(invocation, "task");
    const connection = await invocation.connect();
    const sent = await connection.call("message.send", {
      to: to.split(","),
      subject,
      body: body === "-" ? await stdinText() : body,
      type: "task_offer",
      queue: true,
      ...(task !== undefined && { task }),
    });
    if (invocation.out.wish.json) invocation.out.json(sent);
    else invocation.out.line(`✓ ${sent.task} is offered to ${sent.recipients.join(", ")} (message ${sent.id})`);
    return 0;
  },
};

const accept: Command = {
  name: "handoff accept",
  args: "MESSAGE",
  group: "mail",
  anywhere: true,
  ops: ["message.ack"],
  summary: "Take what was offered: the task is yours, its history stays",
  flags: { note: { value: "TEXT", about: "what whoever offered it should know" } },
  examples: ["bosun handoff accept 0199-… --as dev-001"],
  async run(invocation) {
    const [id] = invocation.args;
    if (id === undefined) throw usage("handoff accept needs the id of the offer", accept, "bosun inbox");
    const note = textOf(invocation, "note");
    const connection = await invocation.connect();
    const done = await connection.call("message.ack", {
      ids: [id],
      outcome: "accepted",
      ...(note !== undefined && { note }),
    });
    if (invocation.out.wish.json) invocation.out.json(done);
    else invocation.out.line("✓ it is yours");
    return 0;
  },
};

export const TASK_COMMANDS = [taskList, taskShow, offer, accept];
