import { expect, test } from "vitest";
import { discoverTown, peekTown } from "./town.ts";

const everything = {
  flag: "byflag",
  env: { GT_TOWN_NAME: "byname", BOSUN_TOWN: "bybosun", GT_ROOT: "/srv/byroot/" },
  planTown: "byplan",
  root: "/home/me/byfolder",
};

test("S1-60: each source of a town's name gives way to the ones before it, and the answer says which it was", () => {
  const env = everything.env;
  const rows = [
    everything,
    { ...everything, flag: null },
    { ...everything, flag: null, env: { ...env, GT_TOWN_NAME: "" } },
    { ...everything, flag: null, env: { GT_ROOT: env.GT_ROOT } },
    { ...everything, flag: null, env: { GT_ROOT: env.GT_ROOT }, planTown: null },
    { ...everything, flag: null, env: {}, planTown: null },
  ];
  expect(rows.map((row) => discoverTown(row))).toEqual([
    { town: "byflag", from: "flag" },
    { town: "byname", from: "environment" },
    { town: "bybosun", from: "environment" },
    { town: "byplan", from: "plan" },
    { town: "byroot", from: "GT_ROOT" },
    { town: "byfolder", from: "folder" },
  ]);
});

test("a town whose name cannot be one is refused, and the refusal says where the name came from", () => {
  const nothing = { flag: null, env: {}, planTown: null, root: "/home/me/my town" };
  expect(() => discoverTown(nothing)).toThrow(/"my town" cannot be a town's name: it comes from folder/);
  expect(() => discoverTown({ ...nothing, env: { GT_TOWN_NAME: "-x" } })).toThrow(/it comes from environment/);
  expect(() => discoverTown({ ...nothing, root: "/" })).toThrow(/cannot be a town's name/);
});

test.each([
  ["version: 1\ntown: moo\n", "moo"],
  ["town: moo # the floor\n", "moo"],
  ['\ufefftown: "my-town"\r\nversion: 1\r\n', "my-town"],
  ["'town': 'gt11'\n", "gt11"],
  ["town: a#b\n", "a#b"],
  ["# town: other\nabout:\n  town: inner\n", null],
  ["# town: <town>\ntown: <town>\n", null],
  ["town:\n", null],
  ["town: # later\n", null],
  ["townhall: moo\n", null],
  ["version: 1\n", null],
])("the town is seen in a plan without reading all of it: %j", (text, town) => {
  expect(peekTown(text)).toBe(town);
});

test("a line made to be slow is looked through at once", () => {
  expect(peekTown(`town: ${" x".repeat(60_000)}"${" ".repeat(100_000)}y#`)?.length).toBeGreaterThan(100_000);
});
