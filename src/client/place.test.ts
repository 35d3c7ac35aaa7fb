import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bosunHome, ensureSocketFolder, socketPath } from "./home.ts";
import { findPlace, rememberedPlaceFile } from "./place.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bosun-place-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function plan(where: string, text: string): string {
  mkdirSync(join(folder, where), { recursive: true });
  writeFileSync(join(folder, where, "floorplan.yaml"), text);
  return join(folder, where);
}

test("state lives where BOSUN_HOME, XDG_STATE_HOME or HOME say, in this order; a relative XDG path counts as none", () => {
  expect([
    bosunHome({ BOSUN_HOME: "/b", XDG_STATE_HOME: "/x", HOME: "/h" }),
    bosunHome({ XDG_STATE_HOME: "/x", HOME: "/h" }),
    bosunHome({ XDG_STATE_HOME: "x", HOME: "/h" }),
  ]).toEqual(["/b", "/x/bosun", "/h/.local/state/bosun"]);
});

test("a home too deep for a Unix socket gets a short path of its own, different for each town and home", () => {
  const deep = `/home/${"deep/".repeat(30)}`;
  const paths = [socketPath(deep, "a", {}), socketPath(deep, "b", {}), socketPath(`${deep}x`, "a", {})];
  expect(new Set(paths).size).toBe(3);
  for (const path of paths) expect(path).toMatch(/^\/tmp\/bosun-\d+\/[0-9a-f]{16}\.sock$/);
  expect(socketPath(deep, "a", { XDG_RUNTIME_DIR: "/run/user/7" })).toMatch(/^\/run\/user\/7\/bosun-\d+\//);
  expect(socketPath("/h", "a", {})).toBe("/h/a/bosun.sock");
});

test("a socket folder is made for its owner alone, and one that others may enter is refused", () => {
  const made = join(folder, "run");
  ensureSocketFolder(made);
  expect(statSync(made).mode & 0o777).toBe(0o700);
  const open = join(folder, "open");
  mkdirSync(open, { mode: 0o755 });
  expect(() => ensureSocketFolder(open)).toThrow(/open to other users/);
});

test("from a folder below the floor plan, its town is meant", () => {
  const root = plan("moo", "version: 1\ntown: floor-one\n");
  mkdirSync(join(root, "src/deep"), { recursive: true });
  expect(findPlace({}, { BOSUN_HOME: "/b" }, join(root, "src/deep"))).toEqual({
    town: "floor-one",
    from: "plan",
    root,
    plan: join(root, "floorplan.yaml"),
    home: "/b",
    socket: "/b/floor-one/bosun.sock",
    given: false,
    tokenFile: null,
    tmuxSocket: null,
  });
});

test("a town that was started is found by name from any folder", () => {
  const home = join(folder, "home");
  mkdirSync(join(home, "gt12"), { recursive: true });
  writeFileSync(
    rememberedPlaceFile(home, "gt12"),
    JSON.stringify({ root: "/srv/gt12", plan: "/srv/gt12/floorplan.yaml" }),
  );
  const other = plan("gt11", "town: gt11\n");
  for (const cwd of ["/", other]) {
    expect(findPlace({ town: "gt12" }, { BOSUN_HOME: home }, cwd)).toMatchObject({
      town: "gt12",
      from: "flag",
      root: "/srv/gt12",
      plan: "/srv/gt12/floorplan.yaml",
    });
  }
});

test("inside a session its own coordinator is meant, unless a flag names another town", () => {
  const env = { BOSUN_HOME: "/b", BOSUN_SOCKET: "/run/mine.sock", BOSUN_TOKEN_FILE: "/t", BOSUN_TOWN: "mine" };
  const root = plan("moo", "town: other\n");
  expect(findPlace({}, env, root)).toMatchObject({
    socket: "/run/mine.sock",
    given: true,
    tokenFile: "/t",
    town: "mine",
  });
  // The credential of one town is never shown to another.
  expect(findPlace({ town: "other" }, env, root)).toMatchObject({
    socket: "/b/other/bosun.sock",
    given: false,
    tokenFile: null,
  });
});

test("where nothing names a town, none is guessed from the folder", () => {
  expect(() => findPlace({}, { BOSUN_HOME: "/b" }, folder)).toThrow(/no town is meant here/);
  expect(() => findPlace({ file: "missing.yaml" }, { BOSUN_HOME: "/b" }, folder)).toThrow(/no floor plan missing.yaml/);
});
