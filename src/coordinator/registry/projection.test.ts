import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import type { Event } from "../../protocol/event.ts";
import { AGENT_STATUSES } from "../../protocol/registry.ts";
import { openLedger } from "../log/ledger.ts";
import { agentCounts, agentRow, agentsPage, lastEpoch, registryProjection } from "./projection.ts";

const root = mkdtempSync(join(tmpdir(), "bosun-agents-"));
afterAll(() => rmSync(root, { recursive: true }));

const id = fc.constantFrom("a", "b", "c", "d");
const status = fc.constantFrom(...AGENT_STATUSES);
const capabilities = fc.subarray(["python", "review", "go"]);

const event: fc.Arbitrary<Event> = fc.oneof(
  fc
    .record({
      agent: id,
      status,
      capabilities,
      agentType: fc.constantFrom("x", "y"),
      user: fc.constantFrom(null, "u", "v"),
    })
    .chain((some) =>
      fc.integer({ min: 1, max: 3 }).map(
        (epoch): Event => ({
          type: "agent.registered",
          data: {
            ...some,
            epoch,
            name: some.agent,
            location: null,
            metadata: {},
            groups: ["g"],
            task: null,
            leaseS: 300,
            session: null,
            startedAtMs: null,
          },
        }),
      ),
    ),
  fc
    .record({ agent: id, status })
    .map(
      ({ agent, status }): Event => ({ type: "agent.status", data: { agent, epoch: 1, status, because: "said so" } }),
    ),
  id.map((agent): Event => ({ type: "agent.unregistered", data: { agent, because: "gone" } })),
);

function countBy(values: (string | null)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values.filter((each) => each !== null).sort()) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

test("whatever happens to agents, the counts are those of the agents there are, and a replay gives the same", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
      const ledger = openLedger({ folder: mkdtempSync(join(root, "town-")), projections: [registryProjection] });
      try {
        await ledger.write({ actor: "person:ann", decide: () => ({ events, result: null }) });
        const rows = agentsPage(ledger.views, AGENT_STATUSES, {}, "", 100);
        expect(agentCounts(ledger.views)).toEqual({
          total: rows.length,
          byStatus: countBy(rows.map((row) => row.status)),
          byType: countBy(rows.map((row) => row.type)),
          byUser: countBy(rows.map((row) => row.user)),
        });
        expect(rows.map((row) => row.id)).toEqual(rows.map((row) => row.id).sort());
        expect(agentsPage(ledger.views, AGENT_STATUSES, { capabilities: ["python", "go"] }, "", 100)).toEqual(
          rows.filter((row) => row.capabilities.includes("python") && row.capabilities.includes("go")),
        );
        for (const row of rows)
          expect(lastEpoch(ledger.views, row.id)?.epoch).toBe(agentRow(ledger.views, row.id)!.epoch);
        expect(ledger.rebuild()).toMatchObject({ equal: true });
      } finally {
        await ledger.close();
      }
    }),
    { numRuns: 40 },
  );
});
