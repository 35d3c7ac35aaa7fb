import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { Place } from "../../client/place.ts";
import { BosunError } from "../../protocol/error.ts";
import { shellWord } from "../../protocol/shell.ts";
import { type Command, type Invocation, isSet } from "../command.ts";

/**
 * What keeps the coordinator itself alive: a systemd user unit, or lines of the crontab. Both bring back what ran: after a crash
 * within seconds, after a reboot with `up --restore`.
 */
const install: Command = {
  name: "service install",
  group: "keep",
  summary: "Keep the coordinator itself alive, also over a reboot: a systemd user unit, or cron",
  flags: {
    cron: { about: "lines of the crontab instead of a systemd unit" },
    print: { about: "only show what would be written" },
  },
  examples: ["bosun service install", "bosun service install --cron", "bosun service install --print"],
  run(invocation) {
    return isSet(invocation, "cron") ? writeCron(invocation, true) : writeUnit(invocation);
  },
};

const uninstall: Command = {
  name: "service uninstall",
  group: "keep",
  summary: "Take the unit, or the lines of the crontab, out again",
  flags: { cron: { about: "the lines of the crontab" } },
  run(invocation) {
    if (isSet(invocation, "cron")) return writeCron(invocation, false);
    const { name, file } = unitOf(invocation.place());
    run("systemctl", ["--user", "disable", "--now", name], true);
    rmSync(file, { force: true });
    run("systemctl", ["--user", "daemon-reload"], true);
    invocation.out.line(`✓ ${file} is gone; the sessions go on`);
    return 0;
  },
};

function writeUnit(invocation: Invocation): number {
  const { out } = invocation;
  const place = invocation.place();
  const { name, file } = unitOf(place);
  const text = unitText(place, invocation.distFolder);
  if (isSet(invocation, "print")) {
    out.write(text);
    return 0;
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  run("systemctl", ["--user", "daemon-reload"]);
  run("systemctl", ["--user", "enable", "--now", name]);
  out.line(`✓ ${name} keeps the coordinator of ${place.town} alive: ${file}`);
  out.say("to run without anybody logged in: loginctl enable-linger");
  return 0;
}

function unitOf(place: Place): { name: string; file: string } {
  const name = `bosun-${place.town}.service`;
  const config = process.env.XDG_CONFIG_HOME?.startsWith("/")
    ? process.env.XDG_CONFIG_HOME
    : join(homedir(), ".config");
  return { name, file: join(config, "systemd", "user", name) };
}

/** `KillMode=process`: the tmux server and everything in it may hang below the coordinator, and must outlive it. */
function unitText(place: Place, dist: string): string {
  const start = [process.execPath, join(dist, "coordinator.js"), "--wait", ...placeFlags(place)];
  const restore = [process.execPath, join(dist, "bosun.js"), ...commandFlags(place), "up", "--restore", "--quiet"];
  return `[Unit]
Description=bosun: coordinator of the town ${place.town}

[Service]
ExecStart=${start.map(unitWord).join(" ")}
ExecStartPost=-${restore.map(unitWord).join(" ")}
Restart=always
RestartSec=1
KillMode=process
WorkingDirectory=${place.root}
Environment=${unitWord(`BOSUN_HOME=${place.home}`)} ${unitWord(`PATH=${process.env.PATH ?? "/usr/local/bin:/usr/bin:/bin"}`)}

[Install]
WantedBy=default.target
`;
}

function placeFlags(place: Place): string[] {
  return [
    ...["--town", place.town, "--from", place.from, "--root", place.root, "--home", place.home],
    ...(place.plan ? ["--plan", place.plan] : []),
    ...(place.tmuxSocket ? ["--tmux-socket", place.tmuxSocket] : []),
  ];
}

function commandFlags(place: Place): string[] {
  return [...(place.plan ? ["-f", place.plan] : []), "--town", place.town];
}

/** systemd reads quotes, `%` and `$` in its lines. */
function unitWord(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%").replaceAll("$", "$$")}"`;
}

function writeCron(invocation: Invocation, wanted: boolean): number {
  const { out } = invocation;
  const place = invocation.place();
  const mark = `# bosun: ${place.town}`;
  const command = [
    ...["env", `BOSUN_HOME=${place.home}`, `PATH=${process.env.PATH ?? "/usr/bin:/bin"}`],
    ...(place.tmuxSocket ? [`BOSUN_TMUX_SOCKET=${place.tmuxSocket}`] : []),
    ...[
      process.execPath,
      join(invocation.distFolder, "bosun.js"),
      ...commandFlags(place),
      "up",
      "--restore",
      "--quiet",
    ],
  ]
    .map(shellWord)
    .join(" ");
  // In a crontab a percent sign ends the command.
  const line = `cd ${shellWord(place.root)} && ${command}`.replaceAll("%", "\\%");
  const lines = [`@reboot ${line} ${mark}`, `* * * * * ${line} ${mark}`];
  if (isSet(invocation, "print")) {
    out.lines(lines);
    return 0;
  }
  const others = crontab().filter((each) => !each.endsWith(mark));
  run("crontab", ["-"], false, `${[...others, ...(wanted ? lines : [])].join("\n")}\n`);
  out.line(
    wanted ? `✓ cron looks after ${place.town} every minute, and at each reboot` : `✓ cron leaves ${place.town} alone`,
  );
  return 0;
}

function crontab(): string[] {
  const text = run("crontab", ["-l"], true);
  return text.split("\n").filter((line) => line !== "");
}

/** With `mayFail` a failure is an empty answer: there is no crontab yet, or no such unit any more. */
function run(command: string, args: string[], mayFail = false, input?: string): string {
  // Loaded here only: few commands start another program.
  const { execFileSync } = process.getBuiltinModule("node:child_process");
  try {
    return execFileSync(command, args, {
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
      ...(input !== undefined && { input }),
    });
  } catch (error) {
    if (mayFail) return "";
    const failed = error as { code?: string; stderr?: string; message: string };
    throw new BosunError({
      code: "FAILED",
      what: `${command} ${args.join(" ")} failed`,
      why:
        failed.code === "ENOENT"
          ? `${command} is not installed here`
          : (failed.stderr ?? failed.message).trim().slice(0, 300),
      fix: "bosun service install --cron, or --print and place it by hand",
    });
  }
}

export const SERVICE_COMMANDS = [install, uninstall];
