import type { Connection, Stream } from "../client/connection.ts";
import { openConnection, readToken } from "../client/connection.ts";
import { BosunError } from "../protocol/error.ts";
import { type Invocation, textOf } from "./command.ts";
import { retryAfterMs } from "./feed.ts";
import { pause } from "./time.ts";

/**
 * Follows a stream for ever: after a lost connection, and when the coordinator ends it, `start` begins it again on a new
 * connection. Rejects with whatever else goes wrong.
 */
export async function follow(
  invocation: Invocation,
  start: (connection: Connection) => Promise<Stream<unknown>>,
): Promise<never> {
  const place = invocation.place();
  const as = textOf(invocation, "as");
  let connection = await invocation.connect();
  for (let attempt = 0; ; attempt++) {
    try {
      const stream = await start(connection);
      attempt = 0;
      await stream.ended;
    } catch (error) {
      if (!(error instanceof BosunError) || error.code !== "UNREACHABLE") throw error;
    }
    connection.close();
    await pause(retryAfterMs(attempt, Math.random()));
    connection = await openConnection(place.socket, readToken(place.tokenFile), as).catch(() => connection);
  }
}
