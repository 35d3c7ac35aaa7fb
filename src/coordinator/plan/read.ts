import { createHash } from "node:crypto";
import { dirname, isAbsolute, resolve } from "node:path";
import { BosunError } from "../../protocol/error.ts";
import type { Plan } from "../../protocol/plan.ts";
import { expand } from "./expand.ts";
import { FloorPlan } from "./schema.ts";
import { parseYaml } from "./yaml.ts";

export interface PlanInput {
  text: string;
  /** Absolute path, for messages and for relative paths inside. */
  file: string;
  /** From a flag or the environment: wins over the plan's own `town:`. */
  town?: { name: string; from: string } | undefined;
  /** Reads an included file. */
  readFile: (absolutePath: string) => string;
  /** For `env_pass` and `~`. */
  env?: Record<string, string | undefined>;
}

const MAX_INCLUDES = 32;

/**
 * The text of a floor plan as the plan that reconcile works with. Throws one PLAN_INVALID that holds every mistake found,
 * with file, line and column.
 */
export function readPlan(input: PlanInput): Plan {
  const texts = [input.text];
  const { value, mistakes } = parseYaml(input.text, input.file);
  const whole =
    typeof value === "object" && value !== null && "include" in value
      ? merge(value as Record<string, unknown>, input, texts)
      : value;
  if (typeof whole !== "object" || whole === null || Array.isArray(whole)) {
    mistakes.add([], {
      what: "the plan is empty",
      why: "a floor plan is a map that begins with version: 1",
      fix: "bosun init   writes one with comments",
    });
    mistakes.throwIfAny();
  }
  const checked = FloorPlan.safeParse(whole);
  if (!checked.success) {
    for (const issue of checked.error.issues) mistakes.addIssue(issue, whole);
    mistakes.throwIfAny();
    throw checked.error;
  }
  const plan = expand(checked.data, {
    file: input.file,
    folder: dirname(input.file),
    town: input.town,
    env: input.env ?? {},
    mistakes,
  });
  mistakes.throwIfAny();
  return { ...plan, digest: createHash("sha256").update(texts.join("\0")).digest("hex") };
}

/** Included files come first, in order; what this file says wins over them, key by key. */
function merge(own: Record<string, unknown>, input: PlanInput, texts: string[]): unknown {
  const { include, ...rest } = own;
  const files = (Array.isArray(include) ? include : [include]).map((name) =>
    resolve(dirname(input.file), String(name)),
  );
  if (files.length > MAX_INCLUDES)
    throw new BosunError({
      code: "PLAN_INVALID",
      what: `${files.length} includes`,
      why: `${MAX_INCLUDES} are enough`,
      at: { file: input.file, line: 1, column: 1 },
    });
  const parts = files.map((file) => {
    if (!isAbsolute(file)) return {};
    let text: string;
    try {
      text = input.readFile(file);
    } catch (error) {
      throw new BosunError({
        code: "PLAN_INVALID",
        what: `the included file ${file} cannot be read`,
        why: error instanceof Error ? error.message : String(error),
        fix: "correct include:",
        at: { file: input.file, line: 1, column: 1 },
      });
    }
    texts.push(text);
    const { value } = parseYaml(text, file);
    if (typeof value === "object" && value !== null && "include" in value)
      throw new BosunError({
        code: "PLAN_INVALID",
        what: "an included file includes another",
        why: "one level is enough to follow",
        fix: `list all files in ${input.file}`,
        at: { file, line: 1, column: 1 },
      });
    return (value ?? {}) as Record<string, unknown>;
  });
  return [...parts, rest].reduce<Record<string, unknown>>((into, part) => deepMerge(into, part), {});
}

function deepMerge(into: Record<string, unknown>, part: Record<string, unknown>): Record<string, unknown> {
  const result = { ...into };
  for (const [key, value] of Object.entries(part)) {
    const before = result[key];
    result[key] = isPlainMap(before) && isPlainMap(value) ? deepMerge(before, value) : value;
  }
  return result;
}

function isPlainMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
