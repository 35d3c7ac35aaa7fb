import type { z } from "zod";
import type { ErrorCode } from "./error.ts";

/**
 * One thing bosun can be asked to do, declared once. The command line takes its flags from here, HTTP its route, MCP its
 * tool, the library its types; the coordinator holds the one handler.
 */
export interface Operation<Input extends z.ZodType = z.ZodType, Output extends z.ZodType = z.ZodType> {
  /** `noun.verb`, the public name on the wire. */
  name: string;
  /** One line, shown in help and reference. */
  summary: string;
  input: Input;
  output: Output;
  /** `read` changes nothing; `write` changes facts; `destroy` can end a process or lose something and may ask first. */
  effect: "read" | "write" | "destroy";
  /** The least role that may call it. Agents count as `agent`; a viewer only reads. */
  role: Role;
  /** A stream answers once and then sends events until the caller leaves. The shape of each event. */
  streams?: z.ZodType;
  errors?: ErrorCode[];
}

/** Ascending rights: a viewer reads, an agent narrates and writes, an operator runs the floor, an admin changes people. */
export type Role = "viewer" | "agent" | "operator" | "admin";
export const ROLES: readonly Role[] = ["viewer", "agent", "operator", "admin"];

export type InputOf<O extends Operation> = z.input<O["input"]>;
export type OutputOf<O extends Operation> = z.output<O["output"]>;

export function defineOperation<I extends z.ZodType, O extends z.ZodType>(operation: Operation<I, O>): Operation<I, O> {
  return operation;
}
