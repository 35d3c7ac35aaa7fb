import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
afterEach(() => town.close());

const INSTRUMENTS = ["spx", "qqq", "iwm", "dia", "ndx", "vix", "tlt", "gld", "uso"];

/** The hybrid: agents once per instrument, a view per person. `sleep` stands for an agent that says nothing. */
function hybrid(instruments: string[], users: string[], run = "exec sleep 3600"): string {
  return `version: 1
names: floor
rooms:
  "<instrument|lower>":
    about: The feed of <instrument>
    each: { instrument: [${instruments.map((name) => name.toUpperCase()).join(", ")}] }
sessions:
  agents-<instrument|lower>:
    about: Agents of <instrument>
    each: { instrument: [${instruments.map((name) => name.toUpperCase()).join(", ")}] }
    headless: true
    room: "<instrument|lower>"
    windows:
      - name: agents
        panes:
          - { agent: { id: "deacon-<instrument|lower>", type: narrator }, run: "${run}" }
users:
${users.map((user) => `  ${user}: { view: [ { name: main, panes: [ { feed: ${instruments[0]} }, { feed: ${instruments[1] ?? instruments[0]} }, command ] }, { name: focus-${instruments[0]}, panes: [ { feed: ${instruments[0]} } ] } ] }`).join("\n")}
`;
}

function processesNamed(pattern: RegExp, environment: string): number[] {
  return execFileSync("ps", ["-eo", "pid,args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => pattern.test(line))
    .map((line) => Number(line.trim().split(" ")[0]))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(environment);
      } catch {
        return false;
      }
    });
}

describe("the hybrid topology", () => {
  test("S0-01 S0-03 S0-17 S0-26: nine instruments come up headless and healthy, a room for each", async () => {
    town = new TownUnderTest(hybrid(INSTRUMENTS, []));
    await town.ok("up");
    expect(town.sessions()).toEqual(INSTRUMENTS.map((name) => `agents-${name}`).sort());
    const status = await town.json("status");
    expect(status.sessions.map((session: { state: string }) => session.state)).toEqual(
      INSTRUMENTS.map(() => "running"),
    );
    expect(status.rooms.map((room: { room: string; agents: string[] }) => [room.room, room.agents])).toEqual(
      INSTRUMENTS.map((name) => [name, [`deacon-${name}`]]),
    );
    for (const name of town.sessions()) expect(town.tmux("list-clients", "-t", `=${name}`)).toBe("");
    const attach = await town.run(["attach", "agents-spx"]);
    expect(attach.code).toBe(4);
    expect(attach.stderr).toMatch(/headless/);
  });

  test("S0-13 S0-18 S0-19 S0-39: a person's session has the declared windows and panes, detached", async () => {
    town = new TownUnderTest(hybrid(["spx", "qqq", "iwm"], ["steve", "alice", "bob"]));
    await town.ok("up");
    expect(town.sessions()).toEqual(["agents-iwm", "agents-qqq", "agents-spx", "moo-alice", "moo-bob", "moo-steve"]);
    expect(town.tmux("list-windows", "-t", "=moo-steve", "-F", "#{window_name}").trim().split("\n")).toEqual([
      "main",
      "focus-spx",
    ]);
    expect(town.tmux("list-panes", "-t", "=moo-steve:main", "-F", "#{pane_title}").trim().split("\n")).toEqual([
      "spx-feed",
      "qqq-feed",
      "command",
    ]);
    expect(town.tmux("list-clients")).not.toMatch(/moo-steve/);
  });

  test("S0-14 S0-21 S0-30: five more people, not one more agent", async () => {
    town = new TownUnderTest(hybrid(["spx", "qqq", "iwm"], ["steve"], "exec sleep 7113"));
    await town.ok("up");
    const before = processesNamed(/sleep 7113/, `BOSUN_TOWN=${town.town}`);
    expect(before).toHaveLength(3);
    town.plan(hybrid(["spx", "qqq", "iwm"], ["steve", "u1", "u2", "u3", "u4", "u5"], "exec sleep 7113"));
    await town.ok("up");
    expect(town.sessions().filter((name) => name.startsWith("moo-"))).toHaveLength(6);
    expect(processesNamed(/sleep 7113/, `BOSUN_TOWN=${town.town}`)).toEqual(before);
  });

  test("S0-33 S2-04: a second up changes nothing, writes nothing, and asks tmux once or twice", async () => {
    town = new TownUnderTest(hybrid(["spx", "qqq"], ["steve"]));
    await town.ok("up");
    const panes = town.panes("#{session_id} #{pane_id} #{pane_pid}");
    const { next } = await town.json("events", "--last", "1");
    const again = await town.json("up");
    expect(again).toMatchObject({ created: [], restarted: [], stopped: [], adopted: [], unchanged: 3 });
    expect(again.round_trips).toBeLessThanOrEqual(2);
    expect((await town.json("events", "--last", "1")).next).toBe(next);
    expect(town.panes("#{session_id} #{pane_id} #{pane_pid}")).toBe(panes);
  });

  test("S0-34 S0-35 S0-58: the pane's process is the declared command, with its upper-case argument", async () => {
    town = new TownUnderTest();
    writeFileSync(join(town.folder, "deacon"), '#!/bin/sh\necho "deacon speaks: $*"\nexec sleep 3600\n', {
      mode: 0o755,
    });
    town.plan(hybrid(["spx"], [], `${join(town.folder, "deacon")} --instrument <instrument>`));
    await town.ok("up");
    const [pid, pane] = town.tmux("list-panes", "-t", "=agents-spx:", "-F", "#{pane_pid} #{pane_id}").trim().split(" ");
    await until(() => town.capture(pane!).includes("deacon speaks: --instrument SPX"), "the agent's text in its pane");
    const { sessions } = await town.json("status", "agents-spx");
    expect(sessions[0]).toMatchObject({ pid: Number(pid), name: "agents-spx" });
    expect((await town.json("whois", "agents-spx")).known).toBe("declared");
  });

  test("S0-10 S2-02: all viewers gone, even killed; the agents go on as they were", async () => {
    town = new TownUnderTest(hybrid(["spx"], ["steve"]));
    await town.ok("up");
    const before = town.panes("#{pane_id} #{pane_pid}");
    const client = spawn("script", ["-qfc", `tmux -L ${town.socket} attach -t =moo-steve`, "/dev/null"], {
      env: town.env,
      stdio: ["pipe", "pipe", "ignore"],
    });
    client.stdout.resume();
    await until(() => town.tmux("list-clients").includes("moo-steve"), "an attached client");
    expect((await town.json("status", "view/steve")).sessions[0].attached).toBe(1);
    client.kill("SIGKILL");
    await until(() => !town.tmux("list-clients").includes("moo-steve"), "no attached client");
    expect(town.panes("#{pane_id} #{pane_pid}")).toBe(before);
  });

  test("S0-11 S0-20: one view shows two instruments, and each feed only its own", async () => {
    town = new TownUnderTest(hybrid(["spx", "qqq"], ["steve"]));
    await town.ok("up");
    await town.ok("say", "spx", "only-for-spx");
    const [spx, qqq] = town.tmux("list-panes", "-t", "=moo-steve:main", "-F", "#{pane_id}").trim().split("\n");
    await until(() => town.capture(spx!).includes("only-for-spx"), "the line in spx-feed");
    expect(town.capture(qqq!)).not.toContain("only-for-spx");
  });
});

describe("the other topologies", () => {
  test("S0-05 S0-06 S0-07: a session per instrument, with workspace and review windows and titled panes", async () => {
    town = new TownUnderTest();
    expect((await town.run(["init", "--preset", "per-instrument"])).code).toBe(0);
    await town.ok("up");
    expect(town.sessions()).toEqual(["moo-iwm", "moo-ops", "moo-qqq", "moo-spx"]);
    expect(town.tmux("list-windows", "-t", "=moo-spx", "-F", "#{window_name}").trim().split("\n")).toEqual([
      "spx",
      "review",
    ]);
    expect(town.tmux("list-panes", "-t", "=moo-spx:spx", "-F", "#{pane_title}").trim().split("\n")).toEqual([
      "deacon",
      "butterfly",
      "narrative",
      "command",
    ]);
    const { sessions } = await town.json("status", "moo-spx");
    expect(sessions[0].panes.every((pane: { dead: boolean }) => !pane.dead)).toBe(true);
  });

  test("S0-09: two people attached to one session see the same bytes", async () => {
    town = new TownUnderTest();
    await town.run(["init", "--preset", "per-instrument"]);
    await town.ok("up");
    const clients = [0, 1].map(() =>
      spawn("script", ["-qfc", `tmux -L ${town.socket} attach -t =moo-ops`, "/dev/null"], {
        env: town.env,
        stdio: ["pipe", "pipe", "ignore"],
      }),
    );
    const seen = ["", ""];
    for (const [index, client] of clients.entries())
      client.stdout!.on("data", (chunk: Buffer) => (seen[index] += chunk.toString("utf8")));
    await until(() => town.tmux("list-clients", "-t", "=moo-ops").trim().split("\n").length === 2, "two clients");
    town.tmux("send-keys", "-t", "=moo-ops:", "-l", "echo both-see-this");
    await until(() => seen.every((text) => text.includes("both-see-this")), "the same text at both");
    for (const client of clients) client.kill("SIGKILL");
  });

  test("S0-13: a session per person with a window per instrument", async () => {
    town = new TownUnderTest();
    expect((await town.run(["init", "--preset", "per-user"])).code).toBe(0);
    await town.ok("up");
    expect(town.sessions()).toEqual(expect.arrayContaining(["moo-alice", "moo-bob", "moo-steve"]));
    expect(town.tmux("list-windows", "-t", "=moo-steve", "-F", "#{window_name}").trim().split("\n")).toEqual([
      "spx",
      "qqq",
      "ops",
    ]);
  });

  test("S0-08: only people with the right role attach to operations", async () => {
    town = new TownUnderTest(
      `${hybrid(["spx"], ["alice"]).replace("  alice: {", "  alice: { role: viewer,")}`.replace(
        "users:",
        `  moo-ops: { about: Operations, run: sh, access: [operator, admin] }\nusers:`,
      ),
    );
    await town.ok("up");
    expect(town.sessions()).toContain("moo-ops");
    const token = town.tmux("show-environment", "-t", "=moo-alice").match(/^BOSUN_TOKEN_FILE=(.+)$/m)?.[1];
    expect(existsSync(token!)).toBe(true);
    const refused = await town.run(["attach", "moo-ops"], { env: { BOSUN_TOKEN_FILE: token } });
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(/alice may not attach to moo-ops/);
  });
});

test("S0-26: without a preset, init writes the hybrid", async () => {
  town = new TownUnderTest();
  await town.ok("init");
  const schema = /^# yaml-language-server: \$schema=(.+)$/m.exec(readFileSync(town.planFile, "utf8"))![1]!;
  expect(Object.keys(JSON.parse(readFileSync(schema, "utf8")).properties)).toEqual(
    expect.arrayContaining(["version", "rooms", "sessions", "users"]),
  );
  const check = await town.run(["check", "--json"]);
  expect(check.code).toBe(0);
  await town.ok("up");
  expect(town.sessions()).toEqual(expect.arrayContaining(["agents-spx", "moo-steve"]));
});
