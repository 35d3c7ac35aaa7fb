import { type Bench, Ground, ratio, series, timed } from "./measure.ts";
import { planOf } from "./up.ts";

const SESSIONS = 100;

/** What people and agents do all day: look, and bring up what is up already. */
export const second: Bench = {
  name: "second",
  question: `a second \`up\` and \`status\` with ${SESSIONS} sessions running`,
  async run(runs) {
    const ground = new Ground();
    try {
      ground.write("floorplan.yaml", planOf(SESSIONS, 1));
      await ground.bosun("up", "--quiet");
      const many = Math.max(runs * 3, 15);
      const bare: number[] = [];
      const status: number[] = [];
      const again: number[] = [];
      for (let run = 0; run < many; run++) {
        bare.push(await timed(() => ground.run(process.execPath, ["-e", "0"])));
        status.push(await timed(() => ground.bosun("status", "--json")));
        again.push(await timed(() => ground.bosun("up", "--quiet")));
      }
      const before = JSON.parse(await ground.bosun("events", "--json", "--last", "1")) as { next: number };
      const answer = JSON.parse(await ground.bosun("up", "--json")) as { round_trips: number };
      const after = JSON.parse(await ground.bosun("events", "--json", "--last", "1")) as { next: number };
      const all = [
        series("node -e 0", "ms", bare),
        series(`bosun status --json, ${SESSIONS} sessions`, "ms", status),
        series("bosun up, nothing to do", "ms", again),
      ];
      const bareMs = all[0]!.median;
      const written = after.next - before.next;
      return {
        series: all,
        ratios: [
          ratio("status --json / node -e 0", all[1]!.median / bareMs, "≤ 2", all[1]!.median / bareMs <= 2),
          ratio("second up / node -e 0", all[2]!.median / bareMs, "(no goal)", true),
          ratio("second up: tmux round trips", answer.round_trips, "≤ 2", answer.round_trips <= 2),
          ratio("second up: events written", written, "0", written === 0),
        ],
        notes: [],
      };
    } finally {
      await ground.close();
    }
  },
};
