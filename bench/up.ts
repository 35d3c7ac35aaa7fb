import { birthCommands } from "../src/coordinator/tmux/births.ts";
import { controlLine } from "../src/coordinator/tmux/words.ts";
import { type Bench, Ground, type Ground as GroundType, has, ratio, series, timed } from "./measure.ts";

const SESSIONS = 40;
const PANES = 3;
const COMMAND = "exec sleep 3600";

/** 40 sessions of three panes, from nothing to all processes running. */
export const up: Bench = {
  name: "up",
  question: `how long ${SESSIONS} sessions × ${PANES} panes take, against tmux itself and two declarative peers`,
  async run(runs) {
    const ours: number[] = [];
    const warm: number[] = [];
    const floor: number[] = [];
    const tmuxp: number[] = [];
    const tmuxinator: number[] = [];
    for (let run = 0; run < runs; run++) {
      floor.push(await onGround(sourceFile));
      ours.push(await onGround(bosunCold));
      warm.push(await onGround(bosunWarm));
      if (has("tmuxp")) tmuxp.push(await onGround(loadTmuxp));
      if (has("tmuxinator")) tmuxinator.push(await onGround(startTmuxinator));
    }
    const all = [
      series("tmux source-file, the same commands (floor)", "ms", floor),
      series("bosun up, coordinator not running", "ms", ours),
      series("bosun up, coordinator running", "ms", warm),
      ...(tmuxp.length > 0 ? [series("tmuxp load", "ms", tmuxp)] : []),
      ...(tmuxinator.length > 0 ? [series("tmuxinator start", "ms", tmuxinator)] : []),
    ];
    const [floorMs, oursMs, warmMs] = [all[0]!.median, all[1]!.median, all[2]!.median];
    return {
      series: all,
      ratios: [
        ratio("bosun up (running coordinator) / floor", warmMs / floorMs, "≤ 1.5", warmMs / floorMs <= 1.5),
        ratio("bosun up (cold) / floor", oursMs / floorMs, "≤ 1.5", oursMs / floorMs <= 1.5),
        ...all
          .slice(3)
          .map((peer) =>
            ratio(`${peer.label} / bosun up (cold)`, peer.median / oursMs, "≥ 3", peer.median / oursMs >= 3),
          ),
      ],
      notes: [
        "the floor is the very commands bosun sends, read by tmux from one file",
        "panes run `sleep`, so only the starting is measured",
      ],
    };
  },
};

async function onGround(work: (ground: GroundType) => Promise<number>): Promise<number> {
  const ground = new Ground();
  try {
    return await work(ground);
  } finally {
    await ground.close();
  }
}

function names(): string[] {
  return Array.from({ length: SESSIONS }, (_, index) => `work-${String(index).padStart(2, "0")}`);
}

export function planOf(sessions: number, panes: number): string {
  const entries = Array.from({ length: sessions }, (_, index) => {
    const list = Array.from({ length: panes }, (_each, pane) => `{ title: pane-${pane}, run: "${COMMAND}" }`).join(
      ", ",
    );
    return `  work-${String(index).padStart(2, "0")}: { about: Work ${index}, windows: [ { name: main, layout: tiled, panes: [ ${list} ] } ] }`;
  });
  return `version: 1\nsessions:\n${entries.join("\n")}\n`;
}

/** The very commands bosun sends, in a file that tmux reads by itself: nothing that makes these sessions can be faster. */
async function sourceFile(ground: GroundType): Promise<number> {
  const lines = names().map((name) => {
    const env = {
      PATH: ground.env.PATH!,
      BOSUN_HOME: ground.env.BOSUN_HOME!,
      BOSUN_TOWN: "bench",
      BOSUN_SOCKET: `${ground.stateFolder}/bosun.sock`,
      BOSUN_TOKEN_FILE: `${ground.stateFolder}/tokens/program_${name}.00000000`,
      BOSUN_SESSION: name,
      BOSUN_EPOCH: "1",
    };
    const panes = Array.from({ length: PANES }, (_, pane) => ({
      slot: `0.${pane}`,
      title: `pane-${pane}`,
      cwd: ground.folder,
      env,
      argv: ["/bin/sh", "-c", COMMAND],
    }));
    return controlLine(
      birthCommands({
        name,
        marks: { town: "bench", id: name, epoch: 1, shape: "0123456789abcdef" },
        size: { columns: 200, rows: 50 },
        sizing: "fixed",
        windows: [{ name: "main", layout: "tiled", panes }],
      }),
    );
  });
  const file = ground.write("floor.conf", lines.join(""));
  const ms = await timed(() =>
    ground.run("tmux", ["-L", ground.socket, "-f", "/dev/null", "start-server", ";", "source-file", file]),
  );
  return checked(ground, ms);
}

async function bosunCold(ground: GroundType): Promise<number> {
  ground.write("floorplan.yaml", planOf(SESSIONS, PANES));
  const ms = await timed(() => ground.bosun("up", "--quiet"));
  return checked(ground, ms);
}

async function bosunWarm(ground: GroundType): Promise<number> {
  ground.write("floorplan.yaml", planOf(SESSIONS, PANES));
  await ground.bosun("start");
  const ms = await timed(() => ground.bosun("up", "--quiet"));
  return checked(ground, ms);
}

async function loadTmuxp(ground: GroundType): Promise<number> {
  const files = names().map((name) =>
    ground.write(
      `${name}.yaml`,
      `session_name: ${name}\nwindows:\n- window_name: main\n  layout: tiled\n  panes:\n${`  - shell_command: ["${COMMAND}"]\n`.repeat(PANES)}`,
    ),
  );
  const ms = await timed(() => ground.run("tmuxp", ["load", "-d", "-y", "-L", ground.socket, ...files]));
  return checked(ground, ms);
}

async function startTmuxinator(ground: GroundType): Promise<number> {
  const files = names().map((name) =>
    ground.write(
      `${name}.yml`,
      `name: ${name}\nroot: ${ground.folder}\ntmux_options: -L ${ground.socket} -f /dev/null\nwindows:\n  - main:\n      layout: tiled\n      panes:\n${`        - ${COMMAND}\n`.repeat(PANES)}`,
    ),
  );
  const ms = await timed(async () => {
    for (const file of files) await ground.run("tmuxinator", ["start", "-p", file, "--no-attach"]);
  });
  return checked(ground, ms);
}

/** A run counts only when everything asked for is there. */
function checked(ground: GroundType, ms: number): number {
  const panes = ground
    .tmux("list-panes", "-a", "-F", "#{session_name}")
    .split("\n")
    .filter((name) => name.startsWith("work-")).length;
  if (panes !== SESSIONS * PANES) throw new Error(`${panes} panes instead of ${SESSIONS * PANES}`);
  return ms;
}
