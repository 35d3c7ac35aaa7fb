import { BosunError } from "../../protocol/error.ts";

/** The other towns that this coordinator can reach. */
export interface Neighbours {
  /** By name; also those whose coordinator does not run just now. */
  towns(): readonly string[];
  /** Rejects with UNREACHABLE when the town cannot be asked now or does not answer in time, with its own error for what it refuses. */
  call(town: string, operation: string, input: unknown, withinMs: number): Promise<unknown>;
  close(): void;
}

/** Of a coordinator that is alone. */
export const NO_NEIGHBOURS: Neighbours = {
  towns: () => [],
  call: (town) => Promise.reject(new BosunError({ code: "UNREACHABLE", what: `there is no way to the town ${town}` })),
  close: () => {},
};
