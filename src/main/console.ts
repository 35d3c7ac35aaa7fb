import { connect } from "../client/index.ts";
import type { Place } from "../client/place.ts";
import { openConsole } from "../console/open.ts";

/** The console on this terminal, until somebody leaves it. Loaded by the command line when it is asked for. */
export async function run(place: Place, program: string, colour: boolean): Promise<void> {
  const connection = await connect({ place, program });
  try {
    await openConsole(connection, place.town, colour);
  } finally {
    connection.close();
  }
}
