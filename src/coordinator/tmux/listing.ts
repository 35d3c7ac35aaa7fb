import type { PaneId, SessionId, TmuxPane, TmuxSession, TmuxWindow, WindowId, World } from "./port.ts";
import type { Command } from "./words.ts";

/** A user option only if it is made of harmless characters: anybody can set one, also with a line feed in it. */
const option = (name: string): string => `#{?#{m/r:^[A-Za-z0-9_./-]+$,#{${name}}},#{${name}},}`;

const SESSION_FORMAT = [
  "#{session_id}",
  "#{session_created}",
  option("@town"),
  option("@id"),
  option("@epoch"),
  option("@shape"),
  "#{session_name}",
].join("\t");
const WINDOW_FORMAT = [
  "#{session_id}",
  "#{window_id}",
  "#{window_index}",
  "#{window_width}",
  "#{window_height}",
  "#{window_linked_sessions}",
  option("@home"),
  "#{window_layout}",
  "#{window_name}",
].join("\t");
const PANE_FORMAT = [
  "#{window_id}",
  "#{pane_id}",
  "#{pane_pid}",
  "#{pane_dead}",
  "#{pane_dead_status}",
  "#{pane_dead_signal}",
  "#{pane_in_mode}",
  "#{pane_width}",
  "#{pane_height}",
  option("@slot"),
  "#{pane_title}",
].join("\t");
const CLIENT_FORMAT = ["#{client_control_mode}", "#{client_activity}", "#{session_id}"].join("\t");

/** Everything in one question; ids and numbers first, the one field others choose last. */
export function listing(control: string): readonly Command[] {
  // What is heard hangs in our own session too: twice the lines, and nothing new in them.
  // Nor those of other towns' coordinators: they show nothing that is not shown elsewhere.
  const others = ["-f", `#{&&:#{!=:#{session_name},${control}},#{?#{@bosun-control},0,1}}`];
  const seen = ["-f", `#{||:#{==:#{session_name},${control}},#{?#{@bosun-control},0,1}}`];
  return [
    ["list-sessions", ...seen, "-F", SESSION_FORMAT],
    ["list-windows", "-a", ...others, "-F", WINDOW_FORMAT],
    ["list-panes", "-a", ...others, "-F", PANE_FORMAT],
    ["list-clients", "-F", CLIENT_FORMAT],
  ];
}

const SESSION = /^(\$\d+)\t(\d+)\t([^\t]*)\t([^\t]*)\t(\d*)\t([^\t]*)\t([^\t]*)$/;
const WINDOW = /^(\$\d+)\t(@\d+)\t(\d+)\t(\d+)\t(\d+)\t(\d+)\t([^\t]*)\t([0-9a-z,x[\]{}]*)\t([^\t]*)$/;
const PANE = /^(@\d+)\t(%\d+)\t(\d+)\t([01])\t(\d*)\t(\d*)\t([01])\t(\d+)\t(\d+)\t(\d+\.\d+)?\t(.*)$/;
const CLIENT = /^([01])\t(\d+)\t(\$\d+)$/;

/** A line that is not exactly of its form is no record: it is part of somebody's text. */
export function worldOf(
  blocks: string[][],
  server: { id: string; pid: number; version: string },
  control: string,
): World {
  const [sessionLines, windowLines, paneLines, clientLines] = blocks as [string[], string[], string[], string[]];
  const panes = new Map<string, Map<string, TmuxPane>>();
  for (const line of paneLines) {
    const found = PANE.exec(line);
    if (!found) continue;
    const [, window, id, pid, dead, status, signal, inMode, columns, rows, slot, title] = found as unknown as string[];
    const of = panes.get(window!) ?? new Map<string, TmuxPane>();
    of.set(id!, {
      id: id as PaneId,
      slot: slot || null,
      pid: Number(pid),
      dead: dead === "1",
      exit: dead === "1" ? exitOf(status!, signal!) : null,
      title: title!,
      inMode: inMode === "1",
      columns: Number(columns),
      rows: Number(rows),
    });
    panes.set(window!, of);
  }
  const windows = new Map<string, TmuxWindow[]>();
  for (const line of windowLines) {
    const found = WINDOW.exec(line);
    if (!found) continue;
    const [, session, id, index, columns, rows, linked, home, layout, name] = found as unknown as string[];
    const window: TmuxWindow = {
      id: id as WindowId,
      index: Number(index),
      name: name!,
      layout: layout!,
      columns: Number(columns),
      rows: Number(rows),
      linked: Number(linked),
      home: home || null,
      panes: [...(panes.get(id!)?.values() ?? [])],
    };
    windows.set(session!, [...(windows.get(session!) ?? []), window]);
  }
  const people = new Map<string, number>();
  for (const line of clientLines) {
    const found = CLIENT.exec(line);
    if (found && found[1] === "0") people.set(found[3]!, (people.get(found[3]!) ?? 0) + 1);
  }
  const sessions = sessionLines.flatMap((line): TmuxSession[] => {
    const found = SESSION.exec(line);
    if (!found) return [];
    const [, id, created, town, planId, epoch, shape, name] = found as unknown as string[];
    if (name === control) return [];
    const marks = town && planId && epoch ? { town, id: planId, epoch: Number(epoch), shape: shape! } : null;
    return [
      {
        id: id as SessionId,
        name: name!,
        createdAtS: Number(created),
        attached: people.get(id!) ?? 0,
        marks,
        windows: windows.get(id!) ?? [],
      },
    ];
  });
  return { server: server.id, serverPid: server.pid, version: server.version, atMs: performance.now(), sessions };
}

/** A pane that was killed has a signal and no status, one that ended by itself the other way round; neither: not known yet. */
function exitOf(status: string, signal: string): string | null {
  if (signal !== "" && signal !== "0") return `signal ${signal}`;
  return status === "" ? null : `exit ${status}`;
}
