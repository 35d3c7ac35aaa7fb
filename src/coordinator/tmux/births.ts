import type { PaneBirth, SessionBirth } from "./port.ts";
import { type Command, literal, sessionName } from "./words.ts";

/**
 * The commands that make one session, for one list: tmux runs a list without a pause and drops the rest of it when one
 * fails. The marks stand right behind the birth, so there is no moment at which the session is not known to be ours.
 * The first command prints `<session id> <pane id>`.
 *
 * Right after `new-session -d`, `new-window` and `split-window` the new thing is the current one of its session, so `=NAME:`
 * means just it; no index is ever used, a user's base-index would change what it means.
 */
export function birthCommands(birth: SessionBirth, coordinator: string | null = null): Command[] {
  const name = sessionName(birth.name);
  const here = `=${name}:`;
  const { columns, rows } = birth.size;
  const { town, id, epoch, shape } = birth.marks;
  const [first, ...others] = birth.windows;
  const firstPane = first!.panes[0]!;
  return [
    [
      "new-session",
      "-d",
      "-P",
      "-F",
      "#{session_id} #{pane_id}",
      "-x",
      String(columns),
      "-y",
      String(rows),
      "-s",
      name,
      "-n",
      literal(first!.name, "the window's name"),
      ...paneWords(firstPane),
    ],
    ["set-option", "-t", here, "@town", town],
    ...(coordinator === null ? [] : [["set-option", "-t", here, "@coordinator", coordinator]]),
    ["set-option", "-t", here, "@id", id],
    ["set-option", "-t", here, "@epoch", String(epoch)],
    ["set-option", "-t", here, "@shape", shape],
    ...windowCommands(birth, first!, here),
    ...others.flatMap((window): Command[] => [
      ["new-window", "-t", here, "-n", literal(window.name, "the window's name"), ...paneWords(window.panes[0]!)],
      ...windowCommands(birth, window, here),
    ]),
    ...(others.length > 0 ? [["select-window", "-t", `=${name}:^`]] : []),
  ];
}

function windowCommands(birth: SessionBirth, window: SessionBirth["windows"][number], here: string): Command[] {
  const [first, ...others] = window.panes;
  const layout = window.layout ?? "tiled";
  return [
    ["set-option", "-w", "-t", here, "@home", birth.marks.id],
    ["set-option", "-w", "-t", here, "remain-on-exit", "on"],
    // Per window only: as a global option `window-size manual` crashes tmux 3.3a. resize-window sets it for this window.
    ...(birth.sizing === "fixed"
      ? [["resize-window", "-t", here, "-x", String(birth.size.columns), "-y", String(birth.size.rows)]]
      : []),
    ...paneMarks(first!, here),
    ...others.flatMap((pane, index): Command[] => [
      ["split-window", "-t", here, ...paneWords(pane)],
      ...paneMarks(pane, here),
      // A split halves the pane it splits; evened out, there is room for the next.
      ...(index < others.length - 1 ? [["select-layout", "-t", here, "tiled"]] : []),
    ]),
    ...(others.length > 0 ? [["select-layout", "-t", here, isKept(layout) ? "tiled" : layout]] : []),
    ...(others.length > 0 && window.panes.at(-1)!.title !== "command"
      ? [["select-pane", "-t", `${here}.{top-left}`]]
      : []),
  ];
}

/** A layout string a person left behind may no longer fit; it is tried apart, so that nothing else depends on it. */
export function keptLayouts(birth: SessionBirth): { window: number; layout: string }[] {
  return birth.windows.flatMap((window, index) =>
    window.layout !== null && isKept(window.layout) && window.panes.length > 1
      ? [{ window: index, layout: window.layout }]
      : [],
  );
}

function isKept(layout: string): boolean {
  return /^[0-9a-f]{4},/.test(layout);
}

function paneMarks(pane: PaneBirth, here: string): Command[] {
  return [
    ["set-option", "-p", "-t", here, "@slot", pane.slot],
    ["select-pane", "-t", here, "-T", literal(pane.title, "the pane's title")],
  ];
}

/** Folder, environment, and the program with its arguments: run as the pane's own process. */
export function paneWords(pane: Omit<PaneBirth, "slot" | "title">): string[] {
  return [
    "-c",
    literal(pane.cwd, "the folder"),
    ...Object.entries(pane.env).flatMap(([key, value]) => ["-e", `${key}=${value}`]),
    "--",
    ...pane.argv,
  ];
}
