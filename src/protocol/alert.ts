import { z } from "zod";
import { defineOperation } from "./operation.ts";

/**
 * How much it wants somebody, as the ship counts: P0 at once, P1 soon, P2 today, P3 some time, P4 for the record.
 */
export const ALERT_LEVELS = ["P0", "P1", "P2", "P3", "P4"] as const;
export const AlertLevel = z.enum(ALERT_LEVELS);
export type AlertLevel = z.infer<typeof AlertLevel>;

/** Where an alert goes. `log` is ALERT.log in the town's state, which gets all of them anyway. */
export const AlertSink = z.union([
  z.enum(["desktop", "log"]).describe("desktop: notify-send; log: ALERT.log"),
  z.strictObject({ room: z.string().describe("a room of this plan") }),
  z.strictObject({ command: z.string().describe("a command line; BOSUN_ALERT_LEVEL, _KEY and _TEXT tell it what") }),
  z.strictObject({ webhook: z.url().describe("gets the alert as JSON by POST") }),
  z.strictObject({ file: z.string().describe("gets one line for each") }),
  z.strictObject({ agent: z.string().describe("an agent or person; gets a message") }),
]);
export type AlertSink = z.infer<typeof AlertSink>;

export const Alert = z.looseObject({
  id: z.number(),
  level: AlertLevel,
  /** What it is about; of one thing one alert is open at a time. */
  key: z.string(),
  text: z.string(),
  /** RFC 3339. */
  raised: z.string(),
  by: z.string(),
  acknowledged: z.looseObject({ at: z.string(), by: z.string(), note: z.string().nullable() }).nullable(),
  /** It has passed by itself. */
  cleared: z.string().nullable(),
});
export type Alert = z.infer<typeof Alert>;

export const alertList = defineOperation({
  name: "alert.list",
  summary: "What wants somebody, loudest first",
  effect: "read",
  role: "viewer",
  input: z.strictObject({
    all: z.boolean().optional().describe("also what is acknowledged or has passed"),
    limit: z.number().int().min(1).max(1_000).optional(),
  }),
  output: z.looseObject({ alerts: z.array(Alert), file: z.string() }),
});

export const alertRaise = defineOperation({
  name: "alert.raise",
  summary: "Say that something wants somebody",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    level: AlertLevel,
    text: z.string().trim().min(1).max(1_000),
    key: z.string().min(1).max(128).optional().describe("what it is about; default who says it"),
  }),
  output: z.looseObject({ alert: Alert.nullable(), duplicate: z.boolean() }),
});

export const alertAcknowledge = defineOperation({
  name: "alert.acknowledge",
  summary: "Say that somebody has it",
  effect: "write",
  role: "agent",
  input: z.strictObject({ ids: z.array(z.number().int()).min(1).max(1_000), note: z.string().max(500).optional() }),
  output: z.looseObject({ acknowledged: z.array(z.number()) }),
  errors: ["NOT_FOUND"],
});

export const vitalReport = defineOperation({
  name: "vital.report",
  summary: "A vital sign of a session, 0 to 1; thresholds stand under health: vitals",
  effect: "write",
  role: "agent",
  input: z.strictObject({
    session: z.string().max(128).optional().describe("default: the session you run in"),
    vital: z
      .string()
      .regex(/^[\w.-]{1,64}$/)
      .describe("identity_coherence"),
    score: z.number().min(0).max(1),
  }),
  output: z.looseObject({ session: z.string(), vital: z.string(), verdict: z.enum(["healthy", "concern", "failing"]) }),
  errors: ["UNKNOWN_SESSION", "REFUSED"],
});
