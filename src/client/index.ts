import { BosunError } from "../protocol/error.ts";
import { startCoordinator } from "./autostart.ts";
import { type CallOptions, type Connection, openConnection, readToken } from "./connection.ts";
import type { Answer, OperationInput, OperationName } from "./operations.gen.ts";
import { findPlace, type Place } from "./place.ts";

export { BosunError, type ErrorBody, type ErrorCode } from "../protocol/error.ts";
export { formatSignal } from "../protocol/signal.ts";
export * from "./collaboration-hub.ts";
export { type CallOptions, Connection, openConnection, type Stream, type StreamOptions } from "./connection.ts";
export type { LinkOptions } from "./link.ts";
export type { Answer, OperationInput, OperationName } from "./operations.gen.ts";
export { findPlace, type Place, type PlaceFlags } from "./place.ts";
export * from "./session-registry.ts";
export * from "./shared-memory.ts";

export interface ConnectOptions {
  /** Which town; default: what flags-less `bosun` would mean here (environment, then the nearest floor plan). */
  place?: Place;
  /** Path of the coordinator's program. Without it nothing is started, and a silent socket is UNREACHABLE. */
  program?: string;
}

/**
 * A connection to the coordinator of a town, starting it when it does not run and `program` says how. Inside a session of
 * ours the connection speaks as that session's agent; elsewhere as the person who owns the socket.
 */
export async function connect({ place = findPlace({}), program }: ConnectOptions = {}): Promise<Connection> {
  const token = readToken(place.tokenFile);
  try {
    return await openConnection(place.socket, token);
  } catch (error) {
    if (program === undefined || place.given || !(error instanceof BosunError)) throw error;
    await startCoordinator(program, place);
    return await openConnection(place.socket, token);
  }
}

/** One call over a connection of its own. */
export async function call<Name extends OperationName>(
  op: Name,
  input: OperationInput<Name>,
  { key, onEvent, ...options }: ConnectOptions & CallOptions = {},
): Promise<Answer<Name>> {
  const connection = await connect(options);
  try {
    return await connection.call(op, input, { ...(key && { key }), ...(onEvent && { onEvent }) });
  } finally {
    connection.close();
  }
}
