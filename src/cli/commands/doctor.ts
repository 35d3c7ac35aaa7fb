import { sanitise } from "../../protocol/text.ts";
import { type Command, isSet, textOf } from "../command.ts";

const MARKS = { ok: "ok", note: "·", unknown: "?", warning: "!", problem: "!!" } as const;

const doctor: Command = {
  name: "doctor",
  anywhere: true,
  args: "[NAME…]",
  group: "keep",
  ops: ["town.doctor", "town.fix"],
  flags: {
    fix: { about: "mend what is safe to mend, and look again" },
    undo: { about: "give sessions that were renamed their old names back: those named, or all" },
    only: { value: "ID" },
  },
  examples: [
    "bosun doctor",
    "bosun doctor --fix",
    "bosun doctor --fix hq-mayor",
    "bosun doctor --undo hq-mayor",
    "bosun doctor --only handoff --json",
  ],
  async run(invocation) {
    const { out } = invocation;
    const only = textOf(invocation, "only");
    const connection = await invocation.connect();
    const input = only === undefined ? {} : { only };
    const undo = isSet(invocation, "undo");
    const answer =
      undo || isSet(invocation, "fix")
        ? await connection.call("town.fix", {
            ...input,
            ...(invocation.args.length > 0 && { names: invocation.args }),
            ...(undo && { undo }),
          })
        : await connection.call("town.doctor", input);
    const bad = answer.findings.filter((each) => each.level === "problem").length;
    if (out.wish.json) {
      out.json(answer);
      return bad > 0 ? 1 : 0;
    }
    const well = answer.checks - new Set(answer.findings.filter((each) => !each.fixed).map((each) => each.id)).size;
    out.line(`${answer.checks} checks, ${answer.ms} ms · ${well} found nothing`);
    for (const each of answer.findings) {
      if (each.fixed) {
        out.line(`  ok  ${each.id.padEnd(20)} ${undo ? "" : "mended: "}${sanitise(each.finding)}`);
        continue;
      }
      out.line(`  ${MARKS[each.level].padEnd(3)} ${each.id.padEnd(20)} ${sanitise(each.finding)}`);
      if (each.consequence !== "none") out.line(`      ${"".padEnd(20)} ${sanitise(each.consequence)}`);
      out.line(
        `      ${"".padEnd(20)} ${each.fixable && !each.remedy.startsWith("bosun doctor --fix") ? "bosun doctor --fix, or " : ""}${sanitise(each.remedy)}`,
      );
    }
    return bad > 0 ? 1 : 0;
  },
};

export const DOCTOR_COMMANDS = [doctor];
