import type { ErrorBody } from "./error.ts";

/**
 * The wire: one JSON document per line, both ways, on a Unix socket. `docs/wire.md` explains it to agents in any language.
 *
 *   → {"hello":{"v":1,"token":"…","as":"dev-001"}}        optional first line; without a token the caller is the person
 *                                                         who owns the socket
 *   → {"id":7,"op":"room.post","in":{"room":"spx","msg":"hi"}}
 *   ← {"id":7,"ok":{"id":"spx-12","seq":12}}              or {"id":7,"error":{"code":…,"what":…,"why":…,"fix":…}}
 *   → {"id":8,"op":"room.watch","in":{"rooms":["spx"]}}
 *   ← {"id":8,"ok":{…}}                                   then, until the socket closes or {"id":8,"cancel":true}:
 *   ← {"id":8,"event":{…}}
 *
 * Answers may arrive in any order; `id` is the caller's own and unique among its open requests.
 */
export const WIRE_VERSION = 1;

/** The longest line either side accepts, in bytes. Larger requests are refused with TOO_LARGE and the socket stays open. */
export const MAX_FRAME_BYTES = 1_048_576;

/**
 * `as` is the registered agent an admin speaks as (`kubectl --as`): the person who owns the town registers several and writes
 * for each. Anybody else may only name themselves; saying another name is refused and recorded.
 */
export interface Hello {
  hello: { v: number; token?: string; as?: string };
}

export interface Request {
  id: number;
  op: string;
  in?: unknown;
  /** Counts once per actor: a repeated key gives the first answer again; with another input it is a CONFLICT. */
  key?: string;
}

export interface Cancel {
  id: number;
  cancel: true;
}

export type ClientFrame = Hello | Request | Cancel;

export type ServerFrame =
  | { id: number; ok: unknown }
  | { id: number; error: ErrorBody }
  | { id: number; event: unknown }
  /** The stream is over; `because` says why. */
  | { id: number; end: string };
