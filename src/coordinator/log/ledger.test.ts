import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { BosunError } from "../../protocol/error.ts";
import type { Event } from "../../protocol/event.ts";
import { messagesProjection } from "../messages/projection.ts";
import { sessionsProjection } from "../sessions/projection.ts";
import { type Ledger, openLedger, verifyFolder } from "./ledger.ts";
import { defineProjection } from "./projection.ts";

const root = mkdtempSync(join(tmpdir(), "bosun-ledger-"));
afterAll(() => rmSync(root, { recursive: true }));

const freshFolder = (): string => mkdtempSync(join(root, "town-"));
const open = (folder: string): Ledger =>
  openLedger({ folder, projections: [sessionsProjection, messagesProjection], now: () => 1_000 });

const ghost = (name: string): Event => ({ type: "session.unknown", data: { name, tmuxId: "$1", evidence: "listed" } });
const wanted = (session: string): Event => ({
  type: "session.wanted",
  data: { session, name: session, wanted: "running", because: "up" },
});
const write = (ledger: Ledger, ...events: Event[]) =>
  ledger.write({ actor: "person:ann", decide: () => ({ events, result: null }) });

/** A closed town of `count` entries. */
async function townOf(count: number): Promise<string> {
  const folder = freshFolder();
  const ledger = open(folder);
  await Promise.all(Array.from({ length: count }, (_, index) => write(ledger, wanted(`s${index}`))));
  await ledger.close();
  return folder;
}

/** Changes the store behind the ledger's back. */
function tamper(folder: string, change: (db: DatabaseSync) => void): void {
  const db = new DatabaseSync(join(folder, "log.sqlite"));
  change(db);
  db.close();
}

test("a command sees what the ones before it in the same moment did, and a refused one takes nothing with it", async () => {
  const ledger = open(freshFolder());
  const seen: unknown[] = [];
  const refusal = new BosunError({ code: "CONFLICT", what: "taken" });
  const claim = (session: string, thenRefuse: boolean) =>
    ledger.write({
      actor: "person:ann",
      decide: (views) => {
        seen.push(
          views
            .prepare("SELECT id FROM sessions ORDER BY id")
            .all()
            .map((row) => row.id),
        );
        if (thenRefuse) throw refusal;
        return { events: [wanted(session), ghost(session)], result: session };
      },
    });
  const outcomes = await Promise.allSettled([claim("a", false), claim("b", true), claim("c", false)]);
  expect(outcomes).toEqual([
    { status: "fulfilled", value: { result: "a", position: 2, duplicate: false } },
    { status: "rejected", reason: refusal },
    { status: "fulfilled", value: { result: "c", position: 4, duplicate: false } },
  ]);
  expect(seen).toEqual([[], ["a"], ["a"]]);
  expect(ledger.read(0, 10).map(({ event }) => event)).toEqual([wanted("a"), ghost("a"), wanted("c"), ghost("c")]);
  await ledger.close();
});

test("a command whose second fact cannot be shown leaves no trace of the first", async () => {
  const ledger = open(freshFolder());
  const issued: Event = {
    type: "credential.issued",
    data: { hash: "h", actor: "agent:a", role: "agent", session: null, epoch: 0 },
  };
  await expect(write(ledger, wanted("a"), issued, issued)).rejects.toThrow();
  await write(ledger, ghost("x"));
  expect(ledger.read(0, 10).map(({ event }) => event)).toEqual([ghost("x")]);
  expect(ledger.rebuild()).toEqual({ entries: 1, equal: true, differing: [] });
  await ledger.close();
});

test("whatever is sent, repeated, refused and restarted, each key counts once and each command is whole", async () => {
  const command = fc.record({
    actor: fc.constantFrom("agent:a", "agent:b"),
    key: fc.option(fc.constantFrom("k1", "k2", "k3"), { nil: undefined }),
    events: fc.integer({ min: 0, max: 3 }),
    refuse: fc.boolean(),
  });
  const turn = fc.oneof({ weight: 4, arbitrary: fc.array(command, { maxLength: 5 }) }, fc.constant("restart" as const));
  await fc.assert(
    fc.asyncProperty(fc.array(turn, { maxLength: 8 }), async (turns) => {
      const folder = freshFolder();
      let ledger = open(folder);
      const facts: string[] = [];
      const answered = new Map<string, { result: unknown; position: number }>();
      let id = 0;
      for (const commands of turns) {
        if (commands === "restart") {
          await ledger.close();
          ledger = open(folder);
          continue;
        }
        const expected: unknown[] = [];
        const outcomes = commands.map(async ({ actor, key, events, refuse }) => {
          const result = { id: ++id };
          const names = Array.from({ length: events }, (_, index) => `${id}.${index}`);
          const slot = `${actor} ${key}`;
          const first = key === undefined ? undefined : answered.get(slot);
          if (first) expected.push({ ...first, duplicate: true });
          else if (refuse) expected.push("refused");
          else {
            facts.push(...names);
            const written = { result, position: facts.length };
            if (key !== undefined && events > 0) answered.set(slot, written);
            expected.push({ ...written, duplicate: false });
          }
          const decide = () => {
            if (refuse) throw new Error("refused");
            return { events: names.map(ghost), result };
          };
          return ledger.write(key === undefined ? { actor, decide } : { actor, key, decide }).catch(() => "refused");
        });
        expect(await Promise.all(outcomes)).toEqual(expected);
      }
      const found = ledger.read(0, 1000).map(({ event }) => (event.data as { name: string }).name);
      const verdict = ledger.verify();
      await ledger.close();
      rmSync(folder, { recursive: true });
      expect([found, verdict.ok, verdict.entries]).toEqual([facts, true, facts.length]);
    }),
    { numRuns: 60 },
  );
}, 60_000);

test("S4-85: of 100 random changes to the log, each is found and its first bad entry named", async () => {
  const ENTRIES = 60;
  const intact = await townOf(ENTRIES);
  const older = freshFolder();
  const place = fc.integer({ min: 1, max: ENTRIES });
  const columns = ["at_ms", "actor", "type", "data", "hash"] as const;
  const mutation = fc.oneof(
    fc.record({ kind: fc.constant("byte" as const), at: place, column: fc.constantFrom(...columns), seed: fc.nat() }),
    fc.record({ kind: fc.constant("move" as const), at: place, to: fc.integer({ min: ENTRIES + 1, max: 9999 }) }),
    fc.record({ kind: fc.constant("cut" as const), at: place }),
    fc.record({ kind: fc.constant("swap" as const), at: place, with: place }).filter((swap) => swap.at < swap.with),
    fc.record({ kind: fc.constant("restore" as const), at: place }),
  );
  let tried = 0;
  fc.assert(
    fc.property(mutation, (change) => {
      tried += 1;
      rmSync(older, { recursive: true, force: true });
      cpSync(intact, older, { recursive: true });
      tamper(older, (db) => {
        if (change.kind === "byte") {
          const { value } = db.prepare(`SELECT ${change.column} AS value FROM log WHERE position = ?`).get(change.at)!;
          const bytes = Buffer.from(String(value));
          const index = change.seed % bytes.length;
          // Another digit where a number stands, another bit elsewhere.
          bytes[index] = change.column === "at_ms" ? 48 + ((bytes[index]! - 48 + 1) % 10) : bytes[index]! ^ 1;
          const changed = change.column === "at_ms" ? Number(bytes.toString()) : bytes.toString();
          db.prepare(`UPDATE log SET ${change.column} = ? WHERE position = ?`).run(changed, change.at);
        }
        if (change.kind === "move")
          db.prepare("UPDATE log SET position = ? WHERE position = ?").run(change.to, change.at);
        if (change.kind === "cut") db.prepare("DELETE FROM log WHERE position >= ?").run(change.at);
        if (change.kind === "swap") {
          const to = db.prepare("UPDATE log SET position = ? WHERE position = ?");
          to.run(0, change.at);
          to.run(change.at, change.with);
          to.run(change.with, 0);
        }
        if (change.kind === "restore") {
          // An older copy is sound in itself: log, views and all.
          db.prepare("DELETE FROM log WHERE position >= ?").run(change.at);
          db.prepare("DELETE FROM sessions WHERE CAST(substr(id, 2) AS INTEGER) >= ?").run(change.at - 1);
          db.prepare("UPDATE ledger SET applied = ?").run(change.at - 1);
        }
      });
      expect(verifyFolder(older)).toMatchObject({ ok: false, firstBad: change.at, entries: change.at - 1 });
    }),
    { numRuns: 100 },
  );
  expect([tried, verifyFolder(intact)]).toEqual([100, expect.objectContaining({ ok: true, entries: ENTRIES })]);
});

test("an older copy of the log put back is still found after more was written to it", async () => {
  const folder = await townOf(20);
  tamper(folder, (db) => db.exec("DELETE FROM log WHERE position > 15; UPDATE ledger SET applied = 15"));
  const ledger = open(folder);
  expect(ledger.verify()).toMatchObject({
    ok: false,
    firstBad: 16,
    why: expect.stringContaining("last 5 entries are gone"),
  });
  await Promise.all(Array.from({ length: 10 }, (_, index) => write(ledger, ghost(`g${index}`))));
  await ledger.close();
  expect(verifyFolder(folder)).toMatchObject({ ok: false, firstBad: 16, why: expect.stringContaining("was changed") });
  // A person has seen it and takes the log as it is: what was noted is put aside.
  for (const name of ["head.json", "leaves.bin", "checkpoints.txt"])
    renameSync(join(folder, name), join(folder, `${name}.seen`));
  await open(folder).close();
  expect(verifyFolder(folder)).toMatchObject({ ok: true, entries: 25 });
});

test("a high-water mark that cannot be read is reported, not replaced", async () => {
  const folder = await townOf(3);
  writeFileSync(join(folder, "head.json"), "");
  const ledger = open(folder);
  await write(ledger, ghost("x"));
  expect(ledger.verify()).toMatchObject({ ok: false, entries: 4, why: expect.stringContaining("mark cannot be read") });
  await ledger.close();
  expect(readFileSync(join(folder, "head.json"), "utf8")).toBe("");
});

test("a view that somebody changed is named by a rebuild and right again after it", async () => {
  const folder = await townOf(5);
  tamper(folder, (db) => db.exec("UPDATE sessions SET restarts = 7 WHERE id = 's3'"));
  const ledger = open(folder);
  expect(ledger.rebuild()).toEqual({ entries: 5, equal: false, differing: ["sessions: row 4"] });
  expect(ledger.rebuild()).toEqual({ entries: 5, equal: true, differing: [] });
  await ledger.close();
});

test("deleted views come back from the log, and a view added later shows the past too", async () => {
  const folder = await townOf(2500);
  tamper(folder, (db) => db.exec("DROP TABLE sessions; DROP TABLE ledger"));
  const names = defineProjection({
    name: "names",
    revision: 1,
    tables: ["names"],
    create: "CREATE TABLE names(name TEXT PRIMARY KEY) STRICT",
    on: { "session.wanted": (db, { name }) => db.prepare("INSERT INTO names VALUES (?)").run(name) },
  });
  const ledger = openLedger({ folder, projections: [sessionsProjection, messagesProjection, names] });
  const count = (table: string) => ledger.views.prepare(`SELECT COUNT(*) AS n FROM ${table}`).get()!.n;
  expect([count("sessions"), count("names"), ledger.rebuild()]).toEqual([
    2500,
    2500,
    { entries: 2500, equal: true, differing: [] },
  ]);
  await ledger.close();
});

test("an event of an unknown kind stops the ledger and is named, never skipped", async () => {
  const folder = await townOf(3);
  tamper(folder, (db) => db.exec("UPDATE log SET type = 'session.teleported' WHERE position = 2; DROP TABLE ledger"));
  expect(() => open(folder)).toThrow(
    expect.objectContaining({ code: "LOG_DAMAGED", message: expect.stringMatching(/entry 2 .*"session\.teleported"/) }),
  );
  const ledger = open(freshFolder());
  await expect(write(ledger, { type: "session.teleported", data: {} } as unknown as Event)).rejects.toMatchObject({
    code: "LOG_DAMAGED",
  });
  expect(ledger.head().position).toBe(0);
  await ledger.close();
});

test("a full disk is said to every writer in the moment, and they go on when there is room", async () => {
  const ledger = open(freshFolder());
  await write(ledger, ghost("before"));
  const before = ledger.head();
  const { page_count: pages } = ledger.views.prepare("PRAGMA page_count").get() as { page_count: number };
  ledger.views.exec(`PRAGMA max_page_count=${pages}`);
  const outcomes = await Promise.allSettled([write(ledger, ghost("small")), write(ledger, ghost("x".repeat(50_000)))]);
  expect(outcomes).toEqual(
    [1, 2].map(() => ({ status: "rejected", reason: expect.objectContaining({ code: "DISK_FULL" }) })),
  );
  expect([ledger.head(), ledger.views.prepare("SELECT COUNT(*) AS n FROM log").get()!.n]).toEqual([before, 1]);
  ledger.views.exec(`PRAGMA max_page_count=${pages + 1000}`);
  await write(ledger, ghost("x".repeat(50_000)));
  expect(ledger.verify()).toMatchObject({ ok: true, entries: 2 });
  await ledger.close();
});

test("nobody is told OK once the log's file is deleted under the coordinator", async () => {
  const folder = await townOf(1);
  const ledger = open(folder);
  unlinkSync(join(folder, "log.sqlite"));
  for (const name of ["first", "second"]) {
    await expect(write(ledger, ghost(name))).rejects.toMatchObject({
      body: { code: "LOG_DAMAGED", why: expect.stringContaining("deleted"), fix: expect.any(String) },
    });
  }
  await ledger.close();
});

test("what waits when the coordinator stops is still answered; what comes later is refused", async () => {
  const folder = freshFolder();
  const ledger = open(folder);
  const waiting = write(ledger, ghost("a"));
  const closing = ledger.close();
  await expect(write(ledger, ghost("b"))).rejects.toMatchObject({ code: "UNREACHABLE" });
  await closing;
  expect((await waiting).position).toBe(1);
  expect(verifyFolder(folder)).toMatchObject({ ok: true, entries: 1 });
  expect(JSON.parse(readFileSync(join(folder, "head.json"), "utf8")).position).toBe(1);
});
