import { isMap, isSeq } from "yaml";
import {
  aboutImport,
  type DraftPane,
  type DraftSession,
  type DraftWindow,
  type Dropped,
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

/** Stands in for `<%= … %>` while the YAML is read; a value that holds it is dropped. */
const ERB_MARK = "__erb__";

/** Keys of old versions and what they are called now. */
const RENAMED: ReadonlyMap<string, string> = new Map([
  ["project_name", "name"],
  ["project_root", "root"],
  ["cli_args", "tmux_options"],
  ["tabs", "windows"],
  ["pre_tab", "pre_window"],
]);

const WHY_DROPPED: ReadonlyMap<string, string> = new Map([
  ["pre", "it runs once, before the session; run it before `bosun up`"],
  ["post", "it runs once, after tmux is left; run it yourself"],
  ["on_project_start", "run it before `bosun up`"],
  ["on_project_first_start", "run it before `bosun up`"],
  ["on_project_restart", "run it before `bosun up`"],
  ["on_project_exit", "run it after `bosun down`"],
  ["on_project_stop", "run it after `bosun down`"],
  ["startup_window", "people choose their own window and pane"],
  ["startup_pane", "people choose their own window and pane"],
  ["attach", "`bosun up` never attaches; `bosun attach NAME` does"],
  ["synchronize", "panes are not synchronised; write to several with `bosun send`"],
  ["enable_pane_titles", "set tmux options in a file named by `tmux.config`"],
  ["pane_title_position", "set tmux options in a file named by `tmux.config`"],
  ["pane_title_format", "set tmux options in a file named by `tmux.config`"],
  ["tmux_options", "set tmux options in a file named by `tmux.config`"],
  ["tmux_command", "bosun runs tmux itself"],
  ["socket_path", "a socket has a name here: `tmux.socket`"],
  ["partials", "import the other files by themselves, then name them under `include`"],
]);

function dropOther(source: Source, entry: Entry): void {
  source.drop(entry, WHY_DROPPED.get(entry.key) ?? "the floor plan has nothing like it");
}

/**
 * A tmuxinator project as a floor plan. Ruby in it (`<% … %>`) is not run: whole lines of it vanish, values with it are
 * dropped, and both are listed. Throws PLAN_INVALID when the rest is no YAML.
 */
export function importTmuxinator(text: string, file: string): Imported {
  const erb = withoutErb(text);
  const source = new Source(erb.text, file);
  source.dropped.push(...erb.dropped);
  const session: DraftSession = { about: aboutImport(file), restart: "never" };
  const entries = source
    .entries(source.root, "")
    .map((entry) => ({ ...entry, key: RENAMED.get(entry.key) ?? entry.key }));
  let id = idFromFile(file);
  let socket: string | null = null;
  const before: string[] = [];
  for (const entry of entries) {
    const value = plainText(source, entry);
    if (entry.key === "name") {
      if (value !== null) id = idFrom(value, id);
      if (value !== null && id !== value) source.drop(entry, `this name cannot be used; the session is called ${id}`);
    } else if (entry.key === "root") {
      const cwd = value === null ? null : folderOf(source, entry, undefined);
      if (cwd !== null) session.cwd = cwd;
    } else if (entry.key === "socket_name") socket = value === null ? null : socketOf(source, entry);
    else if (entry.key === "pre_window") before.push(...commandsOf(source, entry));
    else if (entry.key === "rbenv" && value !== null) before.push(`rbenv shell ${value}`);
    else if (entry.key === "rvm" && value !== null) before.push(`rvm use ${value}`);
    else if (entry.key === "tmux_options" && /^-L\s*[A-Za-z0-9_-]+$/.test(value ?? ""))
      socket = value!.replace(/^-L\s*/, "");
    else if (entry.key !== "windows") dropOther(source, entry);
  }
  const taken = new Set<string>();
  session.windows = entries
    .filter(({ key }) => key === "windows")
    .flatMap(({ value, path }) => source.items(value, path))
    .map((item, at) => windowOf(source, item, at + 1, before, session.cwd, taken));
  if (session.windows.length === 0) session.windows = [{ name: "main", panes: [{ run: PLAIN_SHELL }] }];
  return writePlan({ kind: "tmuxinator", file, socket, sessions: { [id]: session } }, source.dropped);
}

/** A line (or several) of nothing but a tag, or a tag inside a line. */
const ERB = /^([ \t]*<%(?:(?!%>)[\s\S])*%>[ \t]*)$|<%(?:(?!%>)[\s\S])*%>/gm;

/** The text with every ERB tag replaced on the same lines, and the lines that were nothing else listed. */
function withoutErb(text: string): { text: string; dropped: Dropped[] } {
  const dropped: Dropped[] = [];
  const replaced = text.replace(ERB, (tag, wholeLine: string | undefined, at: number) => {
    const breaks = tag.replace(/[^\n]/g, "");
    if (wholeLine === undefined && tag.startsWith("<%=")) return ERB_MARK + breaks;
    const line = text.slice(0, at).split("\n").length;
    dropped.push({ key: tag.trim().split("\n")[0]!.slice(0, 60), line, why: "Ruby is not run by an import" });
    return breaks;
  });
  return { text: replaced, dropped };
}

/** A scalar without Ruby in it; one with Ruby is noted and gone. */
function plainText(source: Source, entry: Entry): string | null {
  const text = textOf(entry.value);
  if (!text?.includes(ERB_MARK)) return text;
  source.drop(entry, "Ruby is not run by an import; write the value itself");
  return null;
}

/** A window: `name:` with nothing, a command, a list of commands for one pane, or a map; or just a name. */
function windowOf(
  source: Source,
  item: Entry,
  number: number,
  before: string[],
  root: string | undefined,
  taken: Set<string>,
): DraftWindow {
  const [window = { ...item, key: textOf(item.value) ?? "", value: null }, ...others] = source.entries(
    item.value,
    item.path,
  );
  for (const other of others) source.drop(other, "one entry of `windows` names one window");
  const name = freeId(idFrom(window.key.replaceAll(ERB_MARK, ""), `window-${number}`), taken);
  if (name !== window.key)
    source.drop(
      { ...window, path: window.key ? `windows.${window.key}` : item.path },
      `this name cannot be used; the window is called ${name}`,
    );
  taken.add(name);
  const path = `windows.${name}`;
  if (!isMap(window.value)) {
    const commands = commandsOf(source, { ...window, path });
    return { name, panes: [{ run: thenShell([...before, ...commands]) }] };
  }
  let layout: string | null = null;
  let cwd: string | null = null;
  const own: string[] = [];
  const panes: Entry[] = [];
  for (const entry of source.entries(window.value, path)) {
    if (entry.key === "layout") layout = layoutOf(source, entry);
    else if (entry.key === "root") cwd = plainText(source, entry) === null ? null : folderOf(source, entry, root);
    else if (entry.key === "pre") own.push(...commandsOf(source, entry));
    else if (entry.key === "panes") panes.push(...paneEntries(source, entry));
    else dropOther(source, entry);
  }
  const commands = [...before, ...own];
  const drawn = panes.map((pane) => paneOf(source, pane, commands));
  if (drawn.length === 0) drawn.push({ run: thenShell(commands) });
  return {
    name,
    ...(layout === null ? {} : { layout }),
    panes: drawn.map((pane) => (cwd === null ? pane : { cwd, ...pane })),
  };
}

/** `panes` as a list, or as a map of titles. */
function paneEntries(source: Source, entry: Entry): Entry[] {
  return isMap(entry.value) ? source.entries(entry.value, entry.path) : source.items(entry.value, entry.path);
}

function paneOf(source: Source, pane: Entry, before: string[]): DraftPane {
  if (!isMap(pane.value)) {
    const title = /^\d+$/.test(pane.key) ? {} : { title: idFrom(pane.key, "pane") };
    return { ...title, run: thenShell([...before, ...commandsOf(source, pane)]) };
  }
  const [named, ...others] = source.entries(pane.value, pane.path);
  for (const other of others) source.drop(other, "one entry of `panes` names one pane");
  if (!named) return { run: thenShell(before) };
  return { title: idFrom(named.key, "pane"), run: thenShell([...before, ...commandsOf(source, named)]) };
}

/** One command or a list; empty ones vanish, those with Ruby are noted. */
function commandsOf(source: Source, entry: Entry): string[] {
  return source.items(entry.value, entry.path).flatMap((item) => {
    if (isMap(item.value) || isSeq(item.value)) {
      source.drop(item, "a command is a text; quote it if it holds a colon");
      return [];
    }
    const text = plainText(source, item);
    return text === null || text.trim() === "" ? [] : [text];
  });
}
