import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const VOYAGE = resolve(import.meta.dirname, "../../examples/ship/voyage.sh");
const folder = mkdtempSync(join(tmpdir(), "bosun-ship-"));
let said = "";

beforeAll(async () => {
  said = await new Promise<string>((done, failed) => {
    execFile("/bin/sh", [VOYAGE, folder], { timeout: 180_000, maxBuffer: 16 * 1_048_576 }, (error, stdout, stderr) =>
      error ? failed(new Error(`${error.message}\n${stdout}\n${stderr}`)) : done(stdout),
    );
  });
}, 200_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const text = (name: string): string => readFileSync(join(folder, name), "utf8");
const part = (title: string): string => said.split("\n== ").find((each) => each.startsWith(title)) ?? "";

test("S2-01, S2-02, S2-14: the ship's plan applies as written; each session says what it is for and how it relates", () => {
  expect(part("The floor plan")).toContain("town ship: 2 as declared, 0 failed");
  expect(part("The floor plan")).toContain("clod_bridge/ceiling_watch  ─watches→  sisters");
  expect(said.trimEnd().endsWith("The voyage is over.")).toBe(true);
});

test("S2-63, S2-67, S2-70: three chapters in a row hand over, with HANDSHAKE.md read and written", () => {
  expect(part("Three chapters")).toMatch(/✓ unbroken: 3 versions, [34] chapters/);
  for (const number of [2, 3]) {
    const opening = text(`opening-${number}.md`);
    expect(opening).toContain(`## The handshake (of #${number - 1}`);
    expect(opening).toContain(`Plank ${number - 1} is in its place.`);
  }
  const entries = text("SESSIONS.md").match(/^## .*$/gm)!;
  expect(entries.slice(0, 3).map((line) => line.replace(/^## \S+ /, ""))).toEqual([
    "[C.L.O.D.] sisters#1 Plank 1 of the hull",
    "[C.L.O.D.] sisters#2 Plank 2 of the hull",
    "[C.L.O.D.] sisters#3 Plank 3 of the hull",
  ]);
  expect(text("TODOX.md")).toContain("| tar the seams | open | sisters |");
});

test("S2-77: a chapter that was killed is burned, and the next one knows", () => {
  expect(part("The fourth burns")).toContain("killed, burned");
  expect(text("opening-5.md")).toMatch(/## Recovery: sisters #4 burned[\s\S]*We were about to say something important/);
});

test("S2-17, S2-19, S2-20, S2-23: the bridge's four windows do their work", () => {
  expect(JSON.parse(text("CREW_CHANNEL.receipts").split("\n")[0]!)).toMatchObject({ from: "ASTRA", text: "I am here" });
  expect(text("sisters_screen_now.txt")).toContain("The Sisters wake");
  const lines = text("sisters_screen.log").split("\n");
  for (const number of [1, 2, 3])
    expect(lines.filter((line) => line === `Plank ${number} is in its place.`)).toHaveLength(1);
});

test("S2-27, S2-46, S2-89: ASTRA is identified, adopted as it runs, and written down with how it was found", () => {
  expect(part("A ghost")).toMatch(
    /what is it[\s\S]*what does it do[\s\S]*what it touches[\s\S]*who made it[\s\S]*what breaks/,
  );
  expect(part("A ghost")).toMatch(/the same process goes on: \d+/);
  expect(text("floorplan.yaml")).toMatch(/astra_sovereign:[\s\S]*about: Self-reflection[\s\S]*rescued: /);
});

test("S2-15, S2-78: what is killed comes back, one by one and all together; nothing of it is left at the end", () => {
  const states = part("The watchdog").match(/● running/g);
  expect(states).toHaveLength(3);
  expect(existsSync(join(folder, "state/ship/coordinator.log"))).toBe(true);
  expect(readdirSync(join(folder, "state/ship")).includes("bosun.sock")).toBe(false);
});
