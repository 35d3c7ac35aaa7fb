import { hash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, expect, test } from "vitest";
import { describeLog } from "./conformance.ts";
import { openSqliteLog, type SqliteLog } from "./sqlite.ts";

const root = mkdtempSync(join(tmpdir(), "bosun-sqlite-"));
afterAll(() => rmSync(root, { recursive: true }));

let count = 0;
function freshFile(): string {
  count += 1;
  return join(root, `log-${count}.sqlite`);
}

describeLog(
  "SQLite",
  async () => openSqliteLog(freshFile()),
  async (log) => {
    const file = (log as SqliteLog).db.location()!;
    log.close();
    return openSqliteLog(file);
  },
);
describeLog("SQLite in memory", async () => openSqliteLog(":memory:"));

test("a log has one writer: the second is told at once, and gets it when the first is gone", () => {
  const file = freshFile();
  const first = openSqliteLog(file);
  expect(() => openSqliteLog(file)).toThrow(expect.objectContaining({ code: "CONFLICT" }));
  first.close();
  openSqliteLog(file).close();
});

test("a log of a newer bosun is refused and stays as it is", () => {
  const file = freshFile();
  openSqliteLog(file).close();
  const db = new DatabaseSync(file);
  db.exec("PRAGMA user_version=2");
  db.close();
  const before = hash("sha256", readFileSync(file));
  expect(() => openSqliteLog(file)).toThrow(expect.objectContaining({ code: "REFUSED" }));
  expect(hash("sha256", readFileSync(file))).toBe(before);
});

test("a file that is no database any more is refused with what to do, and stays as it is", () => {
  const file = freshFile();
  openSqliteLog(file).close();
  const bytes = readFileSync(file);
  bytes[3]! ^= 1;
  writeFileSync(file, bytes);
  expect(() => openSqliteLog(file)).toThrow(
    expect.objectContaining({
      body: expect.objectContaining({ code: "LOG_DAMAGED", fix: expect.stringContaining("backup") }),
    }),
  );
  expect(readFileSync(file)).toEqual(bytes);
});

test("other users of the machine cannot read a town's log", async () => {
  const { statSync } = await import("node:fs");
  const file = freshFile();
  const log = openSqliteLog(file);
  expect([file, `${file}-wal`].map((name) => statSync(name).mode & 0o077)).toEqual([0, 0]);
  log.close();
});
