import { toErrorBody } from "../../../protocol/error.ts";
import { ID_PATTERN } from "../../../protocol/id.ts";
import { RESERVED_NAMES } from "../../../protocol/labels.ts";
import { formatName, identityOf, schemeOf, tmuxRewrites } from "../../../protocol/names.ts";
import type { TownRole } from "./town-roles.ts";

const GASTOWN = schemeOf("gastown");

/** Who a session of the town is, in the words of the floor plan. */
export interface Who {
  role: TownRole;
  town: string;
  /** Null for the roles of the town. */
  rig: string | null;
  /** Crew or polecat; "" for the others. */
  name: string;
}

/** The session name of `names: gastown`. Throws BAD_NAME. */
export function sessionNameOf({ role, town, rig, name }: Who): string {
  return formatName(GASTOWN, identityOf(GASTOWN, role, { town, rig: rig ?? "", name }));
}

/**
 * `wanted`, or the nearest to it that `whoWith` makes sessions of which all have a name, and that `taken` does not hold; null
 * when there is none. `why` says what is wrong with `wanted`; null when it is taken as it is.
 */
export function nameNear(
  wanted: string,
  taken: ReadonlySet<string>,
  whoWith: (name: string) => Who[],
): { name: string; why: string | null } | null {
  const problem = (name: string): string | null => {
    if (!ID_PATTERN.test(name) || name.startsWith("x-")) return "letters, digits and _ make a name";
    if (name in Object.prototype || RESERVED_NAMES.has(name)) return "the word has a meaning of its own";
    if (taken.has(name)) return "another has the name";
    try {
      for (const who of whoWith(name)) sessionNameOf(who);
      return null;
    } catch (error) {
      return toErrorBody(error).why ?? "no session can be called after it";
    }
  };
  const why = problem(wanted);
  if (why === null) return { name: wanted, why };
  const plain = wanted.replace(/[^A-Za-z0-9_]+/g, "_").replace(/^_+|_+$/g, "");
  const short = plain.slice(0, 24);
  const candidates = [plain, short, ...Array.from({ length: 98 }, (_, count) => `${short}_${count + 2}`)];
  const name = plain === "" ? undefined : candidates.find((each) => problem(each) === null);
  return name === undefined ? null : { name, why };
}

/**
 * What a session may be called on the tmux server, the likeliest first: after its role file, as Gas Town names them today, with
 * the rig in the name as before, and as the floor plan will. Words are those of the town's own files.
 */
export function formerNames(
  who: Who,
  own: { town: string; rig: string; name: string; prefix: string; pattern: string | undefined },
): string[] {
  const { role } = who;
  const { rig, name, prefix } = own;
  const tail = role === "crew" ? `crew-${name}` : role === "polecat" ? name : role;
  const today =
    who.rig === null
      ? [`hq-${role}`, ...(role === "boot" ? ["gt-boot"] : []), `${own.town}-${role}`]
      : [`${prefix}-${tail}`, `gt-${rig}-${tail}`, `${prefix}-${rig}-${tail}`];
  const named = own.pattern === undefined ? [] : [expandWords(own.pattern, { ...own, role })];
  return [...new Set([...named, ...today, sessionNameOf(who)].map(tmuxRewrites))].filter(
    (each) => /^[^\p{C}]{1,200}$/u.test(each) && !/[{}<>]/.test(each),
  );
}

/** `{rig}` and the like in a role file; words nobody knows stay. */
export function expandWords(
  text: string,
  words: { town: string; rig: string; name: string; prefix: string; role: string; root?: string },
): string {
  const known: Record<string, string> = {
    town: words.root ?? words.town,
    town_name: words.town,
    rig: words.rig,
    name: words.name,
    prefix: words.prefix,
    role: words.role,
  };
  return text.replace(/\{([a-z_]+)\}/g, (whole, word: string) => (Object.hasOwn(known, word) ? known[word]! : whole));
}
