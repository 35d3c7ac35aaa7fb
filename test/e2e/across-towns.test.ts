import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

let machine: TownUnderTest;
const servers = new Set<string>();
beforeEach(() => {
  // Its own folder for tmux's sockets: what asks all servers of a user finds those of this test only.
  machine = new TownUnderTest(undefined, { town: "" });
  machine.env.TMUX_TMPDIR = machine.folder;
  delete machine.env.BOSUN_TMUX_SOCKET;
});
afterEach(async () => {
  for (const name of ["gt11", "gt12"]) await machine.run(["--town", name, "stop"]);
  for (const socket of servers) {
    try {
      tmux(socket, "kill-server");
    } catch {
      // It went with its last session.
    }
  }
  servers.clear();
  await machine.close();
});

const PLAN = (more = ""): string => `version: 1
tmux: { socket: town }
names: gastown
sessions:
  mayor: { role: mayor, run: "exec sleep 900", agent: { id: mayor, type: lead } }
  deacon: { role: deacon, run: "exec sh" }
${more}`;
const RIG = (rig: string): string => `rigs:
  ${rig}: { sessions: { witness: { role: witness, run: "exec sleep 900" } } }
`;

/** A town in a folder of its name, up, on a tmux server of its own. Gives the server's name. */
async function up(name: string, plan: string): Promise<string> {
  mkdirSync(join(machine.folder, name), { recursive: true });
  writeFileSync(join(machine.folder, name, "floorplan.yaml"), plan);
  const ran = await run(name, "up");
  if (ran.code !== 0) throw new Error(ran.stderr);
  const { socket } = (await json(name, "status")).tmux;
  servers.add(socket);
  return socket;
}
const run = (folder: string, ...args: string[]) => machine.run(args, { cwd: join(machine.folder, folder) });
async function json(folder: string, ...args: string[]) {
  const ran = await run(folder, ...args, "--json");
  if (ran.code !== 0) throw new Error(ran.stderr);
  return JSON.parse(ran.stdout);
}
function tmux(socket: string, ...args: string[]): string {
  return execFileSync("tmux", ["-L", socket, "-u", ...args], {
    encoding: "utf8",
    env: machine.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
}
const told = (towns: { town: string; sessions: { name: string; state: string }[] }[]) =>
  towns.map(({ town, sessions }) => [town, sessions.map(({ name, state }) => `${name} ${state}`).toSorted()]);

const ALL = [
  ["gt11", ["gt-beads-witness running", "hq-gt11-deacon running", "hq-gt11-mayor running"]],
  ["gt12", ["gt-newrig-witness running", "hq-gt12-deacon running", "hq-gt12-mayor running"]],
];

test("S1-38, S1-16: status --all-towns shows every town, also one whose coordinator is gone or hangs, and starts none", async () => {
  const sockets = [await up("gt11", PLAN(RIG("beads"))), await up("gt12", PLAN(RIG("newrig")))];
  expect(new Set(sockets).size).toBe(2);
  expect((await json("gt11", "status")).sessions.every((each: { town: string }) => each.town === "gt11")).toBe(true);
  const all = async () => (await json(".", "status", "--all-towns")).towns;
  const seen = await all();
  expect(told(seen)).toEqual(ALL);
  expect(seen.map((each: { tmux: { socket: string } }) => each.tmux.socket)).toEqual(sockets);
  const pid: number = seen[1].coordinator.pid;
  expect((await run("gt11", "status", "--all-towns")).stdout).toMatch(
    /^gt11 · coordinator pid \d+.*\ngt12 · coordinator pid \d+.*\nSESSION +NO +TOWN[\s\S]*hq-gt11-mayor +1 +gt11[\s\S]*hq-gt12-mayor +1 +gt12/,
  );
  const level = async (which: string): Promise<string[]> =>
    (await json("gt11", "ls", "--all-towns", "--level", which)).sessions.map((each: { name: string }) => each.name);
  expect((await level("town")).toSorted()).toEqual([
    "hq-gt11-deacon",
    "hq-gt11-mayor",
    "hq-gt12-deacon",
    "hq-gt12-mayor",
  ]);
  expect((await level("rig")).toSorted()).toEqual(["gt-beads-witness", "gt-newrig-witness"]);

  process.kill(pid, "SIGSTOP");
  try {
    const beganMs = Date.now();
    const hung = await all();
    expect(Date.now() - beganMs).toBeLessThan(8_000);
    expect(told(hung)).toEqual(ALL);
    expect(hung[1]).toMatchObject({ coordinator: null, why: expect.stringMatching(/does not answer/) });
  } finally {
    process.kill(pid, "SIGCONT");
  }

  await run("gt12", "stop");
  const gone = await all();
  expect(told(gone)).toEqual(ALL);
  expect(gone[1]).toMatchObject({
    coordinator: null,
    why: "its coordinator does not run",
    tmux: { socket: sockets[1] },
  });
  expect((await run(".", "ls", "--all-towns")).stdout).toContain("hq-gt12-mayor");
  expect((await all())[1].coordinator).toBeNull();
  // And nothing at all where tmux has nothing of it.
  tmux(sockets[1]!, "kill-server");
  const empty = await run(".", "status", "--all-towns");
  expect(empty.stdout).toContain("gt12 · its coordinator does not run, and tmux has nothing of it · 0 sessions");
  expect(empty.code).toBe(0);
});

test("whois knows a session of another town on another server, and does not choose between two of one name", async () => {
  const sockets = [await up("gt11", PLAN(RIG("gastown"))), await up("gt12", PLAN(RIG("gastown")))];
  const mayor = { name: "hq-gt12-mayor", town: "gt12", role: "mayor", known: "foreign", tmux: sockets[1] };
  expect(await json("gt11", "whois", "hq-gt12-mayor")).toMatchObject(mayor);
  expect(await json("gt11", "whois", "gt12/mayor")).toMatchObject(mayor);
  expect(await json("gt11", "whois", "gt12/gastown/witness")).toMatchObject({
    town: "gt12",
    rig: "gastown",
    role: "witness",
  });
  // Where a town is meant, its own is meant.
  expect(await json("gt11", "whois", "gt-gastown-witness")).toMatchObject({ town: "gt11", known: "declared" });
  mkdirSync(join(machine.folder, "outside"));
  const both = await run("outside", "whois", "gt-gastown-witness");
  expect(both.code).toBe(5);
  expect(both.stderr).toMatch(/of gt11 and of gt12/);
  for (const said of ["bosun --town gt11 whois gastown/witness", "bosun --town gt12 whois gastown/witness"])
    expect(both.stderr).toContain(said);
  await run("gt12", "stop");
  expect(await json("gt11", "whois", "hq-gt12-mayor")).toMatchObject(mayor);
  expect((await run("gt11", "whois", "gt12/nobody")).code).toBe(3);
});

test("peek, logs, why, nudge and restart of another town's session are refused, with the command that means it", async () => {
  await up("gt11", PLAN(RIG("beads")));
  await up("gt12", PLAN(RIG("newrig")));
  const refused = async (...args: string[]): Promise<string> => {
    const ran = await run("gt11", ...args);
    expect(ran.code).toBe(3);
    expect(ran.stderr).toMatch(/hq-gt12-mayor is a session of the town gt12/);
    return /try +(.*)/.exec(ran.stderr)![1]!;
  };
  expect(await refused("peek", "hq-gt12-mayor")).toBe("bosun --town gt12 peek mayor");
  expect(await refused("logs", "hq-gt12-mayor")).toBe("bosun --town gt12 logs mayor");
  expect(await refused("why", "hq-gt12-mayor")).toBe("bosun --town gt12 why mayor");
  expect(await refused("nudge", "hq-gt12-mayor", "hello")).toBe("bosun --town gt12 nudge mayor …");
  expect(await refused("peek", "gt12/mayor")).toBe("bosun --town gt12 peek mayor");
  expect((await run("gt11", "--town", "gt12", "peek", "mayor")).code).toBe(0);
  const pid = (await json("gt12", "status", "mayor")).sessions[0].pid;
  await refused("restart", "hq-gt12-mayor");
  expect((await json("gt12", "status", "mayor")).sessions[0].pid).toBe(pid);
});

test("S1-66: mail, nudges, logs and doctor of two towns with the same agents stay in their own", async () => {
  await up("gt11", PLAN(RIG("gastown")));
  await up("gt12", PLAN(RIG("gastown")));
  expect((await run("gt12", "send", "mayor", "Only gt12", "Body")).code).toBe(0);
  await run("gt12", "nudge", "mayor", "only gt12");
  const subjects = async (town: string): Promise<string[]> =>
    (await json(town, "inbox", "mayor")).messages.map((each: { subject: string }) => each.subject);
  expect([await subjects("gt11"), await subjects("gt12")]).toEqual([[], ["Only gt12"]]);
  expect(JSON.stringify(await json("gt11", "events", "--last", "500"))).not.toMatch(/gt12/);
  expect((await run("gt11", "doctor", "--json")).stdout).not.toMatch(/hq-gt12|split-brain/);
});

test("attach finds another town's session on its own server, from inside tmux too; of two of one name both are told", async () => {
  const [one, two] = [await up("gt11", PLAN(RIG("gastown"))), await up("gt12", PLAN(RIG("gastown")))] as [
    string,
    string,
  ];
  const where = async (folder: string, ...args: string[]) => (await json(folder, "attach", ...args)).socket[1];
  expect(await where("gt11", "hq-gt12-mayor")).toBe(two);
  expect(await where("gt11", "gt12/mayor")).toBe(two);
  expect(await where("gt11", "--town", "gt12", "mayor")).toBe(two);
  expect(await where("gt11", "gt-gastown-witness")).toBe(one);
  expect(await where("gt11", "gt12/gt-gastown-witness")).toBe(two);
  expect((await run("gt11", "attach", "nobody-at-all")).code).toBe(3);
  mkdirSync(join(machine.folder, "outside"));
  const both = await run("outside", "attach", "gt-gastown-witness");
  expect(both.code).toBe(5);
  expect(both.stderr).toMatch(/bosun --town gt11 attach gastown\/witness\n.*bosun --town gt12 attach gastown\/witness/);
  expect(await where("outside", "hq-gt12-mayor")).toBe(two);
  // One that is ours and does not run is not exchanged for another town's.
  await run("gt11", "down", "gastown/witness");
  const down = await run("gt11", "attach", "gt-gastown-witness");
  expect([down.code, down.stderr.includes("does not run")]).toEqual([3, true]);

  // A person's terminal, on gt11's deacon; there they type the name of gt12's.
  servers.add("terminal");
  tmux(
    "terminal",
    "-f",
    "/dev/null",
    "new-session",
    "-d",
    "-x",
    "100",
    "-y",
    "30",
    `env -u TMUX tmux -L ${one} attach -t =hq-gt11-deacon`,
  );
  const clients = (socket: string): string[] =>
    tmux(socket, "list-clients", "-F", "#{client_control_mode} #{session_name}")
      .split("\n")
      .flatMap((line) => (line.startsWith("0 ") ? [line.slice(2)] : []));
  await until(() => clients(one).length === 1, "a person on gt11's server");
  tmux("terminal", "send-keys", "bosun attach gt12/deacon", "Enter");
  await until(() => clients(two).includes("hq-gt12-deacon"), "the person on gt12's server", 20_000);
  expect(clients(one)).toEqual([]);
  // And on the same server, and back.
  tmux("terminal", "send-keys", "bosun attach mayor", "Enter");
  await until(() => clients(two).includes("hq-gt12-mayor"), "the person on the mayor of gt12", 20_000);
  // A program in a pane that nobody looks at takes nobody's terminal away.
  const before = clients(two);
  tmux(two, "send-keys", "-t", "=hq-gt12-deacon:", "clear; bosun attach gt11/deacon; bosun attach deacon", "Enter");
  const screen = (): string => tmux(two, "capture-pane", "-p", "-t", "=hq-gt12-deacon:");
  await until(() => screen().match(/nobody looks at the tmux pane/g)?.length === 2, "both to be refused", 20_000);
  expect([clients(one), clients(two)]).toEqual([[], before]);
});
