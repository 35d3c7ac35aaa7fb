import { BosunError } from "../../protocol/error.ts";

/** One question out, one answer back, over a NATS server of somebody's own. */
export interface Broker {
  request(agent: string, question: string, timeoutMs: number): Promise<string>;
}

/**
 * Questions as NATS requests on `bosun.<town>.ask.<agent>`: an agent anywhere that subscribes there and replies is reached,
 * in any language NATS has a client for. The client library is loaded only when a plan names a broker.
 *
 * Null = no broker configured. Throws UNREACHABLE when it cannot be reached.
 */
export async function openBroker(url: string | null, town: string): Promise<Broker | null> {
  if (url === null) return null;
  const { connect } = await import("@nats-io/transport-node").catch(() => {
    throw new BosunError({
      code: "UNREACHABLE",
      what: "the plan names a broker, and its client is not installed",
      why: "it is an optional part",
      fix: "npm install @nats-io/transport-node",
    });
  });
  return {
    async request(agent, question, timeoutMs) {
      const connection = await connect({ servers: url, timeout: 5_000 }).catch((error: unknown) => {
        throw new BosunError({
          code: "UNREACHABLE",
          what: `the broker ${url} cannot be reached`,
          why: String(error),
          fix: "check broker: in the floor plan",
        });
      });
      try {
        const reply = await connection.request(`bosun.${town}.ask.${agent}`, question, { timeout: timeoutMs });
        return reply.string();
      } catch (error) {
        throw new BosunError({
          code: "TIMEOUT",
          what: `${agent} did not answer on the broker`,
          why: error instanceof Error ? error.message : String(error),
        });
      } finally {
        await connection.close();
      }
    },
  };
}
