import { existsSync, readdirSync } from "node:fs";
import { type Connection, openConnection } from "../client/connection.ts";
import { socketPath } from "../client/home.ts";
import { rememberedPlaceFile } from "../client/place.ts";
import type { Neighbours } from "../coordinator/mail/neighbours.ts";

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
  return {
    towns: () =>
      readdirSync(home, { withFileTypes: true })
        .filter(
          (entry) => entry.isDirectory() && entry.name !== own && existsSync(rememberedPlaceFile(home, entry.name)),
        )
        .map((entry) => entry.name),
    call: async (town, operation, input) => (await connectionTo(town)).call(operation, input),
    close() {
      for (const connection of open.values())
        connection.then(
          (each) => each.close(),
          () => {},
        );
      open.clear();
    },
  };
}
