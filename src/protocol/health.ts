import { z } from "zod";

const Duration = z
  .string()
  .regex(/^\d+(\.\d+)?\s*(ms|s|m|h|d|w)$/, "a duration is a number and ms, s, m, h, d or w: 10m");

/** What is done when a check has failed so often: end the process, which then counts as a failure of its, or only say so. */
const Action = z.enum(["restart", "alert"]).optional().describe("restart or alert, when it has failed so often");
const Misses = z.number().int().min(1).max(100).optional().describe("so many failures in a row: 3");
const Every = Duration.optional().describe("how often it is asked: 30s");
const Timeout = Duration.optional().describe("no answer within this is a failure: 5s");
const polled = { every: Every, timeout: Timeout, misses: Misses, action: Action };

const Address = z.string().regex(/^\S+:\d{1,5}$/, "host:port");

/**
 * How to tell that a session works, besides that its processes live. Only what says clearly that it does not (a command, an
 * endpoint, a missing heartbeat) may restart it; what a screen shows, or silence, only alerts.
 */
export const HealthSpec = z.strictObject({
  alive: z.boolean().optional().describe("its processes live; always looked at"),
  exec: z
    .union([z.string(), z.strictObject({ cmd: z.string().describe("ends with 0 when all is well"), ...polled })])
    .optional()
    .describe("a command, run by the session's shell in its folder"),
  http: z
    .union([z.string(), z.strictObject({ url: z.string().describe("answers with 2xx or 3xx"), ...polled })])
    .optional()
    .describe("an endpoint"),
  tcp: z
    .union([Address, z.strictObject({ address: Address.describe("host:port"), ...polled })])
    .optional()
    .describe("a port that takes connections"),
  heartbeat: z
    .union([Duration, z.strictObject({ every: Every, misses: Misses, action: Action })])
    .optional()
    .describe("its agents call, ping or report a hook this often: 30s"),
  pattern: z
    .union([
      z.string(),
      z.strictObject({
        regex: z.string().describe("stands on its screen"),
        for: Duration.optional().describe("missing so long: 20s"),
      }),
    ])
    .optional()
    .describe("what stands on its screen while all is well"),
  silence: Duration.optional().describe("writing nothing for so long is said"),
  windows: z.boolean().optional().describe("its windows are those of the plan; others, or missing ones, are told"),
  vitals: z
    .record(
      z.string(),
      z.strictObject({
        healthy: z.number().min(0).max(1).describe("this score and above is well: 0.8"),
        concern: z.number().min(0).max(1).describe("below this it fails; between, it is a concern: 0.6"),
      }),
    )
    .optional()
    .describe("signs that are reported with a score from 0 to 1: identity_coherence"),
});
export type HealthSpec = z.infer<typeof HealthSpec>;

export const HEALTH_CHECKS = ["exec", "http", "tcp", "heartbeat", "pattern", "silence", "windows", "vitals"] as const;
export type HealthCheck = (typeof HEALTH_CHECKS)[number];

/** One check of one session, as it stands. */
export interface HealthState {
  check: HealthCheck;
  /** Null before the first answer. */
  healthy: boolean | null;
  sinceMs: number;
  evidence: string;
  misses: number;
}
