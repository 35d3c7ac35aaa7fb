import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ActivityTrack, fittingRules, judge, type Seen } from "./activity.ts";
import { linesOf } from "./lines.ts";
import { OutputBuffer } from "./output-buffer.ts";
import { profileFor, readProfiles } from "./profile.ts";
import { Recording } from "./recording.ts";
import { Screen } from "./screen.ts";

const PROFILES = readProfiles([resolve(import.meta.dirname, "../../../profiles")]);

describe("a screen", () => {
  test("is what a terminal would show: moves, colours, wide letters, the other buffer", async () => {
    const screen = new Screen(20, 5);
    await screen.feed("one\r\n\x1b[1;31mred\x1b[0m 日本\r\nabc\rX\x1b[5;3Hlow");
    expect(screen.text()).toEqual(["one", "red 日本", "Xbc", "", "  low"]);
    expect(screen.painted()[1]).toBe("\x1b[0;1;31mred\x1b[m 日本");
    expect(screen.cursor).toEqual({ x: 5, y: 4 });
    await screen.feed("\x1b[?1049h\x1b[2J\x1b[Hfull");
    expect([screen.fullScreen, screen.text()[0]]).toEqual([true, "full"]);
    await screen.feed("\x1b[?1049l");
    expect([screen.fullScreen, screen.text()[0]]).toEqual([false, "one"]);
    screen.resize(10, 3);
    expect([screen.columns, screen.rows]).toEqual([10, 3]);
    screen.close();
  });

  test("painted rows, painted again, give the same picture", async () => {
    const colours = ["\x1b[31m", "\x1b[1;44m", "\x1b[38;5;200m", "\x1b[48;2;1;2;3m", "\x1b[7m", "\x1b[0m", "\x1b[4;9m"];
    const piece = fc.oneof(fc.constantFrom(...colours), fc.string({ maxLength: 6 }), fc.constantFrom("日", "é", "  "));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(piece, { maxLength: 8 }), { maxLength: 6 }), async (rows) => {
        const first = new Screen(30, 8);
        await first.feed(rows.map((row) => row.join("").replace(/[\x00-\x1a\x7f]/g, "")).join("\x1b[0m\r\n"));
        const second = new Screen(30, 8);
        await second.feed(first.painted().join("\r\n"));
        expect(second.text()).toEqual(first.text());
        expect(second.painted()).toEqual(first.painted());
        first.close();
        second.close();
      }),
      { numRuns: 100 },
    );
  });

  test("bells, titles, notifications and prompt marks are heard", async () => {
    const screen = new Screen(20, 5);
    await screen.feed("\x07\x1b]2;a title\x07\x1b]9;look here\x07\x1b]777;notify;T;body\x07\x1b]133;A\x07");
    expect(screen.signals).toMatchObject({
      bells: 1,
      title: "a title",
      notices: ["look here", "T;body"],
      prompt: "prompt",
    });
    await screen.feed("\x1b]133;C\x07");
    expect(screen.signals.prompt).toBe("running");
    await screen.feed("\x1b]133;D;2\x07\x1b]9;4;1;50\x07");
    expect(screen.signals).toMatchObject({ prompt: "prompt", exit: 2, notices: ["look here", "T;body"] });
    screen.close();
  });
});

test("S3-45: a buffer holds the newest bytes and counts what it has forgotten", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 60 }),
      fc.nat(2_000),
      (pieces, from) => {
        const buffer = new OutputBuffer(100);
        for (const piece of pieces) buffer.add(Buffer.from(piece));
        const all = Buffer.concat(pieces);
        expect(buffer.end).toBe(all.length);
        expect(buffer.held + buffer.dropped).toBe(all.length);
        expect(buffer.held).toBeLessThanOrEqual(Math.max(100, pieces.at(-1)?.length ?? 0));
        const found = buffer.since(from);
        expect(found.bytes).toEqual(all.subarray(Math.max(from, buffer.dropped)));
      },
    ),
  );
});

test("lines are what was printed: no sequences, written over where a carriage return said so", () => {
  expect(linesOf(Buffer.from("\x1b[32mok\x1b[m\r\n10%\r 50%\r100%\r\n\x1b]0;title\x07last"))).toEqual([
    "ok",
    "100%",
    "last",
  ]);
  expect(linesOf(Buffer.from(""))).toEqual([]);
});

describe("a recording", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "bosun-cast-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test("is asciicast version 2, keeps letters that come in two pieces whole, and goes on in its file", () => {
    const one = new Recording(folder, "0.0-1", { columns: 80, rows: 24 }, "spx");
    const snow = Buffer.from("☃");
    one.add(Buffer.concat([Buffer.from("a"), snow.subarray(0, 1)]), 1_000_000);
    one.add(snow.subarray(1), 1_002_500);
    one.flush();
    const two = new Recording(folder, "0.0-1", { columns: 80, rows: 24 }, "spx");
    expect(two.before(1_000).map(String)).toEqual(["a", "☃"]);
    expect(two.before(3).map(String)).toEqual(["☃"]);
    two.add(Buffer.from("later"), 1_010_000);
    two.flush();
    const [header, ...lines] = readFileSync(one.file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(header).toEqual({ version: 2, width: 80, height: 24, timestamp: 1_000, title: "spx" });
    expect(lines).toEqual([
      [0, "o", "a"],
      [2.5, "o", "☃"],
      [10, "o", "later"],
    ]);
  });

  test("a line that a crash has cut is passed over", () => {
    const one = new Recording(folder, "0.0-1", { columns: 80, rows: 24 }, "spx");
    one.add(Buffer.from("whole"), 1_000_000);
    one.flush();
    writeFileSync(one.file, `${readFileSync(one.file, "utf8")}[3, "o", "cu`);
    expect(new Recording(folder, "0.0-1", { columns: 80, rows: 24 }, "spx").before(100).map(String)).toEqual(["whole"]);
  });

  test("a folder that cannot be written is told once, and nobody is stopped", () => {
    const file = join(folder, "no-folder");
    writeFileSync(file, "");
    const one = new Recording(file, "0.0-1", { columns: 80, rows: 24 }, "spx");
    expect(() => one.add(Buffer.from("x"), 1)).not.toThrow();
    expect(existsSync(join(file, "0.0-1.cast"))).toBe(false);
    expect(one.failed).toMatch(/ENOTDIR|EEXIST/);
    expect(readdirSync(folder)).toEqual(["no-folder"]);
  });
});

describe("what a screen says", () => {
  const seen = (text: string[], more: Partial<Seen> = {}): Seen => ({
    text,
    signals: { prompt: null },
    wroteAtMs: 0,
    exit: null,
    nowMs: 100_000,
    ...more,
  });
  const generic = [PROFILES.get("generic")!];

  test.each([
    ["Overwrite? [y/N] ", "waiting", "question"],
    ["[sudo] password for ann: ", "waiting", "login"],
    ["Enter passphrase for key '/k': ", "waiting", "login"],
    ["Continue (y/n)? ", "waiting", "question"],
    ["Press any key to continue . . .", "waiting", "question"],
    ["ann@host:~/x$ ", "idle", null],
    [">>> ", "idle", null],
    ["compiling 3 of 9", "unknown", null],
  ] as const)("%j is %s", (row, state, reason) => {
    expect(judge(generic, seen(["above", row.trimEnd() === row ? row : row.trimEnd(), "", ""]))).toMatchObject({
      state,
      reason,
    });
  });

  test("silence alone is no state; writing is work; an end is an end", () => {
    expect(judge(generic, seen(["x"])).state).toBe("unknown");
    expect(judge(generic, seen(["x"], { wroteAtMs: 99_000 }))).toMatchObject({ state: "working", source: "output" });
    expect(judge(generic, seen(["x"], { exit: "exit 7" }))).toMatchObject({
      state: "dead",
      evidence: "its process ended: exit 7",
    });
    expect(judge(generic, seen(["x"], { signals: { prompt: "prompt" } }))).toMatchObject({
      state: "idle",
      source: "osc",
    });
    expect(judge(generic, seen([]))).toMatchObject({ state: "unknown", rule: null });
  });

  test("a screen that says it works and has not moved for long is stalled, never idle", () => {
    const claude = [PROFILES.get("claude")!];
    const rows = ["✳ Pondering… (12s · esc to interrupt)"];
    expect(judge(claude, seen(rows, { wroteAtMs: 99_900 })).state).toBe("working");
    expect(judge(claude, seen(rows, { wroteAtMs: 1 })).state).toBe("stalled");
  });

  test("the first rule that fits decides, and explain shows all that do", () => {
    const rows = ["Do you want to proceed?", "❯ 1. Yes", "  2. No", "esc to interrupt"];
    expect(judge([PROFILES.get("claude")!], seen(rows))).toMatchObject({
      state: "waiting",
      reason: "permission",
      rule: "claude/permission",
      text: "Do you want to proceed?",
    });
    expect(fittingRules(PROFILES.get("claude")!, rows).map((rule) => rule.name)).toEqual([
      "claude/permission",
      "claude/working",
      "claude/prompt",
    ]);
  });

  test("profiles are found by wish, program and type", () => {
    const of = (wanted: { profile?: string; type?: string; run?: string }) =>
      profileFor(PROFILES, { profile: null, type: null, run: null, ...wanted }).profile;
    expect(of({ run: "FOO=1 exec /usr/local/bin/claude --resume" })).toBe("claude");
    expect(of({ type: "Codex", run: "./start.sh" })).toBe("codex");
    expect(of({ profile: "gemini", run: "claude" })).toBe("gemini");
    expect(of({ run: "vim" })).toBe("generic");
  });
});

test("O3-06, O3-08: idle needs two looks; work that ended unseen is news until somebody looks; every change has its moment", () => {
  const judged = (state: "working" | "idle" | "waiting" | "dead") => ({
    state,
    reason: state === "waiting" ? ("permission" as const) : null,
    rule: null,
    evidence: state,
    source: "screen",
    text: null,
  });
  const track = new ActivityTrack(0);
  expect(track.look(judged("working"), 1_000, false)).toBe(true);
  expect(track.look(judged("idle"), 2_000, false)).toBe(false);
  expect([track.activity.state, track.doubtful]).toEqual(["working", true]);
  expect(track.look(judged("idle"), 2_400, false)).toBe(true);
  expect(track.activity).toMatchObject({ state: "done-unseen", sinceMs: 2_400 });
  expect(track.look(judged("idle"), 9_000, false)).toBe(false);
  expect(track.seen()).toBe(true);
  expect(track.activity).toMatchObject({ state: "idle", sinceMs: 2_400 });
  expect(track.look(judged("waiting"), 10_000, false)).toBe(true);
  expect(track.look(judged("idle"), 11_000, true)).toBe(false);
  expect(track.look(judged("idle"), 12_000, true)).toBe(true);
  expect(track.activity.state).toBe("idle");
  // One flicker of a prompt between two lines of work is no idle.
  track.look(judged("working"), 13_000, true);
  track.look(judged("idle"), 13_100, true);
  track.look(judged("working"), 13_200, true);
  expect(track.look(judged("idle"), 13_350, true)).toBe(false);
  expect(track.activity.state).toBe("working");
});

test("a profile that is wrong is refused with its file and fault", () => {
  const folder = mkdtempSync(join(tmpdir(), "bosun-profiles-"));
  const wrong = (text: string): string => {
    writeFileSync(join(folder, "bad.yaml"), text);
    try {
      readProfiles([folder]);
      return "accepted";
    } catch (error) {
      return (error as Error).message;
    }
  };
  const rule = (text: string): string => `profile: p\nprograms: []\ntypes: []\nrules:\n  - { name: r, ${text} }\n`;
  expect(wrong(rule("state: working, match: ['(']"))).toMatch(/bad\.yaml[\s\S]*Unterminated group/);
  expect(wrong(rule("state: working"))).toContain("a rule needs match or last");
  expect(wrong(rule("state: waiting, match: [x]"))).toContain("waiting, and nothing else, has a reason");
  expect(wrong(rule("state: working, match: [x]"))).toBe("accepted");
  rmSync(folder, { recursive: true });
});
