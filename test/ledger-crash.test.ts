import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type Ledger, openLedger } from "../src/coordinator/log/ledger.ts";
import { messagesProjection } from "../src/coordinator/messages/projection.ts";
import { sessionsProjection } from "../src/coordinator/sessions/projection.ts";

const root = mkdtempSync(join(tmpdir(), "bosun-crash-"));
afterAll(() => rmSync(root, { recursive: true }));

const WRITER = join(import.meta.dirname, "ledger-writer.ts");
const open = (folder: string): Ledger => openLedger({ folder, projections: [sessionsProjection, messagesProjection] });

interface Ack {
  position: number;
  id: string;
}

/** The answers a process gave; a last line without its end was never given. */
function answersIn(output: string): { acks: Ack[]; errors: string[] } {
  const lines = output.split("\n").slice(0, -1);
  const words = lines.map((line) => line.split(" "));
  return {
    acks: words.filter(([kind]) => kind === "ack").map(([, position, id]) => ({ position: Number(position), id: id! })),
    errors: words.filter(([kind]) => kind === "err").map(([, code]) => code!),
  };
}

/** Starts a writer, kills it at a random moment after its first answer, and gives what it had answered. */
async function killWriter(folder: string, run: string): Promise<Ack[]> {
  const child = spawn(process.execPath, [WRITER, folder, run], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    if (output === "") setTimeout(() => child.kill("SIGKILL"), Math.random() * 25);
    output += text;
  });
  const signal = await new Promise((resolve) => child.on("close", (_, how) => resolve(how)));
  expect(signal).toBe("SIGKILL");
  return answersIn(output).acks;
}

/** Acked facts that are not where they were said to be, and messages that are there without their second half. */
function lostOrTorn(ledger: Ledger, acks: Ack[]): unknown {
  const lost = acks.filter(({ position, id }) => {
    const [sent, presented] = ledger.read(position - 2, 2).map((entry) => entry.event);
    return !(sent?.type === "message.sent" && sent.data.id === id && presented?.type === "delivery.presented");
  });
  const torn = ledger.views
    .prepare("SELECT COUNT(*) AS count FROM messages LEFT JOIN deliveries USING (position) WHERE state IS NOT 2")
    .get()!.count;
  return { lost, torn };
}

test("O4-12: kill -9 the writer 200 times mid-write: the log always opens, no answered write is lost, none is half there", {
  // Two hundred processes on a machine with other work: two minutes alone.
  timeout: 400_000,
}, async () => {
  // Tried again, it begins anew.
  const run = mkdtempSync(join(root, "run-"));
  const LANES = 4;
  const KILLS_PER_LANE = 50;
  let answered = 0;
  const lane = async (number: number): Promise<void> => {
    const folder = join(run, `lane-${number}`);
    const acks: Ack[] = [];
    for (let kill = 0; kill < KILLS_PER_LANE; kill++) {
      const fresh = await killWriter(folder, `${number}-${kill}`);
      acks.push(...fresh);
      const ledger = open(folder);
      expect(lostOrTorn(ledger, fresh)).toEqual({ lost: [], torn: 0 });
      expect(ledger.verify()).toMatchObject({ ok: true, entries: ledger.head().position });
      const { id, position } = fresh.at(-1)!;
      const again = { actor: "agent:writer", key: id, decide: () => ({ events: [], result: "counted twice" }) };
      expect(await ledger.write(again)).toEqual({ result: id, position, duplicate: true });
      await ledger.close();
    }
    const ledger = open(folder);
    expect(lostOrTorn(ledger, acks)).toEqual({ lost: [], torn: 0 });
    expect(ledger.rebuild()).toMatchObject({ equal: true, differing: [] });
    await ledger.close();
    answered += acks.length;
  };
  await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
  expect(answered).toBeGreaterThan(LANES * KILLS_PER_LANE);
});

/** strace may be missing, or tracing forbidden in a container. */
const canTrace = spawnSync("strace", ["-o", "/dev/null", "true"]).status === 0;

test.skipIf(!canTrace)(
  `a failing fsync is never answered with OK, and writing goes on afterwards${canTrace ? "" : " (needs strace)"}`,
  async () => {
    const folder = join(root, "eio");
    const inject = "inject=fdatasync,fsync:error=EIO:when=14+7";
    const { stdout } = spawnSync(
      "strace",
      [
        "-f",
        "-o",
        join(root, "strace"),
        "-e",
        inject,
        "-e",
        "trace=fsync,fdatasync",
        process.execPath,
        WRITER,
        folder,
        "eio",
        "60",
      ],
      { encoding: "utf8" },
    );
    const { acks, errors } = answersIn(stdout);
    const ledger = open(folder);
    expect(lostOrTorn(ledger, acks)).toEqual({ lost: [], torn: 0 });
    const stored = ledger.head().position / 2;
    const { ok } = ledger.verify();
    await ledger.close();
    expect(acks.length + errors.length).toBe(60);
    expect(new Set(errors)).toEqual(new Set(["FAILED"]));
    expect({ stored, ok }).toEqual({ stored: acks.length, ok: true });
  },
);
