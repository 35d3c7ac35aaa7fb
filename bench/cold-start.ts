import { type Bench, CLI, Ground, ratio, series, timed } from "./measure.ts";

/** What every call of the command line costs before it does anything. */
export const coldStart: Bench = {
  name: "cold-start",
  question: "the command line's own start against a bare Node.js",
  async run(runs) {
    const ground = new Ground();
    const many = Math.max(runs * 5, 25);
    const bare: number[] = [];
    const version: number[] = [];
    const help: number[] = [];
    try {
      for (let run = 0; run < many; run++) {
        bare.push(await timed(() => ground.run(process.execPath, ["-e", "0"])));
        version.push(await timed(() => ground.run(process.execPath, [CLI, "--version"])));
        help.push(await timed(() => ground.run(process.execPath, [CLI, "help"])));
      }
    } finally {
      await ground.close();
    }
    const all = [
      series("node -e 0", "ms", bare),
      series("bosun --version", "ms", version),
      series("bosun help", "ms", help),
    ];
    return {
      series: all,
      ratios: all
        .slice(1)
        .map((each) =>
          ratio(`${each.label} / node -e 0`, each.median / all[0]!.median, "≤ 2", each.median / all[0]!.median <= 2),
        ),
      notes: [],
    };
  },
};
