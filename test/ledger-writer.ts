/**
 * A process that writes facts until somebody kills it, or for the number of commands given. Each answer goes to stdout, in
 * one write call, after it was given: `ack <position> <id>` or `err <code>`.
 *
 *   node test/ledger-writer.ts FOLDER RUN [COMMANDS]
 */
import { writeSync } from "node:fs";
import { openLedger } from "../src/coordinator/log/ledger.ts";
import { messagesProjection } from "../src/coordinator/messages/projection.ts";
import { sessionsProjection } from "../src/coordinator/sessions/projection.ts";
import type { Event } from "../src/protocol/event.ts";

const [folder, run, commands] = process.argv.slice(2);
const ledger = openLedger({ folder: folder!, projections: [sessionsProjection, messagesProjection] });

/** A message that was handed over at once: two facts that must never be seen apart. */
function mail(id: string): Event[] {
  const body = "x".repeat(Math.floor(Math.random() ** 4 * 20_000));
  const about = { type: "notification", subject: id, body, dataJson: null, priority: "normal", inReplyTo: null };
  const none = { human: false, ack: false, expiresAtMs: null, task: null, sentAtMs: null };
  const to = ["reader"];
  return [
    { type: "message.sent", data: { id, thread: id, from: "writer", to, addressed: to, ...about, ...none } },
    { type: "delivery.presented", data: { messages: [id], to: "reader", epoch: 0 } },
  ];
}

async function write(writer: number): Promise<void> {
  for (let index = 0; commands === undefined || index < Number(commands); index++) {
    const id = `${run}-${writer}-${index}`;
    try {
      const { position } = await ledger.write({
        actor: "agent:writer",
        key: id,
        decide: () => ({ events: mail(id), result: id }),
      });
      writeSync(1, `ack ${position} ${id}\n`);
    } catch (thrown) {
      writeSync(1, `err ${(thrown as { code?: string }).code}\n`);
    }
  }
}

const writers = commands === undefined ? 1 + Math.floor(Math.random() * 8) : 1;
await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
await ledger.close();
