import type { AlertLevel } from "../../protocol/alert.ts";
import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, isSet, textOf } from "../command.ts";
import { sinceText } from "../time.ts";

const alerts: Command = {
  name: "alerts",
  aliases: ["alert ls"],
  group: "look",
  ops: ["alert.list"],
  flags: { all: { short: "a" }, limit: { short: "n", value: "N", about: "at most so many (200)" } },
  examples: ["bosun alerts", "bosun alerts --all --json"],
  async run({ out, connect, flags }) {
    const answer = await (await connect()).call("alert.list", {
      ...(flags.all !== undefined && { all: true }),
      ...(typeof flags.limit === "string" && { limit: Number(flags.limit) }),
    });
    if (out.wish.json) {
      out.json(answer, "alerts");
      return 0;
    }
    if (answer.alerts.length === 0) out.say("nothing wants you");
    out.table(
      [
        { title: "ID", align: "right" },
        { title: "LEVEL" },
        { title: "SINCE" },
        { title: "STATE", whenSaid: true },
        { title: "WHAT", flexible: true },
      ],
      answer.alerts.map((each) => [
        String(each.id),
        each.level,
        sinceText(each.raised, Date.now()),
        each.cleared ? "passed" : each.acknowledged ? `with ${each.acknowledged.by.replace(/^\w+:/, "")}` : "",
        sanitise(each.text),
      ]),
    );
    return 0;
  },
};

const alertRaise: Command = {
  name: "alert raise",
  args: "LEVEL TEXT",
  group: "look",
  ops: ["alert.raise"],
  flags: { key: { value: "WHAT" } },
  examples: ['bosun alert raise P2 "the tide is coming in" --key tide'],
  async run(invocation) {
    const [level, ...words] = invocation.args;
    const key = textOf(invocation, "key");
    if (!/^P[0-4]$/.test(level ?? "") || words.length === 0)
      throw usage("alert raise needs a level and a text", alertRaise, "levels: P0, P1, P2, P3, P4");
    const answer = await (await invocation.connect()).call("alert.raise", {
      level: level as AlertLevel,
      text: words.join(" "),
      ...(key !== undefined && { key }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else invocation.out.line(answer.alert ? `✓ alert ${answer.alert.id}` : "one about the same is open already");
    return 0;
  },
};

const alertAck: Command = {
  name: "alert ack",
  args: "ID…",
  group: "look",
  ops: ["alert.acknowledge"],
  flags: { note: { value: "TEXT", about: "what is done about it" } },
  examples: ['bosun alert ack 3 4 --note "on it"'],
  async run(invocation) {
    const ids = invocation.args.map(Number);
    if (ids.length === 0 || ids.some((id) => !Number.isInteger(id)))
      throw usage("alert ack needs numbers of alerts", alertAck, "bosun alerts");
    const note = textOf(invocation, "note");
    const answer = await (await invocation.connect()).call("alert.acknowledge", {
      ids,
      ...(note !== undefined && { note }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else invocation.out.line(`✓ ${answer.acknowledged.length} acknowledged`);
    return 0;
  },
};

const services: Command = {
  name: "services",
  aliases: ["service ls"],
  group: "look",
  ops: ["service.list"],
  flags: { fresh: {} },
  examples: ["bosun services --fresh"],
  async run({ out, connect, flags }) {
    const answer = await (await connect()).call("service.list", { ...(flags.fresh !== undefined && { fresh: true }) });
    if (out.wish.json) {
      out.json(answer, "services");
      return 0;
    }
    if (answer.services.length === 0) out.say("the plan declares none: services: { ollama: { systemd: ollama } }");
    out.table(
      [
        { title: "SERVICE" },
        { title: "STATE" },
        { title: "MANAGER" },
        { title: "SAYS", flexible: true },
        { title: "COMMAND", flexible: true },
      ],
      answer.services.map((each) => [each.id, each.state, each.manager, sanitise(each.says), sanitise(each.command)]),
    );
    return 0;
  },
};

function serviceAct(action: "start" | "stop" | "restart"): Command {
  const command: Command = {
    name: `service ${action}`,
    args: "NAME",
    group: "session",
    ops: ["service.act"],
    summary: `${action[0]!.toUpperCase()}${action.slice(1)} a service that is declared manage: true`,
    examples: [`bosun service ${action} routx`],
    async run(invocation) {
      const [service] = invocation.args;
      if (service === undefined) throw usage(`service ${action} needs a service`, command, "bosun services");
      const answer = await (await invocation.connect()).call("service.act", { service, action });
      if (invocation.out.wish.json) invocation.out.json(answer);
      else invocation.out.line(`✓ ${service} is ${answer.service.state}: ${sanitise(answer.service.says)}`);
      return 0;
    },
  };
  return command;
}

const jobs: Command = {
  name: "jobs",
  aliases: ["job ls"],
  group: "look",
  ops: ["job.list"],
  examples: ["bosun jobs"],
  async run({ out, connect }) {
    const answer = await (await connect()).call("job.list", {});
    if (out.wish.json) {
      out.json(answer, "jobs");
      return 0;
    }
    if (answer.jobs.length === 0) out.say('the plan declares none: jobs: { brief: { cron: "*/30 * * * *", do: … } }');
    out.table(
      [
        { title: "JOB" },
        { title: "KIND" },
        { title: "WHEN" },
        { title: "STATE" },
        { title: "LAST" },
        { title: "DETAIL", flexible: true },
      ],
      answer.jobs.map((each) => [
        each.id,
        each.kind,
        each.when,
        each.state,
        each.last === null ? "" : sinceText(each.last, Date.now()),
        sanitise(each.detail),
      ]),
    );
    for (const line of answer.undeclared) out.say(`in the crontab, and nobody declared it: ${sanitise(line)}`);
    return 0;
  },
};

const jobShow: Command = {
  name: "job show",
  args: "JOB",
  group: "look",
  ops: ["job.watch"],
  summary: "What a job does: its newest lines",
  flags: { follow: { short: "f", about: "go on with what it does" } },
  examples: ["bosun job show clod_bridge/sisters_watch -f"],
  async run(invocation) {
    const { out } = invocation;
    const [job] = invocation.args;
    if (job === undefined) throw usage("job show needs a job", jobShow, "bosun jobs");
    const follow = isSet(invocation, "follow");
    const line = (text: string): void => out.line(sanitise(text));
    for (;;) {
      const connection = await invocation.connect();
      const stream = await connection.stream("job.watch", { job }, (event) => {
        if (follow) line((event as { line: string }).line);
      });
      if (out.wish.json) out.json(stream.ok);
      else {
        out.say(`${stream.ok.job.id}: ${stream.ok.job.kind} ${sanitise(stream.ok.job.target)}, ${stream.ok.job.when}`);
        for (const each of stream.ok.lines) line(each);
      }
      if (!follow) {
        connection.close();
        return 0;
      }
      await stream.ended;
      // The coordinator was restarted: the window goes on.
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  },
};

const jobHistory: Command = {
  name: "job history",
  args: "JOB",
  group: "look",
  ops: ["job.history"],
  flags: { limit: { short: "n", value: "N", about: "the newest N (20)" } },
  async run(invocation) {
    const [job] = invocation.args;
    if (job === undefined) throw usage("job history needs a job", jobHistory, "bosun jobs");
    const limit = textOf(invocation, "limit");
    const answer = await (await invocation.connect()).call("job.history", {
      job,
      ...(limit !== undefined && { limit: Number(limit) }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else
      invocation.out.table(
        [
          { title: "AT" },
          { title: "TOOK", align: "right" },
          { title: "EXIT", align: "right" },
          { title: "SAID", flexible: true },
        ],
        answer.runs.map((run) => [
          run.at,
          `${run.ms} ms`,
          run.exit === null ? "left out" : String(run.exit),
          sanitise(run.said),
        ]),
      );
    return 0;
  },
};

const jobRun: Command = {
  name: "job run",
  args: "JOB",
  group: "session",
  ops: ["job.run"],
  async run(invocation) {
    const [job] = invocation.args;
    if (job === undefined) throw usage("job run needs a job", jobRun, "bosun jobs");
    const { run } = await (await invocation.connect()).call("job.run", { job });
    if (invocation.out.wish.json) invocation.out.json(run);
    else
      invocation.out.line(
        run.exit === null
          ? `left out: ${sanitise(run.said)}`
          : `exit ${run.exit} after ${run.ms} ms: ${sanitise(run.said)}`,
      );
    return run.exit === 0 ? 0 : 1;
  },
};

const vital: Command = {
  name: "vital",
  args: "NAME SCORE",
  group: "agent",
  ops: ["vital.report"],
  flags: { session: { value: "NAME", about: "default: the session you run in" } },
  examples: ["bosun vital identity_coherence 0.83"],
  async run(invocation) {
    const [name, score] = invocation.args;
    const session = textOf(invocation, "session");
    if (name === undefined || score === undefined || Number.isNaN(Number(score)))
      throw usage("vital needs a name and a score from 0 to 1", vital, "bosun vital identity_coherence 0.83");
    const answer = await (await invocation.connect()).call("vital.report", {
      vital: name,
      score: Number(score),
      ...(session !== undefined && { session }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else invocation.out.line(`${answer.session}: ${answer.vital} is ${answer.verdict}`);
    return 0;
  },
};

export const WATCH_COMMANDS = [
  alerts,
  alertRaise,
  alertAck,
  services,
  serviceAct("start"),
  serviceAct("stop"),
  serviceAct("restart"),
  jobs,
  jobShow,
  jobHistory,
  jobRun,
  vital,
];
