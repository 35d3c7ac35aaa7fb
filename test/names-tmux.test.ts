import { execFileSync } from "node:child_process";
import { afterAll, expect, test } from "vitest";
import { tmuxRewrites } from "../src/protocol/names.ts";

const SOCKET = `bosun-test-names-${process.pid}`;

function tmux(...args: string[]): string {
  return execFileSync("tmux", ["-u", "-L", SOCKET, "-f", "/dev/null", ...args], { encoding: "utf8" });
}

afterAll(() => {
  tmux("kill-server");
});

test("S1-64: what we say tmux makes of a name is what tmux makes of it", () => {
  const names = [
    "gt.12",
    "a:b",
    "a\\b",
    "a$x",
    "a$1",
    "a${b",
    "a\tb",
    "a\nb",
    "a\x1bb",
    "a\x01b",
    "a\x7fb",
    "café",
    "a b",
  ];
  const stored = names.map((name) =>
    tmux("new-session", "-d", "-P", "-F", "#{session_name}", "-s", name, "cat").trimEnd(),
  );
  expect(stored).toEqual(names.map(tmuxRewrites));
});
