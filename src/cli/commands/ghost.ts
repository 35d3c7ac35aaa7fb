import type { Answer } from "../../client/operations.gen.ts";
import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, textOf } from "../command.ts";
import { sinceText } from "../time.ts";

const ghosts: Command = {
  name: "ghosts",
  aliases: ["roll", "roll call", "ghosts ls"],
  group: "look",
  ops: ["ghost.list"],
  flags: { all: { about: "also those that are ignored" } },
  examples: ["bosun ghosts", "bosun ghosts --all --json"],
  async run({ out, connect, flags }) {
    const answer = await (await connect()).call("ghost.list", { ...(flags.all !== undefined && { all: true }) });
    if (out.wish.json) {
      out.json(answer);
      return 0;
    }
    if (answer.ghosts.length === 0)
      out.line(out.wish.plain ? "" : "every session on this server is declared, or another town's");
    else
      out.table(
        [
          { title: "SESSION" },
          { title: "CLASS" },
          { title: "HERE", align: "right" },
          { title: "SINCE" },
          { title: "DECIDED", whenSaid: true },
          { title: "WHY", flexible: true },
        ],
        answer.ghosts.map((each) => [
          sanitise(each.name),
          each.class,
          String(each.attached),
          sinceText(each.first_seen, Date.now()),
          each.decision ?? "",
          each.why,
        ]),
      );
    for (const { name, proposal, decision } of answer.ghosts)
      if (decision === null) out.say(`${sanitise(name)}  ${proposal}`);
    if (answer.missing.length > 0) out.say(`declared and not there: ${answer.missing.join(", ")}   bosun up`);
    if (answer.foreign.length > 0)
      out.say(
        `other towns: ${answer.foreign.map((each) => `${sanitise(each.name)} (${sanitise(each.town)})`).join(", ")}`,
      );
    return 0;
  },
};

const show: Command = {
  name: "ghosts show",
  args: "NAME",
  group: "look",
  ops: ["ghost.show"],
  examples: ["bosun ghosts show build"],
  async run(invocation) {
    const answer = await (await invocation.connect()).call("ghost.show", { name: nameIn(invocation, show) });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else print(invocation, answer);
    return 0;
  },
};

function print({ out }: Invocation, { ghost, answers }: Answer<"ghost.show">): void {
  const { what, does, touches, made_by, breaks } = answers;
  const said = (text: string | null | undefined): string => (text ? sanitise(text) : "nobody can tell");
  out.line(`${sanitise(ghost.name)} is ${ghost.class}: ${ghost.why}`);
  out.line(
    `  what is it       ${said(what.command)}, pid ${what.pid ?? "?"}, user ${said(what.user)}, tmux has it since ${what.created}`,
  );
  out.line(`  what does it do  in ${said(does.cwd)}`);
  for (const line of does.last_lines) out.line(`                   │ ${sanitise(line)}`);
  out.line(
    `  what it touches  ${touches.children.length} children, ${touches.files.length} files, ${touches.sockets} sockets${touches.listens.length > 0 ? `, listens on ${touches.listens.join(", ")}` : ""}`,
  );
  for (const child of touches.children.slice(0, 5)) out.line(`                   ${sanitise(child)}`);
  out.line(`  who made it      ${said(made_by.mark ?? made_by.log ?? made_by.parent)}`);
  out.line(
    `  what breaks      ${breaks.attached} attached${breaks.stands_on.length > 0 ? `, ${breaks.stands_on.join(", ")} stand on it` : ""}`,
  );
  if (ghost.decision) out.line(`  decided          ${ghost.decision} by ${ghost.by}: ${sanitise(ghost.because ?? "")}`);
  else out.say(`next  ${ghost.proposal}`);
}

const adopt: Command = {
  name: "adopt",
  args: "NAME",
  group: "plan",
  ops: ["ghost.adopt"],
  flags: {
    purpose: { value: "TEXT", about: "what it is for (it stands in the plan)" },
    lifecycle: { value: "WHICH", about: "persistent (default; it is restarted when it ends) or manual" },
    id: { value: "ID", about: "its id in the plan; default its name" },
  },
  examples: ['bosun adopt astra_sovereign --purpose "Self-reflection loop" --lifecycle persistent'],
  async run(invocation) {
    const { out } = invocation;
    const purpose = textOf(invocation, "purpose");
    const as = textOf(invocation, "id");
    const lifecycle = textOf(invocation, "lifecycle") ?? "persistent";
    if (purpose === undefined) throw usage("a session needs a purpose", adopt, '--purpose "what it is for"');
    if (lifecycle !== "persistent" && lifecycle !== "manual")
      throw usage(`--lifecycle ${lifecycle}`, adopt, "persistent or manual");
    const adopted = await (await invocation.connect()).call("ghost.adopt", {
      name: nameIn(invocation, adopt),
      purpose,
      lifecycle,
      ...(as !== undefined && { as }),
    });
    if (out.wish.json) out.json(adopted);
    else {
      out.line(`✓ ${adopted.name} is under watch as ${adopted.session}; it went on as it was (pid ${adopted.pid})`);
      out.say(
        adopted.plan ? `its entry stands in ${adopted.plan}` : "it stands beside the plan: bosun sessions export",
      );
    }
    return 0;
  },
};

function decision(name: "ignore" | "quarantine" | "retire", example: string): Command {
  const command: Command = {
    name,
    args: "NAME",
    group: "plan",
    ops: [`ghost.${name}`],
    flags: { because: { value: "WHY" } },
    examples: [example],
    async run(invocation) {
      const because = textOf(invocation, "because");
      if (because === undefined)
        throw usage(`${name} needs a reason`, command, '--because "why": it stands in the record');
      const connection = await invocation.connect();
      const input = { name: nameIn(invocation, command), because };
      const done =
        name === "retire"
          ? await connection.call("ghost.retire", { ...input, ...(isSet(invocation, "yes") && { yes: true }) })
          : name === "ignore"
            ? await connection.call("ghost.ignore", input)
            : await connection.call("ghost.quarantine", input);
      if (invocation.out.wish.json) invocation.out.json(done);
      else
        invocation.out.line(
          `✓ ${sanitise(done.name)} is ${done.decision}${"archive" in done ? `; its record: ${done.archive}` : ""}`,
        );
      return 0;
    },
  };
  return command;
}

function nameIn(invocation: Invocation, command: Command): string {
  const [name] = invocation.args;
  if (name === undefined) throw usage(`${command.name} needs a session`, command, "bosun ghosts");
  return name;
}

export const GHOST_COMMANDS = [
  ghosts,
  show,
  adopt,
  decision("ignore", 'bosun ignore my-own --because "it is mine"'),
  decision("quarantine", 'bosun quarantine odd --because "nobody knows it"'),
  decision("retire", 'bosun retire old-build --because "left over from March"'),
];
