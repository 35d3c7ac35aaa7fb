import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { BosunError, type ErrorBody } from "../../protocol/error.ts";
import { usage } from "../arguments.ts";
import { type Command, type Invocation, textOf } from "../command.ts";
import { CommandPane } from "../command-pane.ts";

const init: Command = {
  name: "init",
  group: "plan",
  summary: "Write a floor plan with comments into this folder",
  flags: { preset: { value: "NAME", about: "floor (default), per-instrument, per-user, gastown, ship or solo" } },
  examples: ["bosun init", "bosun init --preset gastown"],
  run(invocation) {
    const folder = join(invocation.distFolder, "..", "presets");
    const presets = readdirSync(folder).flatMap((name) => (name.endsWith(".yaml") ? [name.slice(0, -5)] : []));
    const preset = textOf(invocation, "preset") ?? "floor";
    if (!presets.includes(preset))
      throw usage(`there is no preset ${preset}`, init, `the presets are ${presets.join(", ")}`);
    const file = resolve(textOf(invocation, "file") ?? "floorplan.yaml");
    if (existsSync(file)) {
      throw new BosunError({
        code: "CONFLICT",
        what: `${file} exists`,
        why: "init never overwrites a plan",
        fix: "bosun check   tells whether it is right; -f OTHER.yaml writes another",
      });
    }
    // The schema that completes and checks in an editor is the one of this installation.
    const schema = join(invocation.distFolder, "..", "schema", "floorplan.schema.json");
    const text = readFileSync(join(folder, `${preset}.yaml`), "utf8").replace(
      "$schema=./floorplan.schema.json",
      `$schema=${schema}`,
    );
    writeFileSync(file, text);
    if (invocation.out.wish.json) invocation.out.json({ file, preset });
    else {
      invocation.out.line(`wrote ${file}`);
      invocation.out.say("next  bosun up · bosun status · bosun plan show");
    }
    return 0;
  },
};

const check: Command = {
  name: "check",
  args: "[FILE]",
  group: "plan",
  summary: "Read a floor plan and say what is wrong with it; nothing is started",
  run(invocation) {
    const file = invocation.args[0] ?? textOf(invocation, "file") ?? invocation.place().plan;
    if (!file) throw new BosunError({ code: "NOT_FOUND", what: "there is no floor plan here", fix: "bosun init" });
    const town = textOf(invocation, "town") ?? process.env.GT_TOWN_NAME ?? process.env.BOSUN_TOWN;
    const plan = planTool(invocation, ["check", resolve(file), ...(town ? ["--town", town] : [])]) as {
      town: string;
      sessions: unknown[];
      rooms: unknown[];
      users: unknown[];
      notes: string[];
    };
    if (invocation.out.wish.json) invocation.out.json(plan);
    else {
      invocation.out.line(
        `${file} is right: town ${plan.town}, ${plan.sessions.length} sessions, ${plan.rooms.length} rooms, ${plan.users.length} users`,
      );
      for (const note of plan.notes) invocation.out.say(`note  ${note}`);
    }
    return 0;
  },
};

const importPlan: Command = {
  name: "import",
  args: "KIND FILE",
  group: "plan",
  summary: "Turn a tmuxp, tmuxinator or Procfile file, or a Gas Town root, into a floor plan, on standard output",
  flags: { output: { short: "o", value: "FILE", about: "write it there" } },
  examples: [
    "bosun import tmuxp dev.yaml > floorplan.yaml",
    "bosun import procfile Procfile -o floorplan.yaml",
    "bosun import gastown ~/gt -o ~/gt/floorplan.yaml",
  ],
  run(invocation) {
    const [kind, file] = invocation.args;
    if (kind === undefined || file === undefined)
      throw usage(
        "import needs a kind and a file",
        importPlan,
        "the kinds are tmuxp, tmuxinator, procfile and gastown",
      );
    const made = planTool(invocation, ["import", kind, file]) as {
      yaml: string;
      dropped: { file?: string; key: string; line: number | null; why: string }[];
      next?: { run: string; why: string }[];
    };
    const target = textOf(invocation, "output");
    if (target && existsSync(target))
      throw new BosunError({
        code: "CONFLICT",
        what: `${target} exists`,
        why: "import never overwrites",
        fix: "choose another name",
      });
    if (target) writeFileSync(target, made.yaml);
    if (invocation.out.wish.json) invocation.out.json(made);
    else if (!target) invocation.out.write(made.yaml);
    for (const { file: own, key, line, why } of made.dropped) {
      const place = own === undefined ? file : join(file, own);
      invocation.out.say(`${line === null ? place : `${place}:${line}`}: ${key} was left out: ${why}`);
    }
    if (made.next) sayNext(invocation, made.next, target ?? join(file, "floorplan.yaml"), target !== undefined);
    return 0;
  },
};

function sayNext(
  { out }: Invocation,
  steps: readonly { run: string; why: string }[],
  plan: string,
  written: boolean,
): void {
  out.say(written ? `wrote ${plan}` : `save it as ${plan}: -o ${plan}`);
  out.say("next, there");
  for (const { run, why } of steps) out.say(`  ${run.padEnd(20)} ${why}`);
}

/** Reading YAML takes a parser this program does not carry: `plan.js` beside it does. */
function planTool(invocation: Invocation, args: string[]): unknown {
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const ran = spawnSync(process.execPath, [join(invocation.distFolder, "plan.js"), ...args], {
    encoding: "utf8",
    maxBuffer: 256 * 1_048_576,
  });
  const answer = parsed(ran.stdout);
  if (answer && "ok" in answer) return answer.ok;
  throw new BosunError(
    answer?.error ?? { code: "FAILED", what: "the floor plan could not be read", why: ran.stderr.slice(-500) },
  );
}

function parsed(text: string): { ok: unknown; error?: never } | { error: ErrorBody } | null {
  try {
    return JSON.parse(text) as { ok: unknown };
  } catch {
    // It died before it could say anything; its standard error tells.
    return null;
  }
}

const command: Command = {
  name: "command",
  group: "shell",
  hidden: true,
  summary: "The command line of a view",
  run: (invocation) => new CommandPane(invocation).run(),
};

const demo: Command = {
  name: "demo",
  group: "shell",
  summary:
    "A trading floor on real prices for a minute, in a folder and a tmux server of its own; cleans up after itself",
  flags: {
    stay: { about: "leave it running and say how to look around" },
    seconds: { value: "N", about: "how long (default 40)" },
  },
  async run(invocation) {
    const script = join(invocation.distFolder, "..", "examples", "trading-floor", "demo.ts");
    if (!existsSync(script))
      throw new BosunError({
        code: "NOT_FOUND",
        what: "the demo is not part of this installation",
        fix: "run it from a checkout: bin/bosun demo",
      });
    const seconds = textOf(invocation, "seconds");
    const args = [
      script,
      ...(seconds ? ["--seconds", seconds] : []),
      ...("stay" in invocation.flags ? ["--stay"] : []),
    ];
    const { spawn } = process.getBuiltinModule("node:child_process");
    const child = spawn(process.execPath, args, { stdio: "inherit" });
    // Ctrl-C and a closed terminal reach both: the demo takes its town down first, and we wait for that.
    for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    return await new Promise((ended) => child.once("close", (code) => ended(code ?? 1)));
  },
};

export const SHELL_COMMANDS = [init, check, importPlan, command, demo];
