/** `node sender.fixture.ts FROM TO COUNT`: sends that many messages, one after the other, and ends when all are acknowledged. */
import { CollaborationHub } from "../../src/client/index.ts";

const [from, to, count] = process.argv.slice(2) as [string, string, string];
const hub = new CollaborationHub();
for (let n = 0; n < Number(count); n++) await hub.send(from, to, "notification", `${from} ${n}`, "body");
hub.close();
