import { isMap } from "yaml";
import {
  aboutImport,
  asProcess,
  type DraftPane,
  type DraftSession,
  type DraftWindow,
  freeId,
  type Imported,
  idFrom,
  idFromFile,
  PLAIN_SHELL,
  thenShell,
  writePlan,
} from "./draft.ts";
import { folderOf } from "./folder.ts";
import { type Entry, layoutOf, Source, socketOf, textOf } from "./source.ts";

/** Why a key of a tmuxp file has no place in a floor plan. Keys that stand here are not looked at otherwise. */
const WHY_DROPPED: ReadonlyMap<string, string> = new Map([
  ["options", "set tmux options in a file named by `tmux.config`"],
  ["options_after", "set tmux options in a file named by `tmux.config`"],
  ["global_options", "set tmux options in a file named by `tmux.config`"],
  ["window_index", "windows keep the order of the file"],
  ["focus", "people choose their own window and pane"],
  ["suppress_history", "nothing is typed, so nothing lands in a history"],
  ["automatic_rename", "a window keeps its name"],
  ["plugins", "tmuxp's plugins run inside tmuxp"],
  ["before_script", "run it before `bosun up`"],
  ["if", "there are no conditions; this is always started"],
  ["synchronize", "panes are not synchronised; write to several with `bosun send`"],
  ["enable_pane_titles", "set tmux options in a file named by `tmux.config`"],
  ["pane_title_position", "set tmux options in a file named by `tmux.config`"],
  ["pane_title_format", "set tmux options in a file named by `tmux.config`"],
  ["on_project_start", "run it before `bosun up`"],
  ["on_project_restart", "run it before `bosun up`"],
  ["on_project_exit", "run it after `bosun down`"],
  ["on_project_stop", "run it after `bosun down`"],
  ["sleep_before", "nothing is typed, so nothing has to be waited for"],
  ["sleep_after", "nothing is typed, so nothing has to be waited for"],
]);

function dropOther(source: Source, entry: Entry): void {
  source.drop(entry, WHY_DROPPED.get(entry.key) ?? "the floor plan has nothing like it");
}

/** What a session or window hands down to its panes. */
interface Inherited {
  cwd: string | undefined;
  before: string[];
  /** `window_shell`: the program of panes that name none. */
  shell: string | null;
}

/**
 * A tmuxp workspace, YAML or JSON, as a floor plan. Throws PLAN_INVALID when the text is no YAML.
 */
export function importTmuxp(text: string, file: string): Imported {
  const source = new Source(text, file);
  const session: DraftSession = { about: aboutImport(file), restart: "never" };
  const entries = source.entries(source.root, "");
  let id = idFromFile(file);
  let socket: string | null = null;
  const inherited: Inherited = { cwd: undefined, before: [], shell: null };
  for (const entry of entries) {
    if (entry.key === "session_name") {
      const wanted = textOf(entry.value) ?? "";
      id = idFrom(wanted, id);
      if (id !== wanted) source.drop(entry, `this name cannot be used; the session is called ${id}`);
    } else if (entry.key === "start_directory") inherited.cwd = folderOf(source, entry, undefined) ?? undefined;
    else if (entry.key === "environment") session.env = source.environment(entry);
    else if (entry.key === "shell_command_before") inherited.before = commandsOf(source, entry);
    else if (entry.key === "socket_name") socket = socketOf(source, entry);
    else if (entry.key !== "windows") dropOther(source, entry);
  }
  if (inherited.cwd !== undefined) session.cwd = inherited.cwd;
  const taken = new Set<string>();
  session.windows = entries
    .filter(({ key }) => key === "windows")
    .flatMap(({ value, path }) => source.items(value, path))
    .map((entry, at) => windowOf(source, entry, at + 1, inherited, taken));
  if (session.windows.length === 0) session.windows = [{ name: "main", panes: [{ run: PLAIN_SHELL }] }];
  return writePlan({ kind: "tmuxp", file, socket, sessions: { [id]: session } }, source.dropped);
}

function windowOf(source: Source, window: Entry, number: number, from: Inherited, taken: Set<string>): DraftWindow {
  const inherited = { ...from };
  let name = `window-${number}`;
  let layout: string | null = null;
  let env: Record<string, string> = {};
  const entries = source.entries(window.value, `windows[${number}]`);
  for (const entry of entries) {
    if (entry.key === "window_name") {
      const wanted = textOf(entry.value) ?? "";
      name = freeId(idFrom(wanted, name), taken);
      if (name !== wanted) source.drop(entry, `this name cannot be used; the window is called ${name}`);
    } else if (entry.key === "layout") layout = layoutOf(source, entry);
    else if (entry.key === "start_directory") inherited.cwd = folderOf(source, entry, from.cwd) ?? from.cwd;
    else if (entry.key === "environment") env = source.environment(entry);
    else if (entry.key === "shell_command_before") inherited.before = [...from.before, ...commandsOf(source, entry)];
    else if (entry.key === "window_shell") inherited.shell = textOf(entry.value)?.trim() || null;
    else if (entry.key !== "panes") dropOther(source, entry);
  }
  taken.add(name);
  const panes = entries
    .filter(({ key }) => key === "panes")
    .flatMap(({ value, path }) => source.items(value, path))
    .map((entry) => paneOf(source, entry, inherited, env));
  if (panes.length === 0) panes.push(paneOf(source, { ...window, value: null }, inherited, env));
  return {
    name,
    ...(layout === null ? {} : { layout }),
    // The session's own folder need not be repeated.
    panes: panes.map(({ cwd, ...pane }) => (cwd === undefined || cwd === from.cwd ? pane : { cwd, ...pane })),
  };
}

function paneOf(source: Source, pane: Entry, from: Inherited, windowEnv: Record<string, string>): DraftPane {
  let { cwd, shell } = from;
  let title: string | null = null;
  let env = windowEnv;
  let commands: string[] = [];
  const before = [...from.before];
  if (!isMap(pane.value)) commands = commandsOf(source, pane).filter((command) => !BLANK_WORDS.includes(command));
  const entries = source.entries(pane.value, pane.path);
  const typedOnly = entries.some(({ key, value }) => key === "enter" && textOf(value) === "false");
  for (const entry of entries) {
    if (entry.key === "shell_command" && typedOnly)
      source.drop(entry, "it is typed without Enter; nothing is typed here");
    else if (entry.key === "shell_command") commands = commandsOf(source, entry);
    else if (entry.key === "shell_command_before") before.push(...commandsOf(source, entry));
    else if (entry.key === "start_directory") cwd = folderOf(source, entry, cwd) ?? cwd;
    else if (entry.key === "environment") env = { ...env, ...source.environment(entry) };
    else if (entry.key === "title") title = textOf(entry.value);
    else if (entry.key === "shell") shell = textOf(entry.value)?.trim() || null;
    else if (entry.key !== "enter") dropOther(source, entry);
  }
  if (shell !== null && [...before, ...commands].length > 0)
    source.drop(pane, `its commands are typed into ${shell}; nothing is typed here`);
  return {
    ...(title === null ? {} : { title: idFrom(title, "pane") }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(Object.keys(env).length === 0 ? {} : { env }),
    run: shell === null ? thenShell([...before, ...commands]) : asProcess(shell),
  };
}

/** How tmuxp spells a pane without a command, besides nothing at all. */
const BLANK_WORDS = ["pane", "blank"];

/** The commands of a `shell_command`: one, a list, or `{ cmd }` maps. Empty ones are a bare Enter and vanish. */
function commandsOf(source: Source, entry: Entry): string[] {
  return source.items(entry.value, entry.path).flatMap((item) => {
    const parts = source.entries(item.value, item.path);
    for (const part of parts.filter(({ key }) => key !== "cmd" && key !== "enter")) dropOther(source, part);
    const typedOnly = parts.find(({ key, value }) => key === "enter" && textOf(value) === "false");
    if (typedOnly) source.drop(typedOnly, "the command is typed without Enter; nothing is typed here");
    const text = isMap(item.value) ? textOf(parts.find(({ key }) => key === "cmd")?.value) : textOf(item.value);
    return typedOnly || text === null || text.trim() === "" ? [] : [text];
  });
}
