import { type Connection, openConnection } from "../client/connection.ts";
import { socketPath, townsKept } from "../client/home.ts";
import type { Neighbours } from "../coordinator/mail/neighbours.ts";
import { BosunError } from "../protocol/error.ts";

/** The towns of this state home, by their own sockets; none is started for a call. */
export function neighboursIn(home: string, own: string): Neighbours {
  const open = new Map<string, Promise<Connection>>();
  const connectionTo = (town: string): Promise<Connection> => {
    let connection = open.get(town);
    if (!connection) {
      connection = openConnection(socketPath(home, town));
      open.set(town, connection);
      const forget = (): void => void (open.get(town) === connection && open.delete(town));
      connection.then((each) => {
        each.unref();
        void each.closed.then(forget);
      }, forget);
    }
    return connection;
  };
  const drop = (town: string): void => {
    const connection = open.get(town);
    open.delete(town);
    connection?.then(
      (each) => each.close(),
      () => {},
    );
  };
  return {
    towns: () => townsKept(home).filter((town) => town !== own),
    async call(town, operation, input, withinMs) {
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(() => {
        // A coordinator that hangs still takes connections, and would take the next call too.
        drop(town);
        late.reject(new BosunError({ code: "UNREACHABLE", what: `the town ${town} does not answer` }));
      }, withinMs);
      try {
        const answer = connectionTo(town).then((connection) => connection.call(operation, input));
        return await Promise.race([answer, late.promise]);
      } finally {
        clearTimeout(timer);
      }
    },
    close() {
      for (const town of [...open.keys()]) drop(town);
    },
  };
}
