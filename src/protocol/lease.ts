import { z } from "zod";
import { defineOperation } from "./operation.ts";

/** Long enough for a piece of work, short enough that a dead holder blocks nobody for long. */
export const LEASE_DEFAULT_S = 60;

const Name = z.string().min(1).max(256);
const Names = z.array(Name).min(1).max(100);
const TtlS = z.number().positive().max(86_400).optional().describe("seconds; default 60");

export const Lease = z.looseObject({
  name: z.string(),
  holder: z.string(),
  /** Fencing number: grows with each acquisition. Show it with what you write; a holder that lost the lease is refused. */
  token: z.number(),
  shared: z.boolean(),
  why: z.string(),
  since: z.string(),
  expires: z.string(),
});
export type Lease = z.infer<typeof Lease>;

export const leaseAcquire = defineOperation({
  name: "lease.acquire",
  summary: "Hold names alone (or shared) for a time; all of them or none",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    names: Names,
    ttlS: TtlS,
    shared: z.boolean().optional(),
    why: z.string().max(512).optional(),
    waitMs: z.number().int().min(0).max(50_000).optional().describe("wait that long for them to become free"),
  }),
  output: z.looseObject({ held: z.array(Lease) }),
  errors: ["CONFLICT"],
});

export const leaseRenew = defineOperation({
  name: "lease.renew",
  summary: "Hold on longer; refused once somebody else has it",
  effect: "write",
  role: "agent",
  input: z.strictObject({ names: Names, ttlS: TtlS }),
  output: z.looseObject({ held: z.array(Lease) }),
  errors: ["CONFLICT", "NOT_FOUND"],
});

export const leaseRelease = defineOperation({
  name: "lease.release",
  summary: "Give names free",
  effect: "write",
  role: "agent",
  input: z.strictObject({ names: Names, force: z.boolean().optional().describe("somebody else's; operators only") }),
  output: z.looseObject({ released: z.array(z.string()) }),
  errors: ["CONFLICT", "REFUSED"],
});

export const leaseList = defineOperation({
  name: "lease.list",
  summary: "Who holds what, until when, and why",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ pattern: z.string().optional() }),
  output: z.looseObject({ leases: z.array(Lease) }),
});
