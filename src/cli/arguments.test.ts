import { describe, expect, test } from "vitest";
import { BosunError } from "../protocol/error.ts";
import { nearest } from "../protocol/nearest.ts";
import { parseArguments } from "./arguments.ts";
import { COMMANDS } from "./run.ts";

function parsed(line: string): { name: string | undefined; args: string[]; flags: object } {
  const { command, args, flags } = parseArguments(line.split(" "), COMMANDS);
  return { name: command?.name, args, flags };
}

function refusal(line: string): string[] {
  try {
    parsed(line);
  } catch (error) {
    if (error instanceof BosunError) return [error.code, error.body.what, error.body.why ?? ""];
    throw error;
  }
  throw new Error(`not refused: ${line}`);
}

describe("reading a command line", () => {
  test("flags stand before the command, behind it and between arguments", () => {
    expect(parsed("--json say spx --tag gamma flips --tag=spx at 5840")).toEqual({
      name: "say",
      args: ["spx", "flips", "at", "5840"],
      flags: { json: true, tag: ["gamma", "spx"] },
    });
  });

  test("-f names the floor plan, except behind a command that follows", () => {
    expect([parsed("-f a.yaml up").flags, parsed("up -f a.yaml").flags, parsed("up -fa.yaml").flags]).toEqual([
      { file: "a.yaml" },
      { file: "a.yaml" },
      { file: "a.yaml" },
    ]);
    expect(parsed("-f a.yaml feed spx -f")).toEqual({
      name: "feed",
      args: ["spx"],
      flags: { file: "a.yaml", follow: true },
    });
  });

  test("--json takes fields only behind an equals sign, so that it never swallows a name", () => {
    expect(parsed("status --json agents-spx")).toMatchObject({ args: ["agents-spx"], flags: { json: true } });
    expect(parsed("status --json=name,state").flags).toEqual({ json: "name,state" });
  });

  test("letters combine, and the last of them may take a value", () => {
    expect(parsed("feed spx -fn5").flags).toEqual({ follow: true, last: "5" });
    expect(parsed("-qy up").flags).toEqual({ quiet: true, yes: true });
  });

  test("a dash, a negative number and everything behind -- are arguments", () => {
    expect(parsed("say spx -").args).toEqual(["spx", "-"]);
    expect(parsed("say spx moved -5 points").args).toEqual(["spx", "moved", "-5", "points"]);
    expect(parsed("say spx -- -x --json").args).toEqual(["spx", "-x", "--json"]);
  });

  test("commands of two words and aliases are found", () => {
    expect(["plan show", "view ls", "audit tail", "memory-set", "ps"].map((line) => parsed(line).name)).toEqual([
      "plan show",
      "view ls",
      "events",
      "memory set",
      "ls",
    ]);
  });

  test("a mistyped command or flag is a usage error that names the nearest one", () => {
    expect(refusal("statsu")).toEqual(["USAGE", "there is no command statsu", "did you mean status?"]);
    expect(refusal("feed spx --folow")).toEqual(["USAGE", "feed has no flag --folow", "did you mean --follow?"]);
    expect(refusal("up --qqqqqqqqq")).toEqual(["USAGE", "up has no flag --qqqqqqqqq", ""]);
    expect(refusal("view opn")).toEqual(["USAGE", "there is no command view opn", "one of open, ls"]);
    expect(refusal("zzzzzz")).toEqual(["USAGE", "there is no command zzzzzz", ""]);
  });

  test("a value where none belongs, and none where one does, are refused", () => {
    expect(refusal("feed spx --follow=yes")[1]).toBe("--follow takes no value");
    expect(refusal("feed spx --last")[1]).toBe("--last needs a value: --last N");
  });
});

test("a guess is at most two slips away, swapped letters count once, and short words are not guessed at", () => {
  const words = ["status", "say", "send", "up", "down", "events"];
  expect(["staus", "snd", "dwon", "event", "ev", "xyzzy", "q"].map((word) => nearest(word, words))).toEqual([
    "status",
    "send",
    "down",
    "events",
    "events",
    null,
    null,
  ]);
});
