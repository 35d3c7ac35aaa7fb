import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Connection, openConnection } from "../../src/client/connection.ts";
import { TownUnderTest, until } from "./town-under-test.ts";

const COUNTER = 'i=0; while true; do i=$((i+1)); echo "$BOSUN_AGENT counts $i"; sleep 0.05; done';

async function dial(town: TownUnderTest): Promise<Connection> {
  return openConnection((await town.json("status")).socket);
}

const newest = async (town: TownUnderTest, name: string): Promise<number> => {
  const { lines } = await town.json("history", name, "-n", "1");
  return Number(/counts (\d+)/.exec(lines[0] ?? "")?.[1] ?? 0);
};

/** What stands behind `--` is the command's: flags go before it. */
const openIn = async (town: TownUnderTest, ...args: string[]) => JSON.parse(await town.ok("new", "--json", ...args));

interface Listed {
  id: string;
  label: string;
  number: number;
  state: string;
  pid: number;
  active: boolean;
  activity: { state: string; reason: string | null; evidence: string; source: string };
  buffer: { bytes: number; dropped: number; limit: number };
  exit: string | null;
}
const listed = async (town: TownUnderTest, name: string): Promise<Listed> =>
  (await town.json("ls")).sessions.find((each: Listed) => each.label === name);

describe("sessions that run side by side", () => {
  let town: TownUnderTest;
  beforeAll(async () => {
    town = new TownUnderTest("version: 1\nlimits: { sessions: 50 }\nsessions: {}\n");
    town.env.SHELL = "/bin/bash";
    await town.ok("up");
  });
  afterAll(() => town.close());

  test("S3-10: with nothing opened the list says so, and that is no error", async () => {
    expect(await town.ok("sessions")).toBe("no sessions\n");
    expect(await town.json("sessions")).toMatchObject({ count: 0, sessions: [] });
  });

  test("S3-03, S3-08, S3-11, S3-24, S3-41: what is opened is listed before it says a word, with number, name, state and process", async () => {
    const opened = await openIn(town, "quiet", "--", "exec sleep 3600");
    expect(opened).toMatchObject({ name: "quiet", number: 1, pid: expect.any(Number) });
    expect(readFileSync(`/proc/${opened.pid}/cmdline`, "utf8")).toContain("sleep");
    expect(await listed(town, "quiet")).toMatchObject({ number: 1, state: "running", pid: opened.pid });
    expect(await town.ok("ls")).toMatch(/quiet\s+▶1/);
  });

  test("S3-04, S3-17, S3-19, S3-21, S3-38: five sessions make progress at the same time, watched or not, and switching ends none", async () => {
    const names = ["c1", "c2", "c3", "c4", "c5"];
    for (const name of names) await town.ok("new", name, "--", COUNTER);
    const pids = await Promise.all(names.map(async (name) => (await listed(town, name)).pid));
    const before = await Promise.all(names.map((name) => newest(town, name)));
    for (const name of names) await town.ok("switch", name);
    await until(async () => {
      const now = await Promise.all(names.map((name) => newest(town, name)));
      return now.every((count, index) => count > before[index]! + 5);
    }, "all five to go on");
    expect(await Promise.all(names.map(async (name) => (await listed(town, name)).pid))).toEqual(pids);
  });

  test("S3-09, S3-12, S3-26, S3-43: one session is the active one, and a switch changes which", async () => {
    expect(await town.ok("switch", "c1")).toContain("'c1'");
    expect(await town.ok("s", "c2")).toBe("→ Switched from 'c1' to 'c2'\n");
    const active = (await town.json("ls")).sessions.filter((each: Listed) => each.active);
    expect(active.map((each: Listed) => each.label)).toEqual(["c2"]);
    expect(await town.ok("switch", "-")).toContain("to 'c1'");
  });

  test("S3-13, S3-14, S3-34: a hundred times in turn, what is typed after a switch reaches that session and no other", async () => {
    const files = ["left", "right"].map((name) => join(town.folder, name));
    await town.ok("new", "left", "--", `cat > ${files[0]}`);
    await town.ok("new", "right", "--", `cat > ${files[1]}`);
    const connection = await dial(town);
    for (let n = 0; n < 100; n++) {
      await connection.call("session.switch", { session: n % 2 === 0 ? "left" : "right" });
      await connection.call("session.type", { keys: Buffer.from(`line ${n}\r`).toString("base64") });
    }
    const lines = (rest: number): string[] =>
      Array.from({ length: 100 }, (_, n) => n)
        .filter((n) => n % 2 === rest)
        .map((n) => `line ${n}`);
    await until(() => readFileSync(files[1]!, "utf8").includes("line 99"), "the last line");
    expect(files.map((file) => readFileSync(file, "utf8").trim().split("\n"))).toEqual([lines(0), lines(1)]);
    const histories = await Promise.all(
      ["left", "right"].map(async (name) => (await town.json("history", name)).lines),
    );
    expect(histories[0].join("\n")).not.toMatch(/line \d*[13579]\b/);
    expect(histories[1].join("\n")).not.toMatch(/line \d*[02468]\b/);
    connection.close();
  });

  test("S3-15: a folder and a variable of one session are invisible in another", async () => {
    await town.ok("new", "shell-a");
    await town.ok("new", "shell-b");
    mkdirSync(join(town.folder, "elsewhere"));
    await town.ok("type", "shell-a", "cd elsewhere; export SECRET=of-a; PS1=; clear; echo a:$PWD:$SECRET");
    await town.ok("type", "shell-b", "PS1=; clear; echo b:$PWD:$SECRET");
    const shows = async (name: string) => (await town.json("history", name)).lines.join("\n");
    await until(async () => /^a:.*elsewhere:of-a$/m.test(await shows("shell-a")), "a's answer");
    await until(async () => new RegExp(`^b:${town.folder}:$`, "m").test(await shows("shell-b")), "b's answer");
  });

  test("S3-05: a session sees its siblings from inside", async () => {
    await town.ok("type", "shell-a", "bosun ls --plain");
    await until(async () => {
      const { lines } = await town.json("history", "shell-a");
      return ["quiet", "c3", "shell-b"].every((name) => lines.some((line: string) => line.startsWith(`${name}\t`)));
    }, "the list inside");
  });

  test("S3-06, O3-20, O3-01: a question waits through switches; the list says for whom it waits", async () => {
    await town.ok("new", "asker", "--", 'printf "Overwrite notes.txt? [y/N] "; read x; echo "got $x"; exec sleep 3600');
    await until(async () => (await listed(town, "asker")).activity.state === "waiting", "the question", 3_000);
    await town.ok("switch", "c1");
    await town.ok("switch", "asker");
    expect((await listed(town, "asker")).activity).toMatchObject({
      state: "waiting",
      reason: "question",
      source: "screen",
      evidence: expect.stringContaining("Overwrite notes.txt?"),
    });
    const waiting = await town.json("ls", "--waiting");
    expect(waiting.sessions.map((each: Listed) => each.label)).toEqual(["asker"]);
    expect(await town.ok("explain", "asker")).toContain("fits      generic/yes-no");
    await town.ok("type", "asker", "y");
    await until(async () => (await town.json("history", "asker")).lines.includes("got y"), "the answer taken");
    expect((await town.json("ls", "--waiting")).sessions).toEqual([]);
  });

  test("S3-07: how a session ended is recorded, with the reason", async () => {
    await town.ok("new", "short", "--", "exit 3");
    await until(async () => (await listed(town, "short")).exit === "exit 3", "its end");
    expect(await listed(town, "short")).toMatchObject({
      state: "exited",
      activity: { state: "dead", source: "process" },
    });
    const { events } = await town.json("events", "-n", "1000");
    expect(events.filter((each: { exit?: string }) => each.exit === "exit 3")).toMatchObject([
      { type: "pane.exited" },
      { type: "restart.decided", do: "leave", because: "restart: never" },
    ]);
  });

  test("typing into a session that has ended is refused, and harms no other: tmux 3.3a would have gone down with all", async () => {
    const server = town.tmux("display-message", "-p", "#{pid}");
    const ran = await town.run(["type", "short", "hello"]);
    expect([ran.code, ran.stderr]).toEqual([3, expect.stringContaining("has ended")]);
    const connection = await dial(town);
    await connection.call("session.type", { session: "short", keys: btoa("x\r") });
    connection.close();
    expect((await town.run(["nudge", "short", "hello"])).stdout).toContain("its process has ended");
    expect(town.tmux("display-message", "-p", "#{pid}")).toBe(server);
    expect(town.tmux("list-buffers")).toBe("");
  });

  test("S3-22, O3-09: what was missed is handed over once and in order, and not again", async () => {
    await town.ok("history", "c4", "--missed");
    await until(async () => (await newest(town, "c4")) > 0, "more");
    await new Promise((resolve) => setTimeout(resolve, 500));
    const first = (await town.json("history", "c4", "--missed")).lines as string[];
    const numbers = (lines: string[]) => lines.flatMap((line) => /counts (\d+)$/.exec(line)?.[1] ?? []).map(Number);
    const second = (await town.json("history", "c4", "--missed")).lines as string[];
    const all = [...numbers(first), ...numbers(second)];
    expect(numbers(first).length).toBeGreaterThan(5);
    expect(all).toEqual(Array.from({ length: all.length }, (_, n) => all[0]! + n));
  });

  test("S3-23, S3-25, S3-28: transcript, buffer and picture are what the pane shows", async () => {
    expect((await listed(town, "c1")).buffer).toMatchObject({
      limit: 10_485_760,
      dropped: 0,
      bytes: expect.any(Number),
    });
    await town.ok("type", "shell-b", "clear; printf 'one\\n  \\033[31mred\\033[0m 日本語\\n'");
    await until(
      async () => (await town.json("history", "shell-b")).lines.some((line: string) => line.includes("日本語")),
      "it",
    );
    await until(async () => {
      const connection = await dial(town);
      const { lines } = await connection.call("screen.show", { session: "shell-b" });
      connection.close();
      return lines.join("\n").trimEnd() === town.capture("=shell-b:").trimEnd();
    }, "picture and pane to be the same");
  });

  test("S3-27: with --pause-on-switch the one that is left stops until it is switched to; without it nothing does", async () => {
    await town.ok("switch", "c2");
    await town.ok("switch", "c3");
    const running = await newest(town, "c2");
    await until(async () => (await newest(town, "c2")) > running, "c2 to go on unwatched");
    await town.ok("switch", "c1", "--pause-on-switch");
    await new Promise((resolve) => setTimeout(resolve, 200));
    const paused = await newest(town, "c3");
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await newest(town, "c3")).toBe(paused);
    await town.ok("switch", "c3");
    await until(async () => (await newest(town, "c3")) > paused, "c3 to go on");
    // tmux keeps a pane's first process awake, and that is said.
    await town.ok("switch", "quiet");
    expect((await town.run(["switch", "c3", "--pause-on-switch"])).stderr).toContain("it goes on");
  });

  test("S3-35, S3-36, S3-39, S3-48: a thousand random switches write nothing to any process and change no history", async () => {
    const names = ["quiet", "left", "right", "shell-a"];
    const inputs = async () =>
      Promise.all(names.map(async (name) => (await town.json("history", name)).lines.join("\n")));
    const before = await inputs();
    const files = ["left", "right"].map((name) => readFileSync(join(town.folder, name), "utf8"));
    const connection = await dial(town);
    let seed = 7;
    for (let n = 0; n < 1_000; n++) {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      await connection.call("session.switch", { session: names[seed % names.length]! });
    }
    connection.close();
    expect(await inputs()).toEqual(before);
    expect(["left", "right"].map((name) => readFileSync(join(town.folder, name), "utf8"))).toEqual(files);
  });

  test("S3-28, S3-44: a stream gives the whole picture, then only the rows that change; a slow follower loses nothing", async () => {
    await town.ok("new", "painted", "--", "printf 'top\\n'; while read x; do printf '\\033[5;1H%s' \"$x\"; done");
    const connection = await dial(town);
    const rows: string[] = [];
    const stream = await connection.stream("screen.watch", { session: "painted" }, (event) => {
      for (const [y, row] of Object.entries((event as { lines: Record<string, string> }).lines)) rows[Number(y)] = row;
    });
    rows.splice(0, 0, ...stream.ok.lines);
    expect(stream.ok).toMatchObject({ lines: expect.arrayContaining(["top"]), missed: { first: true } });
    for (let n = 0; n < 20; n++)
      await connection.call("session.type", { session: "painted", keys: btoa(`word ${n}\r`) });
    await until(() => rows[4]?.includes("word 19") === true, "the last word");
    await until(async () => {
      const { lines } = await connection.call("screen.show", { session: "painted", colour: true });
      return JSON.stringify(lines) === JSON.stringify(rows);
    }, "the same picture");
    stream.cancel();
    connection.close();
  });

  test("S3-32: a session ended from outside is found to be gone", async () => {
    await town.ok("new", "victim", "--", "exec sleep 3600");
    town.tmux("kill-session", "-t", "=victim");
    await until(async () => (await listed(town, "victim")).state === "exited", "the end to be seen");
  });

  test("S3-46: a session made outside is no session of ours; it is shown as unknown", async () => {
    town.tmux("new-session", "-d", "-s", "somebody-else", "sleep 3600");
    await until(async () => {
      const { ghosts, sessions } = await town.json("status");
      return (
        JSON.stringify(ghosts).includes("somebody-else") &&
        !sessions.some((each: Listed) => each.label === "somebody-else")
      );
    }, "the stranger");
    town.tmux("kill-session", "-t", "=somebody-else");
  });

  test("S3-47: one that sleeps or stops reading blocks no other", async () => {
    const connection = await dial(town);
    const big = "x".repeat(200_000);
    // `quiet` never reads: what is typed there fills the terminal and stays there.
    const stuck = connection.call("session.type", { session: "quiet", line: big }).catch(() => {});
    const before = await newest(town, "c5");
    await until(async () => (await newest(town, "c5")) > before, "c5 to go on", 5_000);
    expect((await town.json("ls")).count).toBeGreaterThan(5);
    await stuck;
    connection.close();
  });

  test("S3-02, O3-13: after kill -9 of the coordinator names, numbers, states, the active one and what was written are there", async () => {
    await town.ok("switch", "c2");
    const before = (await town.json("ls")).sessions as Listed[];
    const pid = town.coordinatorPid()!;
    process.kill(pid, "SIGKILL");
    await until(() => town.coordinatorPid() !== pid, "its end");
    await until(
      async () => ((await town.json("history", "asker")).lines as string[]).includes("got y"),
      "its lines",
      5_000,
    );
    const after = (await town.json("ls")).sessions as Listed[];
    const kept = ({ label, number, pid, active, state }: Listed) => ({ label, number, pid, active, state });
    expect(after.map(kept)).toEqual(before.map(kept));
    expect((await town.json("history", "asker")).lines).toContain("Overwrite notes.txt? [y/N] y");
  });

  test("S3-50: one damaged record leaves the others as they are, and is reported", async () => {
    await town.ok("stop");
    const db = new DatabaseSync(join(town.stateFolder, "log.sqlite"));
    db.prepare("UPDATE opened SET entry_json = '{broken' WHERE label = 'c5'").run();
    db.close();
    const ran = await town.run(["ls"]);
    expect(ran.stderr).toContain("c5: its record cannot be read");
    expect(ran.stdout).toContain("c4");
    expect((await town.run(["switch", "c4"])).code).toBe(0);
  });
});

describe("names and limits", () => {
  let town: TownUnderTest;
  afterEach(() => town.close());

  test("O3-02, O3-03: by name, number and beginning; numbers stay while a session lives; an ambiguous beginning is refused", async () => {
    town = new TownUnderTest();
    for (const name of ["alpha", "alphabet", "beta", "gamma"]) await town.ok("new", name, "--", "exec sleep 600");
    expect(await town.ok("switch", "3")).toContain("'beta'");
    expect(await town.ok("switch", "gam")).toContain("'gamma'");
    expect(await town.ok("switch", "alpha")).toContain("'alpha'");
    const ambiguous = await town.run(["switch", "alp"]);
    expect([ambiguous.code, ambiguous.stderr]).toEqual([3, expect.stringContaining("alpha, alphabet")]);
    await town.ok("close", "alphabet");
    expect(await town.ok("switch", "3")).toContain("'beta'");
    expect((await openIn(town, "delta", "--", "exec sleep 600")).number).toBe(2);
    await town.ok("rename", "delta", "my hotfix");
    expect(await town.ok("switch", "my hotfix")).toContain("'my hotfix'");
    expect(town.sessions()).toContain("my_hotfix");
    expect(await town.ok("close")).toContain("✓ Closed session 'my hotfix'\n→ Active is 'beta'");
    expect(await town.ok("ls", "--all")).toMatch(/closed .* my hotfix/);
    expect(town.sessions()).toEqual(["alpha", "beta", "gamma"]);
  });

  test("O3-14: with a switch come the last lines it wrote, as many as one wants", async () => {
    town = new TownUnderTest();
    await town.ok("new", "printer", "--", "seq 1 30; exec sleep 600");
    await until(async () => (await town.json("history", "printer")).lines.at(-1) === "30", "its lines");
    expect((await town.ok("switch", "printer", "--last", "3")).split("\n").slice(1, -1)).toEqual(["28", "29", "30"]);
    expect((await town.ok("switch", "printer")).split("\n")).toHaveLength(2);
    expect((await town.json("switch", "printer", "--last", "10")).lines).toHaveLength(10);
  });

  test("O3-16, O3-17, O3-05: one rule for names, printed in the error; a name may hold any word; without one two words are made up", async () => {
    town = new TownUnderTest();
    for (const name of ["my-hotfix", "helper", "a-h", "x".repeat(64)]) {
      await town.ok("new", name, "--", "exec sleep 600");
      expect(await town.ok("switch", name)).toContain(`'${name}'`);
      expect(await town.ok("close", name)).toContain(`'${name}'`);
    }
    for (const name of ["", "22", "a;b", "né", " lead", "x".repeat(65), "a/b", "-"]) {
      const ran = await town.run(["new", "--cwd", town.folder, "--", name]);
      expect([name, ran.code]).toEqual([name, 2]);
      expect(ran.stderr).toContain("1 to 64 letters, digits, - _ and spaces");
    }
    const made = await openIn(town);
    expect(made.name).toMatch(/^[a-z]+-[a-z]+$/);
    expect(await town.ok("switch", made.name)).toContain(made.name);
    const taken = await town.run(["new", made.name]);
    expect([taken.code, taken.stderr]).toEqual([5, expect.stringContaining("is there already")]);
  });

  test("O3-10: ten may be open; the limit is the plan's to set, and the error says so", async () => {
    town = new TownUnderTest("version: 1\nlimits: { sessions: 2 }\nsessions: {}\n");
    await town.ok("up");
    await town.ok("new", "a", "--", "exec sleep 600");
    await town.ok("new", "b", "--", "exec sleep 600");
    const third = await town.run(["new", "c", "--", "exec sleep 600"]);
    expect([third.code, third.stderr]).toEqual([
      4,
      expect.stringMatching(/2 sessions are open, and 2 may be[\s\S]*limits/),
    ]);
    expect(town.sessions()).toEqual(["a", "b"]);
  });

  test("O3-04: nine types of session, told by a word before the name, with and without colour", async () => {
    town = new TownUnderTest("version: 1\nlimits: { sessions: 9 }\nsessions: {}\n");
    await town.ok("up");
    const types = [
      "shell",
      "debug",
      "planning",
      "development",
      "review",
      "feature",
      "hotfix",
      "refactor",
      "experiment",
    ];
    for (const type of types) await town.ok("new", `one-${type}`, "--type", type, "--", "exec sleep 600");
    const table = await town.ok("ls");
    for (const type of types) expect(table).toMatch(new RegExp(`one-${type} .* ${type}\\b`));
    expect((await town.run(["new", "x", "--type", "party"])).code).toBe(2);
  });

  test("S3-01, S3-30, S3-37: without a coordinator nothing is half there", async () => {
    town = new TownUnderTest();
    const ran = await town.run(["new", "early"], { env: { BOSUN_SOCKET: join(town.folder, "nowhere.sock") } });
    expect(ran.code).toBe(6);
    expect(() => town.tmux("list-sessions")).toThrow();
    const broken = await town.run(["new", "broken", "--cwd", join(town.folder, "missing")]);
    expect([broken.code, broken.stderr]).toEqual([2, expect.stringContaining("does not exist")]);
    expect(await town.json("ls")).toMatchObject({ count: 0 });
  });

  test("S3-40: what is declared and not started is listed as that; up and what is opened leave each other alone", async () => {
    town = new TownUnderTest(
      "version: 1\nsessions:\n  desk: { about: Works, run: exec sleep 600 }\n  later: { about: By name, run: exec sleep 600, start: manual }\n",
    );
    await town.ok("up");
    await town.ok("new", "beside", "--", "exec sleep 600");
    expect((await town.json("ls")).sessions).toMatchObject([
      { label: "desk", state: "running" },
      { label: "later", state: "declared", pid: null },
      { label: "beside", state: "running" },
    ]);
    const again = await town.json("up");
    expect(again).toMatchObject({ created: [], stopped: [], unchanged: 3 });
    await town.ok("down");
    expect(() => town.sessions()).toThrow();
    await town.ok("up");
    expect(town.sessions()).toEqual(["beside", "desk"]);
    const declared = await town.run(["close", "desk"]);
    expect([declared.code, declared.stderr]).toEqual([4, expect.stringContaining("floor plan")]);
  });

  test("O3-18: a worktree and branch of its own; removed when merged, kept when not, given up when told", async () => {
    town = new TownUnderTest();
    const git = (...args: string[]) => execFileSync("git", ["-C", town.folder, ...args], { encoding: "utf8" });
    git("init", "-q", "-b", "main");
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "first");
    const one = await openIn(town, "feature one", "--worktree", "--", "exec sleep 600");
    expect(one.branch).toBe("bosun/feature_one");
    expect(readFileSync(`/proc/${one.pid}/environ`, "utf8")).toContain(`PWD=${one.cwd}`);
    expect(await town.ok("close", "feature one")).toContain("Worktree removed: bosun/feature_one was merged");
    expect(git("branch")).not.toContain("feature_one");
    const two = await openIn(town, "two", "--worktree", "--", "exec sleep 600");
    const inTwo = (...args: string[]) => execFileSync("git", ["-C", two.cwd, ...args]);
    inTwo("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "work");
    expect(await town.ok("close", "two")).toContain("Worktree kept: bosun/two is not merged");
    expect(git("branch")).toContain("bosun/two");
    const three = await openIn(town, "three", "--worktree", "--", "exec sleep 600");
    execFileSync("touch", [join(three.cwd, "unsaved")]);
    expect(await town.ok("close", "three", "--drop-branch")).toContain("was merged");
  });
});

test("wait ends when a session is idle, needs somebody or has ended, with what was seen; else it gives up and says how it stands", async () => {
  const town = new TownUnderTest();
  try {
    const go = join(town.folder, "go");
    await town.ok(
      "new",
      "job",
      "--",
      `while [ ! -e ${go} ]; do echo working; sleep 0.2; done; printf 'Sure? [y/N] '; read x; exit 4`,
    );
    const waiting = town.run(["wait", "job", "--for", "needs-me", "--json"]);
    const late = await town.run(["wait", "job", "--for", "exit", "--timeout", "1s"]);
    expect([late.code, late.stderr]).toEqual([6, expect.stringContaining("it is working: it writes")]);
    execFileSync("touch", [go]);
    expect(JSON.parse((await waiting).stdout)).toMatchObject({
      name: "job",
      activity: { state: "waiting", reason: "question" },
    });
    const ended = town.run(["wait", "1", "--for", "exit"]);
    await town.ok("type", "job", "y");
    expect((await ended).stdout).toBe("job is dead: its process ended: exit 4\n");
    expect((await town.run(["wait", "nobody"])).code).toBe(3);
    expect((await town.run(["wait", "job", "--for", "dinner"])).code).toBe(2);
  } finally {
    await town.close();
  }
});

describe("much output", () => {
  let town: TownUnderTest;
  afterEach(() => town.close());

  test("S3-45, O3-09, O3-23: of twenty megabytes written in the background the newest ten are held, what is gone is told, and all is in the recording", async () => {
    town = new TownUnderTest();
    const line = "0123456789".repeat(9);
    const count = 210_000;
    await town.ok(
      "new",
      "loud",
      "--",
      `sleep 0.5; i=0; seq -f '%.0f ${line}' 1 ${count}; echo the-end; exec sleep 600`,
    );
    await until(async () => (await town.json("history", "loud", "-n", "1")).lines[0] === "the-end", "the end", 60_000);
    const found = await town.json("history", "loud");
    expect(found.bytes).toBeLessThanOrEqual(10_485_760);
    expect(found.bytes).toBeGreaterThan(10_000_000);
    expect(found.dropped).toBeGreaterThan(8_000_000);
    const held = (found.lines as string[]).slice(1, -1).map((each) => Number(each.split(" ")[0]));
    expect(held.at(-1)).toBe(count);
    expect(held).toEqual(Array.from({ length: held.length }, (_, n) => held[0]! + n));
    const text = readFileSync(found.recording, "utf8")
      .split("\n")
      .slice(1, -1)
      .map((each) => (JSON.parse(each) as [number, string, string])[2])
      .join("");
    const recorded = [...text.matchAll(/^(\d+) 0123/gm)].map((match) => Number(match[1]));
    expect(recorded).toEqual(Array.from({ length: count }, (_, n) => n + 1));
    expect(await town.ok("replay", "loud", "--speed", "0")).toContain("the-end");
  }, 120_000);
});
