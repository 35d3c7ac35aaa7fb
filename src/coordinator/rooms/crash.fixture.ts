/** A process that speaks as fast as it can and prints each answer; run by crash.test.ts, which kills it. */
import { writeSync } from "node:fs";
import { jsonl, planRoom } from "./plan.fixture.ts";
import { openRooms } from "./rooms.ts";

const folder = process.argv[2]!;
const rooms = openRooms({ folder });
rooms.declare([planRoom("spx", { jsonl: jsonl(`${folder}/spx.jsonl`) }), planRoom("qqq")]);
for (let round = 0; ; round++) {
  await Promise.all(
    Array.from({ length: 1 + (round % 7) }, async (_, n) => {
      const { id } = await rooms.post("a", { room: n % 3 ? "qqq" : "spx", msg: `${process.pid} ${round}/${n}` });
      writeSync(1, `${id}\n`);
    }),
  );
}
