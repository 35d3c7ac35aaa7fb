import { type Bench, cpuMs, Ground, ratio, rssMiB, series } from "./measure.ts";
import { planOf } from "./up.ts";

const SESSIONS = 40;
const WINDOW_MS = 10_000;

/** What it costs to keep forty sessions while nothing happens. */
export const idle: Bench = {
  name: "idle",
  question: `the coordinator with ${SESSIONS} idle sessions: CPU and memory`,
  async run(runs) {
    const ground = new Ground();
    try {
      ground.write("floorplan.yaml", planOf(SESSIONS, 1));
      await ground.bosun("up", "--quiet");
      const { coordinator } = JSON.parse(await ground.bosun("status", "--json")) as { coordinator: { pid: number } };
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      const cpu: number[] = [];
      const rss: number[] = [];
      for (let run = 0; run < Math.min(runs, 5); run++) {
        const before = cpuMs(coordinator.pid);
        await new Promise((resolve) => setTimeout(resolve, WINDOW_MS));
        cpu.push(((cpuMs(coordinator.pid) - before) / WINDOW_MS) * 100);
        rss.push(rssMiB(coordinator.pid));
      }
      const all = [series("share of one core", "%", cpu), series("resident memory", "MiB", rss)];
      return {
        series: all,
        ratios: [
          ratio("CPU, % of a core", all[0]!.median, "< 1", all[0]!.median < 1),
          ratio("memory, MiB", all[1]!.median, "< 150", all[1]!.median < 150),
        ],
        notes: [`each run watches ${WINDOW_MS / 1000} s of /proc/<pid>/stat (10 ms ticks)`],
      };
    } finally {
      await ground.close();
    }
  },
};
