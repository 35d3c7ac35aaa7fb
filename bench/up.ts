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
        "the floor marks, names, titles, sizes and lays out every session as bosun does, from one file",
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

async function sourceFile(ground: GroundType): Promise<number> {
  const lines = names().flatMap((name) => {
    const target = `=${name}:`;
    const env = `-e BOSUN_TOWN=bench -e BOSUN_SESSION=${name} -e BOSUN_SOCKET=/run/bosun.sock -e BOSUN_TOKEN_FILE=/run/tokens/${name}`;
    return [
      `new-session -d -s ${name} -n main -x 200 -y 50 -c / ${env} /bin/sh -c "${COMMAND}"`,
      `set-option -t =${name} @town bench`,
      `set-option -t =${name} @id ${name}`,
      `set-option -t =${name} @epoch 1`,
      `set-option -t =${name} @shape 0123456789abcdef`,
      `set-option -w -t ${target} remain-on-exit on`,
      `set-option -p -t ${target} @slot 0.0`,
      `select-pane -t ${target} -T pane-0`,
      ...Array.from({ length: PANES - 1 }, (_, index) => [
        `split-window -d -t ${target} -c / ${env} /bin/sh -c "${COMMAND}"`,
        `set-option -p -t "${target}.{bottom}" @slot 0.${index + 1}`,
        `select-pane -t "${target}.{bottom}" -T pane-${index + 1}`,
      ]).flat(),
      `select-layout -t ${target} tiled`,
      `resize-window -t ${target} -x 200 -y 50`,
    ];
  });
  const file = ground.write("floor.conf", `${lines.join("\n")}\n`);
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
