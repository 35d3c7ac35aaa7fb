import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { BosunError } from "../../protocol/error.ts";
import type { Plan } from "../../protocol/plan.ts";
import { expand } from "./expand.ts";
import { Mistakes, type Path, type PlanText } from "./mistakes.ts";
import { pathFrom } from "./paths.ts";
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
  const own = parseYaml(input.text, input.file);
  const included = includedTexts(own, input);
  // What this file says wins over what it includes, and a later included file over an earlier one.
  const mistakes = new Mistakes([own, ...included.toReversed()].map(({ source }) => source));
  const whole = [...included, own].map(({ value }) => value).reduce(deepMerge);
  if (whole === null || whole === undefined) refuseRoot(mistakes, "the plan is empty");
  if (!isPlainMap(whole)) refuseRoot(mistakes, `the plan is ${Array.isArray(whole) ? "a list" : "no map"}`);
  const checked = FloorPlan.safeParse(whole);
  if (!checked.success) {
    mistakes.addIssues(checked.error.issues, whole);
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
  const texts = [input.text, ...included.map(({ text }) => text)];
  return { ...plan, digest: createHash("sha256").update(texts.join("\0")).digest("hex") };
}

function refuseRoot(mistakes: Mistakes, what: string): void {
  mistakes.add([], {
    what,
    why: "a floor plan is a map that begins with version: 1",
    fix: "bosun init   writes one with comments",
  });
  mistakes.throwIfAny();
}

interface ReadText {
  text: string;
  value: unknown;
  source: PlanText;
}

/** The files of `include:`, in order. Whatever else stands there is left to the schema. */
function includedTexts(own: Omit<ReadText, "text">, input: PlanInput): ReadText[] {
  const include = isPlainMap(own.value) ? own.value.include : undefined;
  const names = typeof include === "string" ? [include] : Array.isArray(include) ? include : [];
  if (!names.every((name) => typeof name === "string")) return [];
  const mistakes = new Mistakes([own.source]);
  if (names.length > MAX_INCLUDES)
    mistakes.add(["include"], {
      what: `${names.length} files are included`,
      why: `${MAX_INCLUDES} are allowed`,
      fix: "put some of them together",
    });
  mistakes.throwIfAny();
  const texts = names.map((name, index) => {
    const path = typeof include === "string" ? ["include"] : ["include", index];
    return includedText(pathFrom(dirname(input.file), name, input.env ?? {}), path, mistakes, input);
  });
  mistakes.throwIfAny();
  return texts.filter((text) => text !== null);
}

function includedText(file: string, path: Path, mistakes: Mistakes, input: PlanInput): ReadText | null {
  let text: string;
  try {
    text = input.readFile(file);
  } catch (error) {
    mistakes.add(path, {
      what: `the included file ${file} cannot be read`,
      why: whyUnreadable(error),
      fix: "correct include:; names are relative to this file",
    });
    return null;
  }
  const { value, source } = parseYaml(text, file);
  const inner = new Mistakes([source]);
  if (isPlainMap(value) && "include" in value)
    inner.add(
      ["include"],
      {
        what: "an included file includes another",
        why: "one level is enough to follow",
        fix: `list all files in ${input.file}`,
      },
      "key",
    );
  if (value !== null && value !== undefined && !isPlainMap(value)) refuseRoot(inner, "an included file is no map");
  inner.throwIfAny();
  return { text, value: value ?? {}, source };
}

function whyUnreadable(error: unknown): string {
  if (error instanceof BosunError) return error.body.why ?? error.body.what;
  switch ((error as { code?: string }).code) {
    case "ENOENT":
      return "there is no such file";
    case "EISDIR":
      return "it is a folder";
    case "EACCES":
      return "you may not read it";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

function deepMerge(into: unknown, part: unknown): unknown {
  if (!isPlainMap(into) || !isPlainMap(part)) return part;
  const result = { ...into };
  for (const [key, value] of Object.entries(part))
    result[key] = Object.hasOwn(into, key) ? deepMerge(into[key], value) : value;
  return result;
}

function isPlainMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
