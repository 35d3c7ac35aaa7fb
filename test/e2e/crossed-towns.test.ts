import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { TownUnderTest } from "./town-under-test.ts";

const ROUNDS = Number(process.env["CROSSED_ROUNDS"] ?? 100);

/** What one `up` and one `down` at the same time may take on a busy machine. */
const ROUND_MS = 10_000;

const NAMES: Record<string, string[]> = {
  gt11: ["gt-beads-refinery", "gt-beads-witness", "hq-gt11-boot", "hq-gt11-deacon", "hq-gt11-mayor"],
  gt12: ["gt-newrig-witness", "hq-gt12-deacon", "hq-gt12-mayor"],
};
// A third, whose name begins like the others' and whose sessions nobody touches.
const QUIET = "gt1";
const QUIET_NAMES = ["gt-gt11-witness", "hq-gt1-deacon", "hq-gt1-mayor"];

const plan = (rigs: string, more = ""): string => `version: 1
names: gastown
defaults: { restart: always }
sessions:
  mayor: { role: mayor, run: exec sleep 900 }
  deacon: { role: deacon, run: exec sleep 900 }
${more}rigs:
  ${rigs}
`;
const WITNESS = "witness: { role: witness, run: exec sleep 900 }";
const PLANS: Record<string, string> = {
  gt11: plan(
    `beads: { sessions: { ${WITNESS}, refinery: { role: refinery, run: exec sleep 900 } } }`,
    "  boot: { role: boot, run: exec sleep 900, after: [deacon] }\n",
  ),
  gt12: plan(`newrig: { sessions: { ${WITNESS} } }`),
  [QUIET]: plan(`gt11: { sessions: { ${WITNESS} } }`),
};

let machine: TownUnderTest;
afterEach(async () => {
  for (const name of Object.keys(PLANS)) await run(name, "stop");
  await machine.close();
});

const run = (name: string, ...args: string[]) => machine.run(args, { cwd: join(machine.folder, name) });

async function done(name: string, verb: "up" | "down") {
  const ran = await run(name, verb, "--json");
  if (ran.code !== 0) throw new Error(`${verb} in ${name}: ${ran.stderr}${ran.stdout}`);
  return JSON.parse(ran.stdout) as { created: string[]; adopted: string[]; restarted: string[]; stopped: string[] };
}

/** `name pid` of each session, ours and others'. */
const processes = (): string[] =>
  machine
    .panes("#{session_name} #{pane_pid}")
    .split("\n")
    .filter((line) => line !== "")
    .sort();

/** Starts, ends and restarts that a town's log tells, as `type name`, behind the event `after`. */
async function facts(name: string, after: number): Promise<{ told: string[]; next: number }> {
  const ran = await run(name, "events", "--json", "--last", "400");
  const { events } = JSON.parse(ran.stdout) as {
    events: { seq: number; type: string; name?: string; session?: string }[];
  };
  const kinds = ["session.started", "session.stopped", "session.exited", "pane.exited", "pane.respawned"];
  const told = events
    .filter((event) => event.seq > after && kinds.includes(event.type))
    .map((event) => `${event.type} ${event.name ?? event.session}`)
    .toSorted();
  return { told, next: events.at(-1)!.seq };
}

test(
  `S1-37, S1-41, S1-66: one town goes down while the other comes up on the same server, ${ROUNDS} times, and neither notices the other`,
  async () => {
    machine = new TownUnderTest(undefined, { town: "" });
    machine.env.TMUX_TMPDIR = machine.folder;
    for (const [name, text] of Object.entries(PLANS)) {
      mkdirSync(join(machine.folder, name));
      writeFileSync(join(machine.folder, name, "floorplan.yaml"), text);
    }
    await done(QUIET, "up");
    // Both coordinators are connected before the first crossing.
    await done("gt12", "up");
    await done("gt12", "down");
    await done("gt11", "up");
    const quiet = processes().filter((line) => QUIET_NAMES.includes(line.split(" ")[0]!));
    expect(quiet.map((line) => line.split(" ")[0])).toEqual(QUIET_NAMES);
    const read: Record<string, number> = {};
    for (const name of Object.keys(PLANS)) read[name] = (await facts(name, 0)).next;
    const pidsUsed = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const [ends, starts] = round % 2 === 0 ? (["gt11", "gt12"] as const) : (["gt12", "gt11"] as const);
      const [ended, started] = await Promise.all([done(ends, "down"), done(starts, "up")]);
      expect(ended.stopped.toSorted(), `round ${round}: what ${ends} stopped`).toEqual(NAMES[ends]);
      expect(
        { ...started, created: started.created.toSorted() },
        `round ${round}: what ${starts} started`,
      ).toMatchObject({ created: NAMES[starts], adopted: [], restarted: [], stopped: [] });
      const now = processes();
      expect(
        now.map((line) => line.split(" ")[0]),
        `round ${round}: what runs`,
      ).toEqual([...NAMES[starts]!, ...QUIET_NAMES].toSorted());
      expect(now.filter((line) => QUIET_NAMES.includes(line.split(" ")[0]!))).toEqual(quiet);
      // Each start is a new process, and none was started twice in between.
      for (const line of now.filter((each) => !quiet.includes(each))) {
        expect(pidsUsed.has(line), `round ${round}: ${line} was there before`).toBe(false);
        pidsUsed.add(line);
      }
      const logs = await Promise.all([ends, starts].map((name) => facts(name, read[name]!)));
      expect(
        logs.map(({ told }) => told),
        `round ${round}: what the logs tell`,
      ).toEqual([
        NAMES[ends]!.map((name) => `session.stopped ${name}`),
        NAMES[starts]!.map((name) => `session.started ${name}`),
      ]);
      read[ends] = logs[0]!.next;
      read[starts] = logs[1]!.next;
    }
    expect((await facts(QUIET, read[QUIET]!)).told).toEqual([]);
  },
  60_000 + ROUNDS * ROUND_MS,
);
