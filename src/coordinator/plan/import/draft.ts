import { basename } from "node:path";
import { stringify } from "yaml";
import { whyBadName } from "../../../protocol/names.ts";
import { sanitise } from "../../../protocol/text.ts";

/** Something of the imported file that the floor plan does not have. */
export interface Dropped {
  /** Of several files the one it stands in, or the folder that it is; left out when a single file is read. */
  file?: string;
  /** As in the file, with the way to it: `windows.editor.options`. */
  key: string;
  /** Counts from 1; null for a folder. */
  line: number | null;
  why: string;
}

export interface Imported {
  /** A whole floorplan.yaml, with what was dropped as comments at its top. */
  yaml: string;
  dropped: Dropped[];
  /** What to do with the plan now, a command each, with why; left out when there is nothing to say. */
  next?: { run: string; why: string }[];
}

export interface DraftPane {
  title?: string;
  cwd?: string;
  env?: Record<string, string>;
  run: string;
}

export interface DraftWindow {
  name: string;
  layout?: string;
  panes: DraftPane[];
}

/** A session of the floor plan being written; either `run` or `windows`. */
export interface DraftSession {
  role?: string;
  name?: string;
  about: string;
  was?: string[];
  protect?: true;
  start?: "manual";
  after?: string[];
  cwd?: string;
  env?: Record<string, string>;
  env_pass?: string[];
  health?: { silence: string };
  restart: "never" | "on-failure" | "always";
  run?: string;
  windows?: DraftWindow[];
}

export interface Draft {
  /** `tmuxp`, `tmuxinator`, `Procfile`, `gastown`. */
  kind: string;
  file: string;
  socket: string | null;
  town?: string;
  names?: string;
  defaults?: { env: Record<string, string> };
  sessions: Record<string, DraftSession>;
  rigs?: Record<string, DraftRig>;
}

export interface DraftRig {
  about?: string;
  path: string;
  prefix?: string;
  sessions: Record<string, DraftSession>;
}

/** The text of the floor plan, what was dropped listed first. */
export function writePlan(draft: Draft, dropped: Dropped[]): Imported {
  // What comes from several files is told file by file, as it was read.
  const sorted = dropped.toSorted((left, right) => (left.file || right.file ? 0 : left.line! - right.line!));
  const notes = sorted.map((each) => `#   ${placeOf(each)}: ${oneLine(each.key)} — ${oneLine(each.why)}`);
  const head = [
    "# yaml-language-server: $schema=./floorplan.schema.json",
    "#",
    `# Imported from ${oneLine(basename(draft.file))} (${draft.kind}). Commands are the panes' own processes; nothing is typed into a shell.`,
    ...(notes.length > 0 ? ["#", "# Not carried over:", ...notes] : []),
  ];
  const plan = {
    version: 1,
    ...(draft.town === undefined ? {} : { town: draft.town }),
    ...(draft.names === undefined ? {} : { names: draft.names }),
    ...(draft.socket === null ? {} : { tmux: { socket: draft.socket } }),
    ...(draft.defaults === undefined ? {} : { defaults: draft.defaults }),
    sessions: draft.sessions,
    ...(draft.rigs === undefined ? {} : { rigs: draft.rigs }),
  };
  return { yaml: `${head.join("\n")}\n\n${stringify(plan, { lineWidth: 0 })}`, dropped: sorted };
}

function placeOf({ file, line }: Dropped): string {
  if (file === undefined) return `line ${line}`;
  return line === null ? oneLine(file) : `${oneLine(file)}:${line}`;
}

function oneLine(text: string): string {
  return sanitise(text).replace(/\s+/g, " ").trim();
}

/**
 * `wanted` as a session or window id: what is not a letter, a digit, `_` or `-` becomes a hyphen. When nothing useful
 * is left, or a word that JavaScript objects are born with (`__proto__`), `instead`.
 */
export function idFrom(wanted: string, instead: string): string {
  const id = wanted
    .replace(/[^A-Za-z0-9_]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 64);
  return whyBadName(id) || id in Object.prototype ? instead : id;
}

/** `id`, or the first of `id-2`, `id-3` … that `taken` does not hold. */
export function freeId(id: string, taken: ReadonlySet<string>): string {
  if (!taken.has(id)) return id;
  for (let count = 2; ; count++) {
    const next = `${id.slice(0, 58)}-${count}`;
    if (!taken.has(next)) return next;
  }
}

/** What a session is called when its file does not say: after the file. */
export function idFromFile(file: string): string {
  return idFrom(basename(file).replace(/\.(ya?ml|json)$/i, ""), "imported");
}

/** What an imported session says about itself until somebody says better. */
export function aboutImport(file: string): string {
  return `Imported from ${basename(file).replace(/[<>]/g, "")}; say what it is for`;
}

/** A pane that is just a shell. */
export const PLAIN_SHELL = 'exec "$SHELL"';

/**
 * Commands that used to be typed into a shell, as the process of a pane which is that shell again afterwards. One shell
 * runs them all, so `cd`, `export` and `source` last. The trap lets Ctrl-C end a command without ending the pane; exec
 * takes it away again.
 */
export function thenShell(commands: string[]): string {
  if (commands.length === 0) return PLAIN_SHELL;
  return `exec "$SHELL" -ic ${quoted(["trap : INT", ...commands, PLAIN_SHELL].join("\n"))}`;
}

/**
 * One word for a POSIX shell. `<word>` would be filled in by the floor plan; an empty pair of quotes inside it keeps it
 * as it is.
 */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''").replace(/<(?=[A-Za-z])/g, "<''")}'`;
}

/** `program` as a pane's process, unchanged unless the floor plan would fill something in. */
export function asProcess(program: string): string {
  return holdsPlaceholder(program) ? `exec sh -c ${quoted(program)}` : program;
}

/** Whether the floor plan would fill something in. */
export function holdsPlaceholder(text: string): boolean {
  return /<[A-Za-z][^<>]*>/.test(text);
}
