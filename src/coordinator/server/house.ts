import type { Introduction } from "../credentials.ts";
import type { Actor, Dispatch } from "../dispatch.ts";
import type { Traffic } from "./traffic.ts";

/** What every door of a coordinator opens into. */
export interface House {
  dispatch: Dispatch;
  /**
   * Who is calling. Throws REFUSED for a credential nobody knows or a name that is not the caller's, STALE_EPOCH for one of an
   * ended run. Without a token it is the person who owns the socket: doors that others can reach ask for one first.
   */
  identify(introduction: Introduction): Actor;
  traffic: Traffic;
}
