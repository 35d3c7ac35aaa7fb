/** TypeScript, with the client library. Outside this checkout: `import { connect } from "bosun"`. */
import { connect } from "../../src/client/index.ts";

const room = process.env.BOSUN_ROOM ?? "lobby";
const bosun = await connect();
let tick = 0;

await bosun.stream("agent.listen", {}, (event) => {
  const { ask, text } = event as { ask: string; text: string };
  const answer = text === "status" ? `tick ${tick}` : "ask me: status";
  // NOT_FOUND: the asker has gone meanwhile.
  bosun.call("ask.answer", { ask, text: answer }).catch(console.error);
});

setInterval(async () => {
  const { id } = await bosun.call("room.post", { room, msg: `tick ${++tick}` });
  console.log(id);
}, 1_000);

await bosun.closed;
process.exit(1); // `restart: always` starts this program again
