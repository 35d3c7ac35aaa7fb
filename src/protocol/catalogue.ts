import * as alert from "./alert.ts";
import * as ask from "./ask.ts";
import * as chapter from "./chapter.ts";
import * as chat from "./chat.ts";
import * as doctor from "./doctor.ts";
import * as ghost from "./ghost.ts";
import * as hub from "./hub.ts";
import * as job from "./job.ts";
import * as lease from "./lease.ts";
import * as memory from "./memory.ts";
import * as message from "./message.ts";
import * as opened from "./opened.ts";
import type { Operation } from "./operation.ts";
import * as registry from "./registry.ts";
import * as room from "./room.ts";
import * as screen from "./screen.ts";
import * as service from "./service.ts";
import * as session from "./session.ts";
import * as task from "./task.ts";
import * as view from "./view.ts";

/** Where operations are declared, by the file's name. */
export const MODULES: Readonly<Record<string, Record<string, unknown>>> = {
  room,
  alert,
  job,
  service,
  session,
  opened,
  screen,
  chapter,
  chat,
  ghost,
  doctor,
  registry,
  message,
  task,
  memory,
  lease,
  hub,
  ask,
  view,
};

function operationsOf(module: Record<string, unknown>): Operation[] {
  return Object.values(module).filter(
    (value): value is Operation => typeof value === "object" && value !== null && "name" in value && "effect" in value,
  );
}

/** Every operation there is, by name. */
export const CATALOGUE: ReadonlyMap<string, Operation> = new Map(
  Object.values(MODULES).flatMap((module) => operationsOf(module).map((operation) => [operation.name, operation])),
);
