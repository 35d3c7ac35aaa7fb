import type { z } from "zod";
import { CATALOGUE } from "../protocol/catalogue.ts";
import { BosunError } from "../protocol/error.ts";
import { type Operation, ROLES, type Role } from "../protocol/operation.ts";

/** Who is calling, from the credential alone; nothing in a request can change it. */
export interface Actor {
  /** `person:<name>`, `agent:<id>`, `program:<name>`, `coordinator`: what the log says. */
  name: string;
  /** Without the kind: what others see as `from`. */
  id: string;
  kind: "person" | "agent" | "program" | "coordinator";
  role: Role;
  /** Plan id of the session the credential was given to, or null. */
  session: string | null;
}

/** What a handler gets besides its input. */
export interface Call {
  actor: Actor;
  /** Idempotency key of the request. */
  key: string | undefined;
  stream: Stream;
}

/** The caller's end of a streaming operation. Events pushed before the answer is given are sent after it. */
export interface Stream {
  /** One event as JSON text. False: it was taken, and the caller is slow: no more before the next drain. */
  push(json: string): boolean;
  /** `listener` runs after every drain. */
  onDrain(listener: () => void): void;
  /** Runs once when the caller leaves or cancels. */
  onClose(listener: () => void): void;
  end(because: string): void;
}

export type Handler<O extends Operation> = (
  input: z.output<O["input"]>,
  call: Call,
) => z.input<O["output"]> | Promise<z.input<O["output"]>>;

type AnyHandler = (input: unknown, call: Call) => unknown;

/**
 * From a name and unknown input to the one handler, with the input checked and the caller's right to do it. Every door
 * (Unix socket, later HTTP and MCP) goes through here.
 */
export class Dispatch {
  readonly #handlers = new Map<string, AnyHandler>();

  handle<O extends Operation>(operation: O, handler: Handler<O>): void {
    this.#handlers.set(operation.name, handler as AnyHandler);
  }

  /** Operations of the catalogue without a handler; a test keeps this empty. */
  missing(): string[] {
    return [...CATALOGUE.keys()].filter((name) => !this.#handlers.has(name));
  }

  /**
   * As `call`, for a door: `who` gives the actor, or throws why there is none. Asked at every request, because a credential
   * may have been revoked since the last one.
   */
  async enter(who: () => Actor, name: string, input: unknown, call: Omit<Call, "actor">): Promise<unknown> {
    return this.call(name, input, { ...call, actor: who() });
  }

  async call(name: string, input: unknown, call: Call): Promise<unknown> {
    const operation = CATALOGUE.get(name);
    const handler = this.#handlers.get(name);
    if (!operation || !handler) throw unknownOperation(name);
    permit(operation, call.actor);
    return handler(checked(operation, input), call);
  }
}

function permit(operation: Operation, actor: Actor): void {
  if (ROLES.indexOf(actor.role) >= ROLES.indexOf(operation.role)) return;
  throw new BosunError({
    code: "REFUSED",
    what: `${actor.id} may not call ${operation.name}`,
    why: `it needs the role ${operation.role}, and ${actor.id} is ${actor.role}`,
    fix: "ask a person with that role, or have it changed under `users:` in the floor plan",
  });
}

function checked(operation: Operation, input: unknown): unknown {
  const result = operation.input.safeParse(input ?? {});
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const place = issue.path.join(".");
  throw new BosunError({
    code: "USAGE",
    what: `${operation.name}: ${place ? `"${place}" ` : ""}${issue.message}`,
    why: result.error.issues.length > 1 ? `and ${result.error.issues.length - 1} more` : operation.summary,
    fix: "the fields of every operation stand in docs/reference.md",
  });
}

function unknownOperation(name: string): BosunError {
  const near = [...CATALOGUE.keys()].find(
    (known) => known.endsWith(`.${name}`) || known.startsWith(`${name.split(".")[0]}.`),
  );
  return new BosunError({
    code: "NOT_FOUND",
    what: `there is no operation "${String(name).slice(0, 80)}"`,
    ...(near ? { why: `did you mean ${near}` } : {}),
    fix: "the operations stand in docs/reference.md",
  });
}
