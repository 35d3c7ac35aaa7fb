import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ControlEvent, ControlParser } from "./control-parser.ts";
import type { PaneBirth, SessionBirth, Tmux, World } from "./port.ts";
import { statOf } from "./process-tree.ts";
import { openTmux } from "./tmux.ts";

let count = 0;
let socket: string;
let folder: string;
let tmux: Tmux;

beforeEach(() => {
  socket = `bosun-test-driver-${process.pid}-${++count}`;
  folder = mkdtempSync(join(tmpdir(), "bosun-driver-"));
  tmux = openTmux({ socket, town: "t", config: null });
});

afterEach(async () => {
  await tmux.close();
  try {
    plain("kill-server");
  } catch {
    // The test ended it itself.
  }
  rmSync(folder, { recursive: true, force: true });
});

function plain(...args: string[]): string {
  return execFileSync("tmux", ["-u", "-L", socket, "-f", "/dev/null", ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function birth(
  name: string,
  change: Partial<PaneBirth> & { window?: string; panes?: Partial<PaneBirth>[] } = {},
): SessionBirth {
  const { window = "main", panes = [change] } = change;
  return {
    name,
    marks: { town: "t", id: name, epoch: 1, shape: "0123456789abcdef" },
    size: { columns: 120, rows: 30 },
    sizing: "fixed",
    windows: [
      {
        name: window,
        layout: null,
        panes: panes.map((pane, index) => ({
          slot: `0.${index}`,
          title: `p${index}`,
          cwd: folder,
          env: {},
          argv: ["sleep", "3600"],
          ...pane,
        })),
      },
    ],
  };
}

async function until<T>(look: () => T | Promise<T>, what: string, timeoutMs = 5_000): Promise<NonNullable<T>> {
  for (const untilMs = Date.now() + timeoutMs; Date.now() < untilMs; ) {
    const seen = await look();
    if (seen) return seen as NonNullable<T>;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`in vain: ${what}`);
}

const sessionOf = (world: World | null, name: string) => world?.sessions.find((session) => session.name === name);

describe("sessions", () => {
  test("lesson 29 30 61: are born with their marks, panes, titles and size, and listed so", async () => {
    await tmux.start([birth("one", { panes: [{ title: "first" }, { title: "second" }, { title: "third" }] })]);
    const one = sessionOf(await tmux.observe(), "one")!;
    expect(one.marks).toEqual({ town: "t", id: "one", epoch: 1, shape: "0123456789abcdef" });
    expect(one.windows.map((window) => [window.name, window.columns, window.rows, window.home])).toEqual([
      ["main", 120, 30, "one"],
    ]);
    expect(one.windows[0]!.panes.map((pane) => [pane.slot, pane.title, pane.dead])).toEqual([
      ["0.0", "first", false],
      ["0.1", "second", false],
      ["0.2", "third", false],
    ]);
    expect(readFileSync(`/proc/${one.windows[0]!.panes[0]!.pid}/cmdline`, "utf8")).toBe("sleep\x003600\0");
  });

  test("lesson 26: of a taken name are not made, and the one in place is not touched", async () => {
    plain("new-session", "-d", "-s", "mine", "sleep", "3600");
    const pid = plain("list-panes", "-t", "=mine:", "-F", "#{pane_pid}");
    expect(await tmux.start([birth("mine")])).toEqual([{ name: "mine", error: expect.stringMatching(/exists/) }]);
    expect(plain("list-panes", "-t", "=mine:", "-F", "#{pane_pid}")).toBe(pid);
  });

  test("S1-14, lesson 21 22 40 41: stop ends exactly what it was given, with everything that descends from it", async () => {
    const stubborn = "trap '' HUP TERM; setsid sleep 3601 & sleep 3602 & wait";
    await tmux.start([
      birth("hq-gt11-deacon", {
        argv: ["sh", "-c", stubborn],
        env: { BOSUN_TOWN: "t", BOSUN_SESSION: "hq-gt11-deacon" },
      }),
      birth("hq-gt11-deacon2"),
      birth("hq-gt11-deacon-boot"),
    ]);
    const deacon = sessionOf(await tmux.observe(), "hq-gt11-deacon")!;
    await until(() => processes(/sleep 360[12]/, deacon.windows[0]!.panes[0]!.pid).length === 2, "its two children");
    const children = processes(/sleep 360[12]/, deacon.windows[0]!.panes[0]!.pid);
    await tmux.stop([deacon.id], { graceMs: 200 });
    expect((await tmux.observe())!.sessions.map((session) => session.name).sort()).toEqual([
      "hq-gt11-deacon-boot",
      "hq-gt11-deacon2",
    ]);
    for (const pid of children) expect(statOf(pid)?.state ?? "gone").toMatch(/gone|Z/);
  });

  test("a tmux server that somebody started in a session is theirs, with what runs in it; what else is left of a session can be ended", async () => {
    const inner = `${socket}-inner`;
    const left = 36_000_000 + process.pid;
    await tmux.start([
      birth("mine", {
        argv: [
          "sh",
          "-c",
          `tmux -L ${inner} -f /dev/null new-session -d -s own 'exec sleep 3611'; setsid sleep ${left} & exec sleep 3613`,
        ],
        env: { BOSUN_TOWN: "t", BOSUN_SESSION: "mine", PATH: process.env.PATH! },
      }),
    ]);
    const mine = sessionOf(await tmux.observe(), "mine")!;
    const own = (): string =>
      execFileSync("tmux", ["-L", inner, "list-sessions", "-F", "#{session_name}"], { encoding: "utf8" });
    await until(() => {
      try {
        return own() === "own\n" && processes(new RegExp(`^ *\\d+ +\\d+ sleep ${left}$`), null).length === 1;
      } catch {
        return false;
      }
    }, "a server in it, and a process that left it");
    try {
      plain("kill-session", "-t", "=mine");
      expect(processes(new RegExp(`^ *\\d+ +\\d+ sleep ${left}$`), null)).toHaveLength(1);
      expect(await tmux.reap(["mine"], { graceMs: 300 })).toBeGreaterThanOrEqual(1);
      expect(processes(new RegExp(`^ *\\d+ +\\d+ sleep ${left}$`), null)).toEqual([]);
      expect(own()).toBe("own\n");
      expect(mine.name).toBe("mine");
    } finally {
      execFileSync("tmux", ["-L", inner, "kill-server"]);
    }
  });

  test("lesson 35 38 66: keep a dead pane with how it ended, and start it again in its place", async () => {
    await tmux.start([birth("one", { panes: [{ argv: ["sh", "-c", "exit 7"] }, {}] })]);
    const dead = await until(
      async () => sessionOf(await tmux.observe(), "one")!.windows[0]!.panes.find((pane) => pane.dead),
      "the dead pane",
    );
    expect(dead.exit).toBe("exit 7");
    await tmux.respawn(dead.id, birth("one").windows[0]!.panes[0]!);
    const again = sessionOf(await tmux.observe(), "one")!.windows[0]!.panes;
    expect(again.map((pane) => [pane.id === dead.id || pane.slot === "0.1", pane.dead])).toEqual([
      [true, false],
      [true, false],
    ]);
  });

  test("are told dead every time: 40 kills, 40 seen, though tmux 3.3a loses such events", async () => {
    await tmux.start([birth("one")]);
    for (let n = 0; n < 40; n++) {
      const pane = await until(
        async () => sessionOf(await tmux.observe(), "one")!.windows[0]!.panes.find((each) => !each.dead),
        "a living pane",
      );
      const told = new Promise<void>((resolve) => {
        const leave = tmux.on((notice) => {
          if (notice.kind === "changed") {
            leave();
            resolve();
          }
        });
      });
      process.kill(pane.pid, "SIGKILL");
      await told;
      const dead = await until(
        async () => sessionOf(await tmux.observe(), "one")!.windows[0]!.panes.find((each) => each.dead),
        "the death",
        2_000,
      );
      expect(dead.exit).toBe("signal 9");
      await tmux.respawn(dead.id, birth("one").windows[0]!.panes[0]!);
    }
  }, 60_000);
});

test("lesson 44 2.8: a person's base-index changes nothing: panes are found by id and slot", async () => {
  plain("new-session", "-d", "-s", "theirs", "sleep", "3600");
  plain("set-option", "-g", "base-index", "5");
  plain("set-option", "-gw", "pane-base-index", "3");
  const two = birth("two", { panes: [{ title: "a" }, { title: "b" }] });
  await tmux.start([
    {
      ...two,
      windows: [
        ...two.windows,
        { name: "second", layout: null, panes: [{ ...two.windows[0]!.panes[0]!, slot: "1.0", title: "c" }] },
      ],
    },
  ]);
  const { windows } = sessionOf(await tmux.observe(), "two")!;
  expect(windows.map((window) => [window.name, window.panes.map((pane) => [pane.slot, pane.title])])).toEqual([
    [
      "main",
      [
        ["0.0", "a"],
        ["0.1", "b"],
      ],
    ],
    ["second", [["1.0", "c"]]],
  ]);
});

test("lesson 54: a caller without a locale sees the same names", async () => {
  await tmux.close();
  tmux = openTmux({ socket, town: "t", config: null, env: { PATH: process.env["PATH"], HOME: folder } });
  await tmux.start([birth("one", { window: "ünï", title: "títle" })]);
  const window = sessionOf(await tmux.observe(), "one")!.windows[0]!;
  expect([window.name, window.panes[0]!.title]).toEqual(["ünï", "títle"]);
});

describe("windows", () => {
  test("lesson 57: are linked without stealing the view, and a stop of the guest's session leaves them", async () => {
    await tmux.start([birth("owner"), birth("guest")]);
    const world = await tmux.observe();
    const window = sessionOf(world, "owner")!.windows[0]!;
    const guest = sessionOf(world, "guest")!;
    await tmux.linkWindow(window.id, guest.id, 9);
    expect(plain("display-message", "-p", "-t", "=guest:", "#{window_index}").trim()).not.toBe("9");
    await tmux.stop([guest.id]);
    expect(statOf(window.panes[0]!.pid)).not.toBeNull();
    expect(sessionOf(await tmux.observe(), "owner")!.windows[0]!.id).toBe(window.id);
  });

  test("lesson 2.3: of a stopped session do not live on where they are linked", async () => {
    await tmux.start([birth("owner"), birth("guest")]);
    const world = await tmux.observe();
    const window = sessionOf(world, "owner")!.windows[0]!;
    await tmux.linkWindow(window.id, sessionOf(world, "guest")!.id, 9);
    await tmux.hear([window.id]);
    await tmux.stop([sessionOf(world, "owner")!.id]);
    expect(sessionOf(await tmux.observe(), "guest")!.windows).toHaveLength(1);
    expect(plain("list-panes", "-a", "-F", "#{pane_pid}")).not.toContain(String(window.panes[0]!.pid));
  });

  test("two hundred pictures at once, each of its own pane, with the colours that go on from what has scrolled off", async () => {
    await tmux.start(
      Array.from({ length: 50 }, (_, n) =>
        birth(`many-${n}`, {
          panes: Array.from({ length: 4 }, (_each, p) => ({
            argv: ["sh", "-c", `printf '\\033[1;31m'; seq 1 40; printf 'end-${n}-${p}'; exec sleep 999`],
          })),
        }),
      ),
    );
    const world = await tmux.observe();
    const panes = world!.sessions.flatMap((session) =>
      session.windows[0]!.panes.map((pane, p) => ({
        pane: pane.id,
        says: `end-${session.name.slice("many-".length)}-${p}`,
      })),
    );
    expect(panes).toHaveLength(200);
    await until(() => plain("capture-pane", "-p", "-t", panes[199]!.pane).includes("end-"), "the last to have written");
    const before = tmux.roundTrips;
    const pictures = await tmux.pictures(panes.map(({ pane }) => ({ pane, above: 1_000 })));
    expect(tmux.roundTrips).toBe(before);
    for (const { pane, says } of panes) {
      const { lines, above, cursor } = pictures.get(pane)!;
      expect(lines[cursor.y]).toContain(says);
      expect(above[0]).toBe("1");
      expect(lines[0]).toMatch(/^(?:\x1b\[1m\x1b\[31m|\x1b\[1;31m)/);
    }
    // With one of them gone, all others are there.
    plain("kill-pane", "-t", panes[7]!.pane);
    const left = await tmux.pictures(panes.map(({ pane }) => ({ pane, above: 0 })));
    expect(left.size).toBe(199);
  }, 60_000);

  test("what two take over at once is one's alone, whole", async () => {
    plain("new-session", "-d", "-s", "old", "sleep 3600");
    const other = openTmux({ socket, town: "u", config: null });
    try {
      const [mine, theirs] = [sessionOf(await tmux.observe(), "old")!, sessionOf(await other.observe(), "old")!];
      await tmux.mark(mine, { town: "t", id: "one", epoch: 3, shape: "0123456789abcdef" });
      await expect(other.mark(theirs, { town: "u", id: "two", epoch: 9, shape: "fedcba9876543210" })).rejects.toThrow();
      expect(sessionOf(await tmux.observe(), "old")).toMatchObject({
        marks: { town: "t", id: "one", epoch: 3, shape: "0123456789abcdef" },
        windows: [{ home: "one" }],
      });
    } finally {
      await other.close();
    }
    // A mark that failed half-way holds nobody up.
    plain("new-session", "-d", "-s", "half", "sleep 3600");
    plain("set-option", "-t", "=half:", "@id", "stale");
    await tmux.mark(sessionOf(await tmux.observe(), "half")!, {
      town: "t",
      id: "two",
      epoch: 1,
      shape: "0123456789abcdef",
    });
    expect(sessionOf(await tmux.observe(), "half")).toMatchObject({ marks: { town: "t", id: "two" } });
  });

  test("a picture fits what is heard after it: no line is lost or there twice, however much is written meanwhile", async () => {
    await tmux.start([
      birth("one", {
        argv: ["sh", "-c", "i=0; while :; do i=$((i+1)); echo line-$i; [ $((i % 40)) = 0 ] && sleep 0.02; done"],
      }),
    ]);
    const one = sessionOf(await tmux.observe(), "one")!;
    const { id: pane } = one.windows[0]!.panes[0]!;
    const heard: Buffer[] = [];
    tmux.on((notice) => {
      if (notice.kind === "output") heard.push(notice.bytes);
    });
    await tmux.hear([one.windows[0]!.id]);
    for (let round = 0; round < 20; round++) {
      let taken: number | null = null;
      const pictures = await tmux.pictures([
        {
          pane,
          above: round % 2 === 0 ? 10_000 : 0,
          onTaken: () => {
            taken = heard.length;
          },
        },
      ]);
      await until(() => heard.length > taken! + 5, "more to be written");
      const { above, lines, cursor } = pictures.get(pane)!;
      const screen = [...above, ...lines.slice(0, cursor.y), lines[cursor.y]!.trimEnd()].join("\r\n");
      const numbers = [...(screen + Buffer.concat(heard.slice(taken!)).toString()).matchAll(/line-(\d+)(?=\r)/g)].map(
        ([, number]) => Number(number),
      );
      const gaps = numbers.filter((number, index) => index > 0 && number !== numbers[index - 1]! + 1);
      expect(gaps, `what follows no line ${screen.slice(-30)}`).toEqual([]);
      expect(numbers.length).toBeGreaterThan(30);
      if (round % 2 === 0) expect(numbers[0]).toBe(1);
      if (numbers.at(-1)! > 8_000) break;
    }
  });

  test("lesson 64 2.2: that are heard give every byte, exactly; and when their session is killed by others they go too", async () => {
    await tmux.start([
      birth("one", { argv: ["sh", "-c", "sleep 0.5; printf 'a\\\\b\\033[1m\\303\\274\\001'; sleep 3600"] }),
    ]);
    const one = sessionOf(await tmux.observe(), "one")!;
    const heard: Buffer[] = [];
    tmux.on((notice) => {
      if (notice.kind === "output") heard.push(notice.bytes);
    });
    await tmux.hear([one.windows[0]!.id]);
    const wanted = Buffer.from("a\\b\x1b[1mü\x01");
    await until(() => Buffer.concat(heard).length >= wanted.length, "the bytes");
    expect(Buffer.concat(heard)).toEqual(wanted);
    plain("kill-session", "-t", "=one");
    await tmux.observe();
    await until(() => statOf(one.windows[0]!.panes[0]!.pid) === null, "the process of the killed session");
  });

  test("lesson 2.5 2.6: keep their size, whoever looks and however small", async () => {
    await tmux.start([birth("small-client")]);
    const look = (flags: string) => {
      const client = spawn(
        "script",
        ["-qfc", `stty cols 40 rows 10; exec tmux -L ${socket} attach ${flags} -t =small-client`, "/dev/null"],
        { env: { ...process.env, TERM: "xterm" }, stdio: ["pipe", "pipe", "ignore"] },
      );
      client.stdout.resume();
      return client;
    };
    for (const flags of ["", "-r"]) {
      const client = look(flags);
      await until(async () => sessionOf(await tmux.observe(), "small-client")!.attached === 1, "the client");
      await tmux.start([birth(`born-meanwhile${flags}`)]);
      const world = await tmux.observe();
      for (const session of world!.sessions)
        expect([session.name, session.windows[0]!.columns, session.windows[0]!.rows]).toEqual([session.name, 120, 30]);
      client.kill("SIGKILL");
      await until(async () => sessionOf(await tmux.observe(), "small-client")!.attached === 0, "the client gone");
    }
  });
});

describe("the connection", () => {
  test("lesson 2.1: killed, it is made again, and nothing is lost", async () => {
    await tmux.start([birth("one")]);
    const client = processes(/tmux .*-C new-session -A -s _bosun-t/, null).find((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(socket),
    )!;
    process.kill(client, "SIGKILL");
    await until(() => statOf(client) === null, "the client gone");
    expect(sessionOf(await tmux.observe(), "one")).toBeDefined();
    expect(tmux.mode).toBe("control");
  });

  test("lesson 55: no server is an answer of its own, and a frozen one is another", async () => {
    expect(await tmux.observe()).toBeNull();
    await tmux.start([birth("one")]);
    plain("kill-server");
    await until(async () => (await tmux.observe().catch(() => undefined)) === null, "the end of the server");
    expect(tmux.mode).toBe("off");
  });

  test("lesson 27 2.9: a server that leaves while another starts is no error", async () => {
    for (let n = 0; n < 8; n++) {
      await tmux.start([birth(`round-${n}`)]);
      plain("kill-server");
      expect(await tmux.start([birth(`again-${n}`)])).toEqual([
        expect.objectContaining({ id: expect.stringMatching(/^\$/) }),
      ]);
      plain("kill-server");
    }
  });

  test("lesson 65: is one, however much is started, and is no person to anybody", async () => {
    await tmux.start(Array.from({ length: 12 }, (_, n) => birth(`s-${n}`)));
    expect(plain("list-clients").trim().split("\n")).toHaveLength(1);
    expect((await tmux.observe())!.sessions.every((session) => session.attached === 0)).toBe(true);
  });

  test("lesson 2.4: a server on which new windows would crash tmux is not used", async () => {
    plain("new-session", "-d", "-s", "theirs", "sleep", "3600");
    plain("set-option", "-gw", "window-size", "manual");
    await expect(tmux.start([birth("one")])).rejects.toMatchObject({
      body: { what: expect.stringMatching(/window-size manual/) },
    });
    expect(plain("list-sessions", "-F", "#{session_name}").trim()).toBe("theirs");
  });

  test("lesson 31: what the one who starts it has in the environment does not reach the panes", async () => {
    await tmux.close();
    tmux = openTmux({ socket, town: "t", config: null, env: { ...process.env, CANARY: "hunter2", CLAUDECODE: "1" } });
    await tmux.start([birth("one")]);
    const pid = sessionOf(await tmux.observe(), "one")!.windows[0]!.panes[0]!.pid;
    expect(readFileSync(`/proc/${pid}/environ`, "utf8")).not.toMatch(/CANARY|CLAUDECODE|hunter2/);
    expect(plain("show-environment", "-g")).not.toMatch(/CANARY|CLAUDECODE/);
  });

  test("leaving takes our session and settings back, and leaves the others", async () => {
    plain("new-session", "-d", "-s", "theirs", "sleep", "3600");
    await tmux.start([birth("one")]);
    expect(plain("show-options", "-sv", "exit-empty").trim()).toBe("off");
    await tmux.close();
    await until(() => !plain("list-sessions", "-F", "#{session_name}").includes("_bosun"), "our session gone");
    expect(plain("show-options", "-sv", "exit-empty").trim()).toBe("on");
    expect(plain("list-sessions", "-F", "#{session_name}").trim().split("\n").sort()).toEqual(["one", "theirs"]);
  });
});

describe("text", () => {
  test("lesson 11 12 13 15 20 2.7: is typed byte for byte, short or long, whatever it begins or ends with", async () => {
    const file = join(folder, "typed");
    await tmux.start([birth("recorder", { argv: ["sh", "-c", `stty raw -echo; echo ready; exec cat > '${file}'`] })]);
    const pane = sessionOf(await tmux.observe(), "recorder")!.windows[0]!.panes[0]!;
    await until(() => existsSync(file), "the recorder");
    const texts = fc
      .sample(
        fc
          .string({ unit: "grapheme", minLength: 1, maxLength: 60 })
          .map((text) => text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "")),
        { numRuns: 60, seed: 7 },
      )
      .filter((text) => text !== "");
    const all = [
      ...texts,
      "ends with;",
      "-X cancel",
      "~/x $HOME `id` $(id) #(id) #{pid}",
      "two\nlines\tand a tab",
      "{ } \" ' \\",
      "x".repeat(40_000),
    ];
    for (const text of all) await tmux.typeText(pane.id, text);
    const wanted = all.join("");
    await until(() => readFileSync(file, "utf8").length >= wanted.length, "all of it", 20_000);
    expect(readFileSync(file, "utf8")).toBe(wanted);
  }, 60_000);

  test.each(["\x1b[201~touch x", "\x03", "\x1a", "\u009b1m", "\x00"])(
    "that would act as keys is refused: %j",
    async (text) => {
      await tmux.start([birth("one")]);
      const pane = sessionOf(await tmux.observe(), "one")!.windows[0]!.panes[0]!;
      await expect(tmux.typeText(pane.id, text)).rejects.toMatchObject({ code: "REFUSED" });
    },
  );
});

describe("what comes from outside never acts", () => {
  const hostile = (marker: string): string[] => [
    `x#(touch ${marker})`,
    `$(touch ${marker})`,
    `\`touch ${marker}\``,
    `a; run-shell 'touch ${marker}'`,
    `"; run-shell "touch ${marker}`,
    `'; kill-server; '`,
    `~root`,
    `%end 1 1 1`,
    `ends;`,
    `#{E:#(touch ${marker})}`,
    `{ kill-server }`,
    `-t x`,
  ];

  test("lesson 19: window names, pane titles, folders, environment values and arguments arrive as they are", async () => {
    const marker = join(folder, "MARKER");
    const texts = hostile(marker);
    const births = texts.map((text, index) => {
      const cwd = join(folder, text.replaceAll("/", "_"));
      mkdirSync(cwd);
      return birth(`h-${index}`, {
        window: text,
        title: text,
        cwd,
        env: { HOSTILE: text },
        argv: ["sleep", "3600", text].slice(0, 2).concat(),
      });
    });
    const born = await tmux.start(births);
    expect(born.filter((each) => "error" in each)).toEqual([]);
    for (let n = 0; n < 12; n++) await tmux.observe();
    const world = await tmux.observe();
    for (const [index, text] of texts.entries()) {
      const session = sessionOf(world, `h-${index}`)!;
      const { pid, title } = session.windows[0]!.panes[0]!;
      expect([session.windows[0]!.name, title]).toEqual([text, text]);
      expect(readFileSync(`/proc/${pid}/environ`, "utf8")).toContain(`HOSTILE=${text}\0`);
      expect(execFileSync("readlink", [`/proc/${pid}/cwd`], { encoding: "utf8" }).trim()).toBe(
        join(folder, text.replaceAll("/", "_")),
      );
    }
    expect(existsSync(marker)).toBe(false);
  });

  test.each(["a b", "a.b", "a:b", "=a", "-d", "x#(touch y)", "a\nkill-server", "", "*"])(
    "lesson 25: a session cannot be called %j",
    async (name) => {
      expect(await tmux.start([birth(name)])).toEqual([{ name, error: expect.stringMatching(/cannot be/) }]);
    },
  );

  test("control characters in names and folders are refused before tmux sees them", async () => {
    for (const change of [{ window: "a\nkill-server" }, { title: "a\x1bb" }, { cwd: "/tmp\n" }]) {
      expect(await tmux.start([birth("one", change)])).toEqual([
        { name: "one", error: expect.stringMatching(/control character/) },
      ]);
    }
  });

  test("records cannot be forged with options, names and titles that hold tabs and line feeds", async () => {
    plain("new-session", "-d", "-s", "forger", "-n", "w", "sleep", "3600");
    plain("set-option", "-t", "=forger:", "@id", "x\n$99\t1\tt\tforged\t1\ts\tforged");
    plain("set-option", "-t", "=forger:", "@town", "t");
    plain("rename-window", "-t", "=forger:", "w\t@99\t0\t1\t1\t1\tx\ty\tz");
    plain("select-pane", "-t", "=forger:", "-T", "t\n@1\t%99\t1\t0\t\t\t0\t0.0\tforged");
    const world = await tmux.observe();
    expect(world!.sessions.map((session) => [session.name, session.marks])).toEqual([["forger", null]]);
    expect(world!.sessions[0]!.windows.flatMap((window) => window.panes).length).toBeLessThanOrEqual(1);
  });
});

test("the control stream reads the same however it is cut, and an end that is none does not end an answer", () => {
  const stream = Buffer.from(
    "%begin 1 1 0\n%end 1 1 0\n%output %3 a\\033b\\134\n%begin 9 7 1\nline\n%end 9 8 1\n%error 1 1 1\n%exit\nünï\n%end 9 7 1\n%session-changed $1 x\n%begin 9 8 1\nno\n%error 9 8 1\n",
  );
  const read = (chunks: Buffer[]): ControlEvent[] => {
    const events: ControlEvent[] = [];
    const parser = new ControlParser((event) => events.push(event));
    for (const chunk of chunks) parser.push(chunk);
    return events;
  };
  const whole = read([stream]);
  expect(whole).toEqual([
    { kind: "answer", ok: true, ours: false, lines: [] },
    { kind: "output", pane: "%3", bytes: Buffer.from("a\x1bb\\") },
    { kind: "answer", ok: true, ours: true, lines: ["line", "%end 9 8 1", "%error 1 1 1", "%exit", "ünï"] },
    { kind: "notice", name: "session-changed", rest: "$1 x" },
    { kind: "answer", ok: false, ours: true, lines: ["no"] },
  ]);
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 20 }), (cuts) => {
      const places = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
      expect(read(places.slice(1).map((end, index) => Buffer.from(stream.subarray(places[index], end))))).toEqual(
        whole,
      );
    }),
  );
});

/** Processes by command line; with `under`, only that one's descendants and those its session started. */
function processes(pattern: RegExp, under: number | null): number[] {
  return execFileSync("ps", ["-eo", "pid,ppid,args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => pattern.test(line))
    .map((line) => line.trim().split(/\s+/).map(Number) as [number, number])
    .filter(([, parent]) => under === null || parent === under)
    .map(([pid]) => pid);
}
