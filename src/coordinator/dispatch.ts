import { hash } from "node:crypto";
import type { z } from "zod";
import { CATALOGUE } from "../protocol/catalogue.ts";
import { BosunError } from "../protocol/error.ts";
import { type Operation, ROLES, type Role } from "../protocol/operation.ts";
import type { Refusals } from "./refusals.ts";

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
  /** Run the credential belongs to: of an agent its registration, else of the session; 0 for people. */
  epoch: number;
  /** The person who speaks as this agent: `person:steve`. Absent when it speaks for itself. */
  via?: string;
}

/** What a handler gets besides its input. */
export interface Call {
  actor: Actor;
  /** Idempotency key of the request. */
  key: string | undefined;
  /** Of operation and input, for the same key with another request; absent without a key. */
  digest?: string;
  stream: Stream;
}

/** Key and digest of a call as a command of the ledger takes them. */
export function once(call: Call): { key?: string; digest?: string } {
  if (call.key === undefined) return {};
  return call.digest === undefined ? { key: call.key } : { key: call.key, digest: call.digest };
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

/** The coordinator itself, asking its own operations. */
export const COORDINATOR: Actor = {
  name: "coordinator",
  id: "coordinator",
  kind: "coordinator",
  role: "admin",
  session: null,
  epoch: 0,
};

const NOBODY_LISTENS: Stream = { push: () => true, onDrain: () => {}, onClose: () => {}, end: () => {} };

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
  readonly #refusals: Refusals | null;
  /** Hears of every call whose credential counts, before it is handled. */
  onCall: (actor: Actor, operation: string, stream: Stream) => void = () => {};

  /** `refusals` writes down who tried what they may not. */
  constructor(refusals: Refusals | null = null) {
    this.#refusals = refusals;
  }

  handle<O extends Operation>(operation: O, handler: Handler<O>): void {
    this.#handlers.set(operation.name, handler as AnyHandler);
  }

  /** Operations of the catalogue without a handler; a test keeps this empty. */
  missing(): string[] {
    return [...CATALOGUE.keys()].filter((name) => !this.#handlers.has(name));
  }

  /**
   * As `call`, for a door: `who` gives the actor, or throws why there is none. Asked at every request, because a credential
   * may have been revoked since the last one. Refusals are in the log before the caller hears of them.
   */
  async enter(who: () => Actor, name: string, input: unknown, call: Omit<Call, "actor" | "digest">): Promise<unknown> {
    let actor: Actor | null = null;
    try {
      actor = who();
      return await this.call(name, input, { ...call, actor });
    } catch (thrown) {
      await this.#refusals?.note(actor?.name ?? null, name, thrown);
      throw thrown;
    }
  }

  /** An operation for the coordinator's own use: one answer put together from others. */
  ask<T>(name: string, input: unknown = {}): Promise<T> {
    return this.call(name, input, { actor: COORDINATOR, key: undefined, stream: NOBODY_LISTENS }) as Promise<T>;
  }

  async call(name: string, input: unknown, call: Call): Promise<unknown> {
    const operation = CATALOGUE.get(name);
    const handler = this.#handlers.get(name);
    this.onCall(call.actor, name, call.stream);
    if (!operation || !handler) throw unknownOperation(name);
    permit(operation, call.actor);
    const asked = checked(operation, input);
    return handler(asked, call.key === undefined ? call : { ...call, digest: digestOf(name, asked) });
  }
}

/** The same for inputs that say the same: the order of fields does not count. */
function digestOf(operation: string, input: unknown): string {
  return hash("sha256", `${operation} ${JSON.stringify(input, sortedFields)}`).slice(0, 32);
}

function sortedFields(_field: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
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
