import { z } from "zod";
import { defineOperation } from "./operation.ts";

/** Something that runs elsewhere and is told of here: under systemd, cron, as a process, or behind an address. */
export const ServiceSpec = z
  .strictObject({
    about: z.string().optional().describe("what it is for"),
    systemd: z
      .string()
      .regex(/^[\w@.:\\-]{1,255}$/, "a unit's name")
      .optional()
      .describe("unit: routx.service"),
    scope: z.enum(["user", "system"]).optional().describe("whose systemd: system"),
    cron: z.string().optional().describe("text that stands in a line of the crontab"),
    process: z.string().optional().describe("regular expression that fits a command line"),
    http: z.url().optional().describe("address that answers with 2xx or 3xx"),
    health: z.url().optional().describe("address that says whether it is well, besides its manager"),
    every: z.string().optional().describe("how often it is asked: 15s"),
    alert: z.enum(["P0", "P1", "P2", "P3", "P4"]).optional().describe("level when it is down: P2"),
    manage: z
      .boolean()
      .optional()
      .describe("true: bosun service start|stop|restart may be used; up and down never touch it"),
  })
  .refine(
    (spec) => [spec.systemd, spec.cron, spec.process, spec.http].filter((each) => each !== undefined).length === 1,
    "a service is one of systemd, cron, process and http",
  );
export type ServiceSpec = z.infer<typeof ServiceSpec>;

export const ServiceState = z.looseObject({
  id: z.string(),
  about: z.string(),
  /** systemd, systemd --user, crontab, process, http. */
  manager: z.string(),
  /** What a person would type to ask, and to act. */
  command: z.string(),
  state: z.enum(["up", "down", "degraded", "unknown"]),
  /** In the manager's own words. */
  says: z.string(),
  pid: z.number().nullable(),
  /** RFC 3339; when it was asked last, and since when it is so. */
  asked: z.string().nullable(),
  since: z.string(),
  managed: z.boolean(),
});
export type ServiceState = z.infer<typeof ServiceState>;

export const serviceList = defineOperation({
  name: "service.list",
  summary: "Services that run elsewhere, in their managers' own words",
  effect: "read",
  role: "viewer",
  input: z.strictObject({ fresh: z.boolean().optional().describe("ask them now") }),
  output: z.looseObject({ services: z.array(ServiceState) }),
});

export const serviceAct = defineOperation({
  name: "service.act",
  summary: "Start, stop or restart a service that is declared manage: true",
  effect: "destroy",
  role: "operator",
  input: z.strictObject({ service: z.string().min(1).max(64), action: z.enum(["start", "stop", "restart"]) }),
  output: z.looseObject({ service: ServiceState }),
  errors: ["NOT_FOUND", "REFUSED"],
});
