import { defineProjection } from "../log/projection.ts";

/** Who is registered, and who belongs to which group or topic. Signs of life are not here: see `registry.ts` above. */
export const registryProjection = defineProjection({ name: "registry", revision: 1, tables: [], create: "", on: {} });
