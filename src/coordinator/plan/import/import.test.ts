import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { BosunError } from "../../../protocol/error.ts";
import { whyBadName } from "../../../protocol/names.ts";
import type { Imported } from "./draft.ts";
import { thenShell } from "./draft.ts";
import { importProcfile } from "./procfile.ts";
import { importTmuxinator } from "./tmuxinator.ts";
import { importTmuxp } from "./tmuxp.ts";

const FOLDER = resolve(import.meta.dirname, "../../../../test/import");

function fixture(name: string, read: (text: string, file: string) => Imported): Imported {
  return read(readFileSync(join(FOLDER, name), "utf8"), name);
}

/** `3 key` of everything dropped: the place is what a person looks for. */
function places(imported: Imported): string[] {
  return imported.dropped.map(({ line, key }) => `${line} ${key}`);
}

/** The commands inside the shell a pane ends in, without what the importer puts around them. */
function commands(run: string): string[] {
  return run
    .replace(/^exec "\$SHELL" -ic '/, "")
    .replace(/'$/, "")
    .split("\n")
    .slice(1, -1);
}

/** Every key a floor plan of an import may have, on its level. */
function misplacedKeys(yaml: string): string[] {
  const plan = parse(yaml);
  const wrong = (where: string, value: object, known: string[]): string[] =>
    Object.keys(value)
      .filter((key) => !known.includes(key))
      .map((key) => `${where}.${key}`);
  type Window = { panes: object[] };
  return [
    ...wrong("plan", plan, ["version", "tmux", "sessions"]),
    ...Object.entries<{ windows?: Window[] }>(plan.sessions).flatMap(([id, session]) => [
      ...(whyBadName(id) ? [`session ${id}`] : []),
      ...wrong(id, session, ["about", "cwd", "env", "restart", "run", "windows"]),
      ...(session.windows ?? []).flatMap((window) => [
        ...wrong("window", window, ["name", "layout", "panes"]),
        ...window.panes.flatMap((pane) => wrong("pane", pane, ["title", "cwd", "env", "run"])),
      ]),
    ]),
  ];
}

describe("tmuxp", () => {
  const workshop = fixture("workshop.tmuxp.yaml", importTmuxp);
  const plan = parse(workshop.yaml);

  test("a workspace becomes one session with its folder, environment and socket", () => {
    const { windows, ...session } = plan.sessions["my-workshop"];
    expect({ tmux: plan.tmux, session, windows: windows.map((window: { name: string }) => window.name) }).toEqual({
      tmux: { socket: "shop" },
      session: {
        about: "Imported from workshop.tmuxp.yaml; say what it is for",
        cwd: "/srv/shop",
        env: { EDITOR: "vim", SWITCH: "on" },
        restart: "never",
      },
      windows: ["edit", "edit-2", "far-away", "window-4"],
    });
    expect(misplacedKeys(workshop.yaml)).toEqual([]);
  });

  test("panes run what was typed, preceded by what runs before, in the folder of the pane", () => {
    const [edit] = plan.sessions["my-workshop"].windows;
    expect(edit.layout).toBe("main-vertical");
    expect(edit.panes.map(({ run, ...rest }: { run: string }) => ({ ...rest, commands: commands(run) }))).toEqual([
      { commands: ["source env.sh", "cd src"] },
      { commands: ["source env.sh", "cd src"] },
      { commands: ["source env.sh", "cd src"] },
      { commands: ["source env.sh", "cd src", "vim"] },
      {
        title: "my-title",
        cwd: "/srv/shop/docs",
        env: { LEVEL: "3" },
        commands: ["source env.sh", "cd src", "echo '\\''one'\\''", "echo \"two <''three>\""],
      },
    ]);
  });

  test("a pane with a program of its own runs it, and what was typed into it is listed", () => {
    const [, second, third, fourth] = plan.sessions["my-workshop"].windows;
    expect(second.panes.slice(0, 2)).toEqual([
      { cwd: "here", run: "/usr/bin/top" },
      { cwd: "here", run: "/usr/bin/python3" },
    ]);
    expect(third).toMatchObject({
      layout: "5b2e,160x40,0,0{80x40,0,0,1,79x40,81,0,2}",
      panes: [{ cwd: "~/far", env: { WHERE: "far" } }],
    });
    expect(fourth.panes).toEqual([{ run: "/usr/bin/htop" }, { run: "/usr/bin/htop" }]);
  });

  test("everything that is not carried over is listed with its line, in the plan too", () => {
    expect(places(workshop)).toEqual([
      "1 session_name",
      "7 environment.REF",
      "9 before_script",
      "10 plugins",
      "11 global_options",
      "12 enable_pane_titles",
      "13 on_project_start",
      "17 windows[1].focus",
      "18 windows[1].window_index",
      "19 windows[1].options",
      "20 windows[1].options_after",
      "31 windows[1].panes[5].shell_command[2].sleep_before",
      "33 windows[1].panes[5].shell_command[3].enter",
      "34 windows[1].panes[5].suppress_history",
      "38 windows[2].window_name",
      "40 windows[2].synchronize",
      "41 windows[2].if",
      "43 windows[2].panes[1]",
      "44 windows[2].panes[2]",
      "45 windows[2].panes[3].shell_command",
      "46 windows[2].panes[4].shell_commands",
      "47 windows[3].window_name",
      "52 windows[4].start_directory",
      "53 windows[4].layout",
      "54 windows[4].panes[1]",
      "54 windows[4].panes[2]",
    ]);
    const listed = workshop.yaml.split("\n").filter((line) => /^# {3}line \d+: /.test(line));
    expect(listed).toHaveLength(workshop.dropped.length);
  });

  test("JSON is read as well, and a name that tells nothing gives way to the file's", () => {
    const short = fixture("short.tmuxp.json", importTmuxp);
    const { sessions } = parse(short.yaml);
    expect(Object.keys(sessions)).toEqual(["short-tmuxp"]);
    expect(sessions["short-tmuxp"].windows[0].panes.map(({ run }: { run: string }) => commands(run))).toEqual([
      ['ssh "one"'],
      ["cd /var/log", "ls"],
    ]);
    expect(places(short)).toEqual(["2 session_name"]);
  });
});

describe("tmuxinator", () => {
  const shop = fixture("shop.tmuxinator.yml", importTmuxinator);
  const plan = parse(shop.yaml);
  const windows: { name: string; layout?: string; panes: { title?: string; cwd?: string; run: string }[] }[] =
    plan.sessions["shop-tmuxinator"].windows;
  const shown = (name: string) =>
    windows
      .find((window) => window.name === name)!
      .panes.map(({ run, ...rest }) => ({ ...rest, commands: commands(run) }));

  test("windows given as a text, a list, a map or nothing all become windows", () => {
    expect(windows.map(({ name }) => name)).toEqual([
      "editor",
      "db",
      "pull",
      "shell",
      "plain",
      "db-2",
      "222-3",
      "window-8",
      "true",
      "titled",
    ]);
    expect([...shown("db"), ...shown("pull"), ...shown("shell")]).toEqual([
      { commands: ["rbenv shell 3.3.0", "rails db"] },
      { commands: ["rbenv shell 3.3.0", "git pull", "git merge"] },
      { commands: ["rbenv shell 3.3.0"] },
    ]);
    expect(misplacedKeys(shop.yaml)).toEqual([]);
  });

  test("panes keep their names, and what the window and a shared block run before", () => {
    const before = ["rbenv shell 3.3.0", "echo each pane"];
    const cwd = "~/shop/sub";
    expect(shown("editor")).toEqual([
      { cwd, commands: [...before, "vim"] },
      { cwd, commands: before },
      { cwd, title: "tests", commands: [...before, "cd spec", "rake"] },
      { cwd, title: "logs", commands: [...before, "tail -f log/dev.log"] },
      { cwd, commands: before },
    ]);
    expect(shown("titled").map(({ title }) => title)).toEqual(["first", "second"]);
    expect({ tmux: plan.tmux, cwd: plan.sessions["shop-tmuxinator"].cwd }).toEqual({
      tmux: { socket: "shop" },
      cwd: "~/shop",
    });
  });

  test("Ruby is never run, and is listed with everything else that is not carried over", () => {
    expect(places(shop)).toEqual([
      "1 <% port = 3000",
      "3 shared",
      "7 name",
      "10 pre",
      "11 on_project_start",
      "13 startup_window",
      "14 attach",
      "15 enable_pane_titles",
      "16 partials",
      "22 windows.editor.synchronize",
      "30 windows.editor.panes[5]",
      '31 <% if ENV["DB"] %>',
      "33 <% end %>",
      "39 windows.db",
      "40 windows.222.3",
      "41 windows[8]",
    ]);
  });

  test("keys of old versions are understood", () => {
    const old = fixture("old.tmuxinator.yml", importTmuxinator);
    const session = parse(old.yaml).sessions["old-tmuxinator"];
    expect({ cwd: session.cwd, commands: commands(session.windows[0].panes[0].run) }).toEqual({
      cwd: "~/old",
      commands: ["rvm use 2.7", "echo a", "echo b", "git pull"],
    });
    expect(places(old)).toEqual(["1 project_name", "3 socket_path", "4 cli_args"]);
  });
});

test("a Procfile becomes one session per process, with the ports foreman gives", () => {
  const imported = fixture("Procfile", importProcfile);
  expect(parse(imported.yaml).sessions).toEqual({
    web: {
      about: "Imported from Procfile; say what it is for",
      env: { PORT: "5000" },
      restart: "on-failure",
      run: "exec sh -c 'bin/serve -p $PORT <''input>'",
    },
    "worker-1": expect.objectContaining({ env: { PORT: "5100" }, run: "bundle exec work" }),
    "web-2": expect.objectContaining({ env: { PORT: "5200" }, run: "again" }),
  });
  expect(places(imported)).toEqual(["3 worker.1", "5 this is not a process", "6 web", "7 release:"]);
});

describe("files that are not what they seem", () => {
  const refusal = (text: string) => {
    try {
      importTmuxp(text, "a.yaml");
      return null;
    } catch (error) {
      if (error instanceof BosunError) return error.body;
      throw error;
    }
  };

  test("broken YAML is refused with its place", () => {
    expect(refusal("session_name: a\nwindows: [\n  {b: \n")).toMatchObject({
      code: "PLAN_INVALID",
      at: { file: "a.yaml", line: expect.any(Number) },
    });
  });

  test("a huge file and one made of aliases are refused, not read", () => {
    expect(refusal(`a: ${"x".repeat(300_000)}`)?.code).toBe("TOO_LARGE");
    expect(refusal(`a: &a [1]\nb: [${"*a, ".repeat(200)}*a]`)?.code).toBe("TOO_LARGE");
  });

  test.each(["", "just text", "[]", "windows:", "windows: [3, [4], {}]", "- - -"])("%j still gives a plan", (text) => {
    for (const read of [importTmuxp, importTmuxinator]) {
      const imported = read(text, "odd.yaml");
      expect(Object.keys(parse(imported.yaml).sessions)).toEqual(["odd"]);
      expect(misplacedKeys(imported.yaml)).toEqual([]);
    }
  });

  test("whatever stands where, a plan comes out and nothing else happens", () => {
    const text = fc.oneof(
      fc.constantFrom(
        "",
        "vim",
        "session-0",
        "a.b:c",
        "$HOME/x",
        "./x",
        "~",
        "<town>",
        "it's",
        "tiled",
        "a\nb",
        "🍩",
        "__erb__",
        "__proto__",
        "constructor",
      ),
      fc.string({ maxLength: 12 }),
    );
    const key = fc.constantFrom(
      ...["session_name", "name", "root", "start_directory", "environment", "windows", "panes", "shell_command", "cmd"],
      ...["shell", "window_shell", "window_name", "layout", "pre", "pre_window", "enter", "title", "<<", "socket_name"],
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: "medium", withCrossShrink: true },
        fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null)),
        fc.array(tie("tree"), { maxLength: 4 }),
        fc.dictionary(fc.oneof({ weight: 6, arbitrary: key }, { weight: 1, arbitrary: text }), tie("tree"), {
          maxKeys: 6,
        }),
      ),
    }));
    const project = fc.record({ session_name: tree, windows: fc.array(tree, { maxLength: 4 }), environment: tree });
    fc.assert(
      fc.property(fc.oneof(project, tree), (file) => {
        // Between <% and %> tmuxinator has Ruby, whatever the YAML around it.
        fc.pre(!JSON.stringify(file).includes("<%"));
        for (const read of [importTmuxp, importTmuxinator]) {
          const imported = read(JSON.stringify(file), "odd.json");
          expect(misplacedKeys(imported.yaml)).toEqual([]);
          const plan = parse(imported.yaml);
          const [session] = Object.values<{ windows: { name: string; panes: { run: string }[] }[] }>(plan.sessions);
          expect(plan.tmux?.socket ?? "default").toMatch(/^\w[\w-]*$/);
          const names = session!.windows.map(({ name }) => name);
          expect(new Set(names).size).toBe(names.length);
          for (const { panes } of session!.windows) for (const { run } of panes) expect(run).not.toBe("");
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("text of the file cannot end a comment of the plan", () => {
    const imported = importTmuxp('"a\\nsessions: {evil: 1}": x\nsession_name: good\n', "a.yaml");
    expect(Object.keys(parse(imported.yaml).sessions)).toEqual(["good"]);
    expect(imported.dropped).toHaveLength(1);
  });
});

describe("a pane that is a shell after its command", () => {
  const socket = `bosun-test-import-${process.pid}`;
  const home = mkdtempSync(join(tmpdir(), "bosun-import-"));
  const tmux = (...args: string[]): string =>
    execFileSync("tmux", ["-L", socket, "-f", "/dev/null", ...args], {
      encoding: "utf8",
      env: { PATH: process.env.PATH, HOME: home, SHELL: "/bin/bash", TERM: "xterm" },
    });
  const screen = (): string => tmux("capture-pane", "-p", "-t", "=shell:");
  const until = async (seen: () => boolean): Promise<void> => {
    await expect.poll(seen, { timeout: 10_000, interval: 50 }).toBe(true);
  };
  beforeAll(() => {
    const run = thenShell(["cd /", "export KEPT='it is'", "echo here; sleep 1000", 'echo "after <that>"']);
    tmux("new-session", "-d", "-s", "shell", "-x", "100", "-y", "20", run);
  });
  afterAll(() => {
    tmux("kill-server");
    rmSync(home, { recursive: true, force: true });
  });

  test("Ctrl-C ends the command, and the shell that remains is where the commands left it", async () => {
    await until(() => screen().includes("here"));
    tmux("send-keys", "-t", "=shell:", "C-c");
    await until(() => screen().includes("after <that>"));
    tmux("send-keys", "-t", "=shell:", 'echo "[$PWD] [$KEPT]"', "Enter");
    await until(() => screen().includes("[/] [it is]"));
  });
});

const EXAMPLES: [string, typeof importTmuxp][] = [
  ["/usr/share/doc/tmuxp/examples", importTmuxp],
  ["/usr/share/doc/tmuxinator/examples", importTmuxinator],
];

describe.each(EXAMPLES.filter(([folder]) => existsSync(folder)))("what the package ships in %s", (folder, read) => {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.(ya?ml|json)$/.test(name),
  );
  test.each(files)("%s becomes a plan", (name) => {
    const imported = read(readFileSync(join(folder, name), "utf8"), basename(name));
    expect(misplacedKeys(imported.yaml)).toEqual([]);
  });
});
