import type { Answer } from "../../client/operations.gen.ts";
import { BosunError } from "../../protocol/error.ts";
import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, textOf } from "../command.ts";
import { sinceText } from "../time.ts";

type Up = Answer<"town.up">;

const up: Command = {
  name: "up",
  args: "[NAME…]",
  group: "plan",
  ops: ["town.up"],
  flags: {
    restart: { about: "also restart sessions that differ from the plan" },
    "dry-run": { about: "only show what would be done" },
    restore: {},
    move: {},
  },
  examples: ["bosun up", "bosun up agents-spx", "bosun up --restart", "bosun up --restore"],
  async run(invocation) {
    const { out } = invocation;
    const connection = await invocation.connect();
    const input = {
      ...planOf(invocation),
      ...(invocation.args.length > 0 && { sessions: invocation.args }),
      ...(isSet(invocation, "restart") && { restart: true }),
      ...(isSet(invocation, "yes") && { yes: true }),
      ...(isSet(invocation, "dry-run") && { dryRun: true }),
      ...(isSet(invocation, "restore") && { restore: true }),
      ...(isSet(invocation, "move") && { move: true }),
      ...serverOf(invocation),
    };
    const done = await connection.call("town.up", input, {
      onEvent: (event) => {
        const {
          done: count,
          total,
          session,
          did,
        } = event as { done: number; total: number; session: string; did: string };
        out.progress(`${bar(count, total)}  ${count}/${total}  ${session} ${did}`);
      },
    });
    out.clearProgress();
    if (out.wish.json) out.json(done);
    else printUp(invocation, done);
    if (done.held.some((step) => step.needs === "name-taken")) return CONFLICT_EXIT;
    return done.failed.length > 0 ? 1 : 0;
  },
};

/** A person's environment goes over the plan, also when the coordinator was started in another one. */
function serverOf(invocation: Invocation): { tmuxSocket?: string } {
  const { tmuxSocket } = invocation.place();
  return tmuxSocket === null ? {} : { tmuxSocket };
}

/** Somebody else has the name of a declared session. */
const CONFLICT_EXIT = 5;

const BAR_CELLS = 20;

function bar(done: number, total: number): string {
  const full = Math.round((done / Math.max(total, 1)) * BAR_CELLS);
  return "█".repeat(full) + "░".repeat(BAR_CELLS - full);
}

function printUp(invocation: Invocation, done: Up): void {
  const { out } = invocation;
  const sets: [string, string, string[]][] = [
    ["+", "created", done.created],
    ["=", "found again", done.adopted],
    ["↻", "started again", done.restarted],
    ["-", "stopped", done.stopped],
  ];
  if (isSet(invocation, "dry-run")) printSteps(invocation, (done as { steps?: Step[] }).steps ?? []);
  for (const [mark, word, names] of sets)
    if (names.length > 0)
      out.line(
        `  ${mark}  ${word.padEnd(14)} ${String(names.length).padStart(3)}  ${shortList(names, out.columns - 28)}`,
      );
  for (const step of done.held.filter((each) => each.needs !== "name-taken"))
    out.say(`  !  ${step.name}: ${step.why}; waits for ${step.needs}`);
  for (const { session, error } of done.failed) out.complain(`  ✕  ${session}: ${error}`);
  const changed = done.created.length + done.adopted.length + done.restarted.length + done.stopped.length;
  const running = changed + done.unchanged - done.stopped.length;
  if (changed === 0 && done.failed.length === 0)
    out.line(`town ${done.town}: nothing to do (${done.unchanged} as declared)`);
  else
    out.line(
      `town ${done.town}: ${running} as declared, ${done.failed.length} failed · ${(done.ms / 1000).toFixed(1)} s`,
    );
  if (done.unknown.length > 0)
    out.say(
      `${done.unknown.map(sanitise).join(", ")}: nobody declared ${done.unknown.length === 1 ? "it" : "them"}   bosun ghosts`,
    );
  if (changed > 0) out.say("next  bosun status · bosun feed '*' -f · bosun attach NAME");
}

function shortList(names: readonly string[], cells: number): string {
  let text = "";
  for (const [index, name] of names.entries()) {
    const next = text === "" ? name : `${text}, ${name}`;
    if (next.length > cells - 8) return `${text} … ${names.length - index} more`;
    text = next;
  }
  return text;
}

const down: Command = {
  name: "down",
  args: "[NAME…]",
  group: "plan",
  ops: ["town.down"],
  flags: { "dry-run": { about: "only show what would be stopped" } },
  examples: ["bosun down", "bosun down agents-spx"],
  async run(invocation) {
    const { out } = invocation;
    const connection = await invocation.connect();
    const done = await connection.call("town.down", {
      ...(invocation.args.length > 0 && { sessions: invocation.args }),
      ...(isSet(invocation, "yes") && { yes: true }),
      ...(isSet(invocation, "dry-run") && { dryRun: true }),
    });
    if (out.wish.json) out.json(done);
    else {
      if (isSet(invocation, "dry-run")) printSteps(invocation, (done as { steps?: Step[] }).steps ?? []);
      else
        out.line(
          done.stopped.length === 0
            ? "nothing to stop"
            : `stopped ${done.stopped.length}: ${shortList(done.stopped, out.columns - 14)}`,
        );
      for (const step of done.held) out.complain(`  !  ${step.name} goes on: ${step.needs}`);
    }
    return done.held.length > 0 ? 5 : 0;
  },
};

const restart: Command = {
  name: "restart",
  args: "NAME…",
  group: "plan",
  ops: ["session.restart"],
  flags: { fresh: {}, because: { value: "WHY" } },
  examples: ["bosun restart agents-spx", 'bosun restart --fresh sisters --because "its context is used up"'],
  async run(invocation) {
    if (invocation.args.length === 0) throw usage("restart needs the name of a session", restart);
    const connection = await invocation.connect();
    const done = await connection.call("session.restart", {
      sessions: invocation.args,
      ...(isSet(invocation, "yes") && { yes: true }),
      ...(isSet(invocation, "fresh") && { fresh: true }),
      ...(textOf(invocation, "because") !== undefined && { because: textOf(invocation, "because")! }),
    });
    if (invocation.out.wish.json) invocation.out.json(done);
    else {
      if (done.restarted.length > 0) invocation.out.line(`restarted ${done.restarted.join(", ")}`);
      for (const step of done.held) invocation.out.complain(`  !  ${step.name} was left alone: ${step.needs}`);
    }
    return done.held.length > 0 ? 5 : 0;
  },
};

type Step = Answer<"plan.diff">["steps"][number];

const MARKS: Record<Step["do"], string> = {
  create: "+",
  adopt: "=",
  rename: "~",
  restart: "↻",
  respawn: "↻",
  stop: "-",
  none: " ",
};

function printSteps({ out }: Invocation, steps: readonly Step[]): void {
  const shown = steps.filter((step) => step.do !== "none" || step.needs !== null);
  if (shown.length === 0) {
    out.line(`as declared: ${steps.length} sessions`);
    return;
  }
  out.table(
    [{ title: "" }, { title: "DO" }, { title: "SESSION" }, { title: "WHY", flexible: true }, { title: "WAITS FOR" }],
    shown.map((step) => [
      step.needs === "name-taken" ? "!" : MARKS[step.do],
      step.do,
      step.name,
      step.why,
      step.needs ?? "",
    ]),
  );
}

const diff: Command = {
  name: "diff",
  args: "[NAME…]",
  group: "plan",
  ops: ["plan.diff"],
  examples: ["bosun diff", "bosun diff --json"],
  async run(invocation) {
    const connection = await invocation.connect();
    const answer = await connection.call("plan.diff", {
      ...planOf(invocation),
      ...(invocation.args.length > 0 && { sessions: invocation.args }),
      ...serverOf(invocation),
    });
    if (invocation.out.wish.json) invocation.out.json(answer, "steps");
    else printSteps(invocation, answer.steps);
    return 0;
  },
};

/** The plan file a command works on; without one the plan in force is meant. */
function planOf(invocation: Invocation): { file?: string } {
  const { plan } = invocation.place();
  return plan === null ? {} : { file: plan };
}

const start: Command = {
  name: "start",
  anywhere: true,
  group: "keep",
  summary: "Start the coordinator; any command that needs it does the same",
  async run(invocation) {
    const connection = await invocation.connect();
    const { coordinator, town } = await connection.call("town.status", {});
    if (invocation.out.wish.json) invocation.out.json({ town, coordinator });
    else invocation.out.line(`coordinator of ${town} runs, pid ${coordinator.pid}`);
    return 0;
  },
};

/** It still has tmux to leave and files to close when it hangs up; whoever stops it may start another at once. */
const LEAVES_WITHIN_MS = 5_000;

async function gone(pid: number): Promise<void> {
  for (const untilMs = Date.now() + LEAVES_WITHIN_MS; Date.now() < untilMs; ) {
    try {
      process.kill(pid, 0);
    } catch {
      // ESRCH: it has gone.
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const stop: Command = {
  name: "stop",
  anywhere: true,
  group: "keep",
  ops: ["coordinator.stop"],
  async run(invocation) {
    const connection = await invocation.connect({ start: false }).catch((error: unknown) => {
      if (error instanceof BosunError && error.code === "UNREACHABLE") return null;
      throw error;
    });
    if (!connection) {
      invocation.out.say("the coordinator does not run");
      return 0;
    }
    const { pid } = await connection.call("coordinator.stop", {});
    await connection.closed;
    await gone(pid);
    if (invocation.out.wish.json) invocation.out.json({ pid });
    else invocation.out.line(`coordinator stopped (pid ${pid}); the sessions go on`);
    return 0;
  },
};

const why: Command = {
  name: "why",
  args: "NAME",
  group: "look",
  ops: ["session.why"],
  examples: ["bosun why reviewer"],
  async run(invocation) {
    const { out } = invocation;
    const [session] = invocation.args;
    if (session === undefined) throw usage("why needs a session", why, "bosun ls");
    const answer = await (await invocation.connect()).call("session.why", { session });
    if (out.wish.json) out.json(answer);
    else {
      out.line(`${answer.session} is ${answer.state}: ${answer.evidence} (restart: ${answer.policy})`);
      for (const each of answer.ends) {
        const next = each.next_at === null ? "no further try" : `next try ${each.next_at}`;
        out.line(
          `  ${sinceText(each.at, Date.now())} ago  pane ${each.pane}  ${each.exit} → ${each.decided}: ${each.because}; ${next}`,
        );
        out.line(`    ${each.streak} in a row, ${each.failures} failures in a day`);
      }
      if (answer.ends.length === 0) out.say("none of its processes has ended by itself");
    }
    return 0;
  },
};

const resetFailed: Command = {
  name: "reset-failed",
  args: "NAME…",
  group: "plan",
  ops: ["session.reset"],
  examples: ["bosun reset-failed reviewer"],
  async run(invocation) {
    if (invocation.args.length === 0) throw usage("reset-failed needs a session", resetFailed, "bosun why NAME");
    const done = await (await invocation.connect()).call("session.reset", { sessions: invocation.args });
    if (invocation.out.wish.json) invocation.out.json(done);
    else invocation.out.line(`✓ ${done.reset.join(", ")}: the count begins again`);
    return 0;
  },
};

export const PLAN_COMMANDS = [why, resetFailed, up, down, restart, diff, start, stop];
