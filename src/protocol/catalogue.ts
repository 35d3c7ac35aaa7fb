import * as message from "./message.ts";
import type { Operation } from "./operation.ts";
import * as room from "./room.ts";
import * as session from "./session.ts";
import * as view from "./view.ts";

function operationsOf(module: Record<string, unknown>): Operation[] {
  return Object.values(module).filter(
    (value): value is Operation => typeof value === "object" && value !== null && "name" in value && "effect" in value,
  );
}

/** Every operation there is, by name. */
export const CATALOGUE: ReadonlyMap<string, Operation> = new Map(
  [room, session, message, view].flatMap((module) =>
    operationsOf(module).map((operation) => [operation.name, operation]),
  ),
);
