import { defineProjection } from "../log/projection.ts";

/** What agents remember for each other, and who holds which lease. */
export const memoryProjection = defineProjection({ name: "memory", revision: 1, tables: [], create: "", on: {} });
