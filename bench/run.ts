/**
 * `npm run bench [NAME…] [-- --runs N]`: measures, prints, and keeps what it measured in `bench/results/`. Nothing here fails
 * for being slow: a figure is always a ratio to a peer or to the physical floor, taken in the same run.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { agents } from "./agents.ts";
import { coldStart } from "./cold-start.ts";
import { deaths } from "./deaths.ts";
import { deliveries } from "./deliveries.ts";
import { hostile } from "./hostile.ts";
import { hub } from "./hub.ts";
import { hubScale } from "./hub-scale.ts";
import { idle } from "./idle.ts";
import { latency } from "./latency.ts";
import { type Bench, machine, type Result } from "./measure.ts";
import { second } from "./second.ts";
import { sessions } from "./sessions.ts";
import { stored } from "./stored.ts";
import { up } from "./up.ts";
import { writes } from "./writes.ts";

const BENCHES: Bench[] = [
  up,
  second,
  latency,
  writes,
  hub,
  hubScale,
  stored,
  sessions,
  deliveries,
  agents,
  deaths,
  hostile,
  coldStart,
  idle,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "5" } },
});
const folder = join(import.meta.dirname, "results");
mkdirSync(folder, { recursive: true });
execFileSync(process.execPath, ["scripts/build.ts"], { cwd: join(import.meta.dirname, ".."), stdio: "inherit" });

for (const bench of BENCHES) {
  if (positionals.length > 0 && !positionals.includes(bench.name)) continue;
  process.stdout.write(`\n${bench.name}: ${bench.question}\n`);
  const measured = await bench.run(Number(values.runs));
  const result: Result = {
    bench: bench.name,
    question: bench.question,
    at: new Date().toISOString(),
    machine: machine(),
    ...measured,
  };
  for (const { label, median, unit, runs } of result.series)
    process.stdout.write(`  ${label.padEnd(58)} ${String(median).padStart(10)} ${unit}   n=${runs.length}\n`);
  for (const { label, value, goal, holds } of result.ratios)
    process.stdout.write(`  ${holds ? "✓" : "✗"} ${label.padEnd(56)} ${String(value).padStart(10)}     goal ${goal}\n`);
  for (const note of result.notes) process.stdout.write(`  · ${note}\n`);
  writeFileSync(join(folder, `${bench.name}.json`), `${JSON.stringify(result, null, 2)}\n`);
}
