import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { WaitingFor } from "../../protocol/screen.ts";

const Pattern = z.string().transform((text, context) => {
  try {
    return text.startsWith("(?i)") ? new RegExp(text.slice(4), "iu") : new RegExp(text, "u");
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
    return z.NEVER;
  }
});

const Rule = z
  .strictObject({
    name: z.string(),
    state: z.enum(["working", "idle", "waiting"]),
    reason: WaitingFor.optional(),
    match: z.array(Pattern).min(1).optional(),
    last: z.array(Pattern).min(1).optional(),
    within: z.number().int().min(1).max(200).optional(),
  })
  .refine((rule) => rule.match !== undefined || rule.last !== undefined, "a rule needs match or last")
  .refine(
    (rule) => (rule.state === "waiting") === (rule.reason !== undefined),
    "waiting, and nothing else, has a reason",
  );

/** What the program says of itself: every field of `when` (a path into the JSON, as `details.command`) has to fit. */
const OwnRule = z
  .strictObject({
    when: z.record(z.string(), Pattern),
    state: z.enum(["working", "idle", "waiting"]),
    reason: WaitingFor.optional(),
    /** Where the text stands that says what it waits for. */
    text: z.string().optional(),
    /** Where the answer stands with which a turn ends. */
    answer: z.string().optional(),
    /** A turn of the program begins or goes on here: it can be told of mail. */
    mail: z.boolean().optional(),
    /** It has begun, is about to lose its context, or has ended its turn. */
    moment: z.enum(["start", "compact", "end"]).optional(),
  })
  .refine(
    (rule) => (rule.state === "waiting") === (rule.reason !== undefined),
    "waiting, and nothing else, has a reason",
  );

/** A file in which the program keeps its state, one per process, written anew at each change. */
const StateFile = z.strictObject({
  /** The folder, from a variable of the process, else from its HOME. */
  folder: z.strictObject({ variable: z.string(), default: z.string() }),
  /** In the folder; `{pid}` is the process. */
  file: z.string(),
  /** Field with the start of the process in clock ticks, as /proc says it: a number alone may be somebody else's later. */
  started: z.string().optional(),
  /** Field with the moment of the last change, milliseconds since 1970. */
  at: z.string(),
  rules: z.array(OwnRule).min(1),
});

/** A file of JSON lines that the program holds open and writes to as it works. The last line that fits decides. */
const Transcript = z.strictObject({
  /** What the path of the open file looks like. */
  path: Pattern,
  /** Field with the moment of a line, RFC 3339. */
  at: z.string(),
  rules: z.array(OwnRule).min(1),
});

const Profile = z.strictObject({
  profile: z.string(),
  /** Commands that are this program. */
  programs: z.array(z.string()),
  /** What a plan or `register` calls it, in small letters. */
  types: z.array(z.string()),
  /** Where it is typed: `prompt` is what stands before the text, `pasted` what the program shows for a long paste. */
  composer: z.strictObject({ prompt: Pattern, pasted: Pattern.optional() }).optional(),
  state_file: StateFile.optional(),
  /** For what its hooks report; the first rule that fits decides. */
  hooks: z.array(OwnRule).optional(),
  transcript: Transcript.optional(),
  rules: z.array(Rule),
});

/** How the screens of one program are read: data, so that a new version of the program needs no new version of bosun. */
export type Profile = z.output<typeof Profile>;
export type OwnRule = z.output<typeof OwnRule>;

export const GENERIC = "generic";

/** Profiles by name from the YAML files of `folders`; a later one replaces an earlier of its name. Throws with file and fault. */
export function readProfiles(folders: readonly string[]): Map<string, Profile> {
  const found = new Map<string, Profile>();
  for (const folder of folders) {
    for (const name of readdirSync(folder).filter((each) => each.endsWith(".yaml"))) {
      const file = join(folder, name);
      const checked = Profile.safeParse(parse(readFileSync(file, "utf8")));
      if (!checked.success) throw new Error(`${file}: ${z.prettifyError(checked.error)}`);
      found.set(checked.data.profile, checked.data);
    }
  }
  return found;
}

/** The profile somebody asked for, else the one of the agent's type or of the command, else the generic one. */
export function profileFor(
  profiles: ReadonlyMap<string, Profile>,
  wanted: { profile: string | null; type: string | null; run: string | null },
): Profile {
  const named = wanted.profile === null ? undefined : profiles.get(wanted.profile);
  if (named) return named;
  const all = [...profiles.values()];
  const words = (wanted.run ?? "").split(/\s+/).map((word) => word.split("/").at(-1) ?? "");
  const program = words.find((word) => word !== "" && !/^(\w+=.*|env|exec|npx|node)$/.test(word));
  return (
    all.find((each) => program !== undefined && each.programs.includes(program)) ??
    all.find((each) => wanted.type !== null && each.types.includes(wanted.type.toLowerCase())) ??
    profiles.get(GENERIC) ?? { profile: GENERIC, programs: [], types: [], rules: [] }
  );
}
