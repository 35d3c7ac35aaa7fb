import { BosunError } from "./error.ts";

/**
 * Who a session is. Fields that a kind does not use are empty strings, never missing.
 */
export interface Identity {
  /** `mayor`, `deacon`, `boot`, `witness`, `refinery`, `crew`, `polecat`, `agents`, `view`, `crew-function` … */
  role: string;
  town: string;
  rig: string;
  /** Crew or polecat name, instrument, user. */
  name: string;
}

/**
 * How identities become session names and back: one template per role, tried in this order when a name is read.
 * Plain data, so a floor plan carries it.
 *
 *   hq-<town>-mayor          literals are letters, digits, `_` and `-`; words in `<>` are filled from the identity
 *   agents-<instrument|lower> `|lower`: upper case in the identity (SPX), lower case in the name (agents-spx)
 *   <crew>_<function>        `<town>` and `<rig>` fill their fields; of the other words the last fills `name`, one
 *                            before it fills `rig`. `<role>` stands for the role itself
 *
 * A name is read so that each word reaches to the last hyphen that fits (towns and rigs may hold hyphens), but never over
 * an underscore that follows it in the template (functions may hold underscores).
 */
export interface Scheme {
  /** `floor`, `gastown`, `ship`, or `own`. */
  preset: string;
  templates: Record<string, string>;
  /** Whether names of before the scheme (`hq-mayor`) are understood. They are never produced. */
  legacy: "accept" | "refuse";
}

const PRESETS: Record<string, Record<string, string>> = {
  floor: { agents: "agents-<instrument|lower>", ops: "moo-ops", view: "moo-<user>" },
  gastown: {
    mayor: "hq-<town>-mayor",
    deacon: "hq-<town>-deacon",
    boot: "hq-<town>-boot",
    witness: "gt-<rig>-witness",
    refinery: "gt-<rig>-refinery",
    crew: "gt-<rig>-crew-<name>",
    polecat: "gt-<rig>-<name>",
    dog: "hq-<town>-dog-<name>",
    overseer: "hq-<town>-overseer",
  },
  ship: { "crew-function": "<crew>_<function>" },
};

const DEFAULT_PRESET = "floor";

/** What sessions were called while one machine held one town. */
const LEGACY_NAMES: Record<string, Record<string, string>> = {
  gastown: { "hq-mayor": "mayor", "hq-deacon": "deacon", "gt-boot": "boot" },
};

/** tmux takes longer ones, people and status lines do not; also what an agent's id may be. */
const MAX_NAME_CHARACTERS = 64;

type Field = "town" | "rig" | "name";
const FIELDS: readonly Field[] = ["town", "rig", "name"];
type Piece = { literal: string } | { word: string; field: Field; lower: boolean };

interface Template {
  role: string;
  text: string;
  pieces: Piece[];
  /** Matches a whole name; one group per word, in the order of the pieces. */
  pattern: RegExp;
}

/**
 * The scheme a floor plan's `names` asks for: a preset by name (default `floor`), or templates by role. In a map, `preset`
 * gives the templates to start from and `legacy` says `accept` or `refuse`; every other key is a role.
 * Throws PLAN_INVALID for an unknown preset, a template that is not well formed, or one whose names would be read as
 * another role.
 */
export function schemeOf(names: string | Record<string, string> | undefined): Scheme {
  if (names === undefined || typeof names === "string")
    return { ...presetOf(names ?? DEFAULT_PRESET), legacy: "accept" };
  const { preset, legacy = "accept", ...own } = names;
  if (legacy !== "accept" && legacy !== "refuse")
    throw badScheme(`names.legacy is "${legacy}"`, "it is accept or refuse", "write `legacy: accept` under `names`");
  const onlyPreset = Object.keys(own).length === 0;
  const base =
    preset === undefined && !onlyPreset ? { preset: "own", templates: {} } : presetOf(preset ?? DEFAULT_PRESET);
  // A role of its own goes first: a preset may end in a template that reads nearly everything (gt-<rig>-<name>).
  const scheme: Scheme = { preset: base.preset, templates: { ...own, ...base.templates, ...own }, legacy };
  refuseShadowedTemplates(scheme);
  return scheme;
}

function presetOf(preset: string): { preset: string; templates: Record<string, string> } {
  const templates = Object.hasOwn(PRESETS, preset) ? PRESETS[preset] : undefined;
  if (templates) return { preset, templates: { ...templates } };
  throw badScheme(
    `there is no naming scheme "${preset}"`,
    `the schemes are ${Object.keys(PRESETS).join(", ")}, or templates of your own`,
    "write `names: floor`, or `names: { agents: agents-<name> }`",
  );
}

function badScheme(what: string, why: string, fix: string): BosunError {
  return new BosunError({ code: "PLAN_INVALID", what, why, fix });
}

/** A template whose names an earlier one reads could never be used; better said when the plan is read. */
function refuseShadowedTemplates(scheme: Scheme): void {
  const sample: Record<Field, string> = { town: "T1", rig: "R2", name: "N3" };
  for (const template of compile(scheme)) {
    const identity = identityOf(scheme, template.role, sample);
    const text = render(template, identity);
    const read = parseName(scheme, text);
    if (read && sameIdentity(read, identity)) continue;
    throw badScheme(
      `the name template of ${template.role}, "${template.text}", cannot be used`,
      read
        ? `its names (${text}) are read as ${describe(read)}`
        : (whyBadName(text) ?? `its names (${text}) cannot be read back`),
      "give it a beginning or an ending of its own, or put it before the other template",
    );
  }
}

const compiled = new WeakMap<Scheme, Template[]>();

function compile(scheme: Scheme): Template[] {
  let templates = compiled.get(scheme);
  if (!templates) {
    templates = Object.entries(scheme.templates).map(([role, text]) => compileTemplate(role, text));
    compiled.set(scheme, templates);
  }
  return templates;
}

const WORDS = ["town", "rig", "role", "name", "instrument", "user", "crew", "function"];

function compileTemplate(role: string, text: string): Template {
  const refuse = (why: string): BosunError =>
    badScheme(
      `the name template of ${role}, "${text}", is not well formed`,
      why,
      "write it like `hq-<town>-mayor` or `moo-<user>`",
    );
  if (!/^[a-z][a-z0-9-]*$/.test(role)) throw refuse("a role is lower-case letters, digits and hyphens");
  if (typeof text !== "string" || text === "") throw refuse("it is empty");
  const parts = text.replaceAll("<role>", role).split(/<([^<>]*)>/);
  const words = parts.filter((_, index) => index % 2 === 1).map((part) => part.split("|")[0]!);
  const free = words.filter((word) => word !== "town" && word !== "rig");
  const pieces = parts.map((part, index): Piece => {
    if (index % 2 === 0) {
      if (!/^[A-Za-z0-9_-]*$/.test(part)) throw refuse(`outside of <…> it may hold letters, digits, _ and - only`);
      return { literal: part };
    }
    const [word = "", modifier] = part.split("|");
    if (!WORDS.includes(word)) throw refuse(`<${part}> is not one of ${WORDS.map((known) => `<${known}>`).join(" ")}`);
    if (modifier !== undefined && modifier !== "lower") throw refuse(`"|${modifier}" is not "|lower"`);
    const fromEnd = free.length - free.indexOf(word);
    const field: Field = word === "town" || word === "rig" ? word : fromEnd === 1 ? "name" : "rig";
    return { word, field, lower: modifier === "lower" };
  });
  const fields = pieces.flatMap((piece) => ("field" in piece ? [piece.field] : []));
  if (free.length > 2 || new Set(fields).size !== fields.length)
    throw refuse("two of its words mean the same part of an identity (town, rig, name)");
  if (pieces.some((piece, at) => at > 0 && at < parts.length - 1 && "literal" in piece && piece.literal === ""))
    throw refuse("two words stand side by side; put - or _ between them");
  return { role, text, pieces, pattern: patternOf(pieces) };
}

function patternOf(pieces: Piece[]): RegExp {
  const source = pieces.map((piece, at) => {
    if ("literal" in piece) return piece.literal;
    const next = pieces[at + 1];
    const stopsAtUnderscore = next !== undefined && "literal" in next && next.literal.startsWith("_");
    const letters = piece.lower ? "a-z0-9" : "A-Za-z0-9";
    const edge = `[${letters}${stopsAtUnderscore ? "" : "_"}]`;
    return `(${edge}(?:[${letters}${stopsAtUnderscore ? "" : "_"}-]*${edge})?)`;
  });
  return new RegExp(`^${source.join("")}$`);
}

function render(template: Template, identity: Identity): string {
  return template.pieces
    .map((piece) => {
      if ("literal" in piece) return piece.literal;
      return piece.lower ? identity[piece.field].toLowerCase() : identity[piece.field];
    })
    .join("");
}

/**
 * The identity of `role` with just the fields that its template uses; the others become empty.
 * Throws BAD_NAME when the scheme has no such role.
 */
export function identityOf(scheme: Scheme, role: string, from: Record<Field, string>): Identity {
  const template = templateOf(scheme, role);
  const used = new Set(template.pieces.flatMap((piece) => ("field" in piece ? [piece.field] : [])));
  const take = (field: Field): string => (used.has(field) ? from[field] : "");
  return { role, town: take("town"), rig: take("rig"), name: take("name") };
}

function templateOf(scheme: Scheme, role: string): Template {
  const template = compile(scheme).find((candidate) => candidate.role === role);
  if (template) return template;
  throw badName(
    `"${role}" is not a role of the naming scheme ${scheme.preset}`,
    `its roles are ${Object.keys(scheme.templates).join(", ")}`,
    "take one of these roles, or give it a template under `names` in the floor plan",
  );
}

/**
 * The session name of an identity. Throws BAD_NAME, with the reason, when a part is missing, unused by the role or holds
 * characters that tmux or a shell would change, or when the name would be read back as somebody else.
 */
export function formatName(scheme: Scheme, identity: Identity): string {
  const template = templateOf(scheme, identity.role);
  const wanted = identityOf(scheme, identity.role, identity);
  for (const field of FIELDS) {
    const value = identity[field];
    const why =
      value === "" && usesField(template, field)
        ? `${identity.role} needs a ${field}`
        : value !== wanted[field]
          ? `${identity.role} has no ${field}; two of them would share one name`
          : value === ""
            ? null
            : whyBadPart(scheme, template, field, value);
    if (why) throw badName(`the ${field} "${value}" cannot be in a session name`, why, `change the ${field}`);
  }
  const text = render(template, identity);
  const fix = "choose another name in the floor plan";
  const why = whyBadName(text);
  if (why) throw badName(`"${text}" cannot be a session name`, why, fix);
  const read = parseName(scheme, text);
  if (read && sameIdentity(read, identity)) return text;
  throw badName(
    `${describe(identity)} cannot have the name "${text}"`,
    read ? `that name is read as ${describe(read)}` : "that name cannot be read back",
    fix,
  );
}

function usesField(template: Template, field: Field): boolean {
  return template.pieces.some((piece) => "field" in piece && piece.field === field);
}

function whyBadPart(scheme: Scheme, template: Template, field: Field, value: string): string | null {
  const why = whyBadCharacters(value);
  if (why) return why;
  if (/^-|-$/.test(value)) return "it begins or ends with a hyphen";
  if (field === "name" && Object.hasOwn(scheme.templates, value)) return `"${value}" is a role of this scheme`;
  const lowered = template.pieces.some((piece) => "field" in piece && piece.field === field && piece.lower);
  if (lowered && value !== value.toUpperCase())
    return `names hold it in lower case, so it is written in upper case here (${value.toUpperCase()})`;
  return null;
}

/**
 * Who a session name belongs to, or null when no template of the scheme reads it. Never throws: names come from whoever
 * made the session.
 */
export function parseName(scheme: Scheme, text: string): (Identity & { legacy: boolean }) | null {
  if (whyBadName(text)) return null;
  const old = scheme.legacy === "accept" ? roleOfOldName(scheme, text) : null;
  if (old !== null) return { role: old, town: "", rig: "", name: "", legacy: true };
  for (const template of compile(scheme)) {
    const match = template.pattern.exec(text);
    if (!match) continue;
    const identity = { role: template.role, town: "", rig: "", name: "", legacy: false };
    template.pieces
      .filter((piece) => "field" in piece)
      .forEach((piece, at) => {
        const value = match[at + 1]!;
        identity[piece.field] = piece.lower ? value.toUpperCase() : value;
      });
    // No further template is tried: a name of this form that breaks a rule belongs to nobody.
    return Object.hasOwn(scheme.templates, identity.name) ? null : identity;
  }
  return null;
}

/** The role whose sessions were called so while one machine held one town; null for any other name. Such a name is never made. */
export function roleOfOldName(scheme: Scheme, text: string): string | null {
  const names = LEGACY_NAMES[scheme.preset] ?? {};
  return Object.hasOwn(names, text) ? names[text]! : null;
}

function sameIdentity(left: Identity, right: Identity): boolean {
  return left.role === right.role && FIELDS.every((field) => left[field] === right[field]);
}

/** `polecat "alpha" of rig gastown`, for messages. */
function describe(identity: Identity): string {
  return [
    identity.role,
    identity.name && `"${identity.name}"`,
    identity.rig && `of rig ${identity.rig}`,
    identity.town && `of town ${identity.town}`,
  ]
    .filter(Boolean)
    .join(" ");
}

function badName(what: string, why: string, fix: string): BosunError {
  return new BosunError({ code: "BAD_NAME", what, why, fix });
}

/** Why no session may have this name, in words that follow "because", or null when it may. */
export function whyBadName(name: string): string | null {
  const why = whyBadCharacters(name);
  if (why) return why;
  if (name.startsWith("-")) return "a name that begins with - is taken for an option";
  if (name.length > MAX_NAME_CHARACTERS)
    return `it has ${name.length} characters; at most ${MAX_NAME_CHARACTERS} are allowed`;
  if (isGenericName(name)) return "it does not tell what lives inside";
  return null;
}

function whyBadCharacters(text: string): string | null {
  if (text === "") return "it is empty";
  if (/[.:]/.test(text))
    return `tmux would change it to "${tmuxRewrites(text)}": . and : separate parts of its targets`;
  if (/^[=$@%]/.test(text)) return `${text[0]} at the beginning means an exact match or an id in a tmux target`;
  if (/[*?[\]]/.test(text)) return "* ? [ ] are patterns in a tmux target: one name could mean several sessions";
  const other = /[^A-Za-z0-9_-]/u.exec(text);
  if (!other) return null;
  const shown = /[\p{L}\p{N}\p{P}\p{S}]/u.test(other[0]) ? other[0] : JSON.stringify(other[0]);
  return `${shown} is not allowed; names hold letters, digits, _ and -, at most ${MAX_NAME_CHARACTERS}`;
}

/**
 * Names that say nothing about what lives inside: a number, or what a program calls its first session.
 */
export function isGenericName(name: string): boolean {
  return /^(?:session|window|pane|tab|terminal|term|tmux|screen|untitled|unnamed|new)?[-_ ]?\d*$/i.test(name);
}

/**
 * The name tmux 3.3a gives a session that is asked for under `name`: `.` and `:` become `_`, control characters and
 * backslashes are escaped, and so is a `$` before a letter, `_` or `{`.
 */
export function tmuxRewrites(name: string): string {
  return name
    .replace(/[.:]/g, "_")
    .replace(/\\/g, "\\\\")
    .replace(/\$(?=[A-Za-z_{])/g, "\\$")
    .replace(/[\x00-\x1f\x7f]/g, (character) => {
      const known = "\x07a\bb\tt\nn\vv\ff\rr".indexOf(character);
      if (known >= 0) return `\\${"\x07a\bb\tt\nn\vv\ff\rr"[known + 1]}`;
      return `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`;
    });
}

/** Names that would be one session in tmux, each with the labels of those who asked for it. */
export function findClashes(entries: { name: string; label: string }[]): { name: string; labels: string[] }[] {
  const labels = new Map<string, string[]>();
  for (const { name, label } of entries) {
    const stored = tmuxRewrites(name);
    labels.set(stored, [...(labels.get(stored) ?? []), label]);
  }
  return [...labels].filter(([, of]) => of.length > 1).map(([name, of]) => ({ name, labels: of }));
}

const GASTOWN = schemeOf("gastown");
const TOWN_ROLES = Object.keys(GASTOWN.templates).filter((role) => GASTOWN.templates[role] === `hq-<town>-${role}`);

/** `hq-<town>-mayor`. Throws BAD_NAME for a town that cannot be in a name; so do the next two. */
export function mayorSessionName(town: string): string {
  return formatName(GASTOWN, { role: "mayor", town, rig: "", name: "" });
}

export function deaconSessionName(town: string): string {
  return formatName(GASTOWN, { role: "deacon", town, rig: "", name: "" });
}

export function bootSessionName(town: string): string {
  return formatName(GASTOWN, { role: "boot", town, rig: "", name: "" });
}

/** The mayor's name of before several towns shared a machine. For finding such a session, not for making one. */
export function legacyMayorSessionName(): string {
  return "hq-mayor";
}

/**
 * Who a Gas Town session is, from its name alone; old and new forms. Throws BAD_NAME when it is none of them.
 */
export function parseSessionName(name: string): Identity & { legacy: boolean } {
  const identity = parseName(GASTOWN, name);
  if (identity) return identity;
  const roleWord = /^hq-.+-([^-]*)$/.exec(name)?.[1];
  throw badName(
    `"${name}" is not a Gas Town session name`,
    roleWord !== undefined && !TOWN_ROLES.includes(roleWord)
      ? `"${roleWord}" is not a role of a town; these are ${TOWN_ROLES.join(", ")}, and dogs with a name`
      : (whyBadName(name) ??
          "it is neither hq-<town>-<role>, gt-<rig>-<role>, gt-<rig>-crew-<name> nor gt-<rig>-<name>"),
    "list the sessions bosun knows with `bosun ls`",
  );
}

/** Roles of a town that end after everybody else, in this order: Boot before Deacon, because Boot restarts the Deacon. */
export const STOPPED_LAST = ["mayor", "boot", "deacon"];

/**
 * The sessions of a town in the order they are stopped.
 */
export function townSessions(town: string): { label: string; name: string }[] {
  return [
    { label: "Mayor", name: mayorSessionName(town) },
    { label: "Boot", name: bootSessionName(town) },
    { label: "Deacon", name: deaconSessionName(town) },
  ];
}

/**
 * The town a root folder stands for: its last part. Throws BAD_NAME when that cannot be in a session name.
 */
export function townOfRoot(path: string): string {
  const town = path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  const why = whyBadCharacters(town);
  if (!why) return town;
  throw badName(`the folder name "${town}" cannot be a town`, why, "name the town with `town:` in the floor plan");
}
