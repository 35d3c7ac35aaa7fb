/**
 * What the rest of the coordinator may ask of tmux. Ids only (`$1`, `@2`, `%3`), paired with the server that gave them: ids
 * start again at 0 when a server dies. No text from outside reaches a format, a shell or a control line: the driver escapes.
 */
export type SessionId = string & { readonly __sessionId: true };
export type WindowId = string & { readonly __windowId: true };
export type PaneId = string & { readonly __paneId: true };

/** One listing of a tmux server: everything, taken at one moment. */
export interface World {
  /** `<pid>:<start time>` of the server; ids of another server mean nothing. */
  server: string;
  serverPid: number;
  version: string;
  /** Milliseconds, monotonic clock of this process, when the listing was taken. */
  atMs: number;
  sessions: TmuxSession[];
}

export interface TmuxSession {
  id: SessionId;
  name: string;
  /** Seconds since 1970. */
  createdAtS: number;
  /** People only; control clients do not count. */
  attached: number;
  /** Our marks, or null where there is none. All come from user options set in the same command list as the birth. */
  marks: { town: string; id: string; epoch: number; shape: string } | null;
  windows: TmuxWindow[];
}

export interface TmuxWindow {
  id: WindowId;
  index: number;
  name: string;
  layout: string;
  columns: number;
  rows: number;
  /** Plan id of the session the window was born in, or null for one somebody else made. */
  home: string | null;
  /** In how many sessions the window hangs. */
  linked: number;
  panes: TmuxPane[];
}

export interface TmuxPane {
  id: PaneId;
  /** Declared place `<window index in the plan>.<pane index>`, or null for a pane somebody else made. */
  slot: string | null;
  pid: number;
  dead: boolean;
  /** `exit 7` or `signal 9` of a dead pane; null while it lives, or when tmux never learned it. */
  exit: string | null;
  title: string;
  inMode: boolean;
  columns: number;
  rows: number;
}

/** Column and row, from 0. */
export interface Cursor {
  x: number;
  y: number;
}

/** What must still hold when something is typed: the cursor stands there, and nobody has pressed a key since. */
export interface Untouched {
  cursor: Cursor;
  session: SessionId;
  window: WindowId;
  /** As `lastKeyS` gave it. */
  lastKeyS: number;
}

/** A pane whose screen is wanted, with at most `above` lines of what has scrolled off it. */
export interface WantedPicture {
  pane: PaneId;
  above: number;
  /** Called between the last output that is on the picture and the first that is not. */
  onTaken?: () => void;
}

export interface Picture {
  /** Rows with SGR sequences. */
  lines: string[];
  /** What had scrolled off, oldest first, without attributes. */
  above: string[];
  cursor: Cursor;
  /** The program has asked for the other screen. */
  alternate: boolean;
}

export interface SessionBirth {
  name: string;
  marks: { town: string; id: string; epoch: number; shape: string };
  size: { columns: number; rows: number };
  /** `fixed`: no viewer ever resizes it (agents). `follow`: it takes the size of its person's terminal (views). */
  sizing: "fixed" | "follow";
  windows: {
    name: string;
    layout: string | null;
    panes: PaneBirth[];
  }[];
}

export interface PaneBirth {
  /** Declared place, as in `TmuxPane.slot`. */
  slot: string;
  title: string;
  /** Program and arguments, run as the pane's own process, never typed. */
  argv: string[];
  /** Absolute, existing folder. */
  cwd: string;
  env: Record<string, string>;
}

export type Born = { name: string; id: SessionId; pane: PaneId } | { name: string; error: string };

export type TmuxNotice =
  /** Something about sessions, windows or panes changed; look again. */
  | { kind: "changed" }
  /** Raw bytes a heard pane wrote, UTF-8 or not. */
  | { kind: "output"; pane: PaneId; bytes: Buffer }
  /** The connection went away (`because`), is being made again, or runs on batched captures. */
  | { kind: "connection"; state: "connected" | "reconnecting" | "fallback" | "server-gone"; because: string };

/** How processes are asked to end. `process`: the pane's own first, its children only when it has gone or did not listen. */
export interface StopOptions {
  graceMs?: number;
  signal?: NodeJS.Signals;
  last?: NodeJS.Signals;
  scope?: "tree" | "process";
}

export interface Tmux {
  /** Flags that select the server on a command line, for people and for `exec`: ["-L", "name"]. */
  readonly socketFlags: readonly string[];
  /** How commands travel now. */
  readonly mode: "control" | "fallback" | "off";
  /** Commands sent in groups so far, for benches: one pipelined write that is waited for = 1. */
  readonly roundTrips: number;
  /** Starts the server (clean environment) if none runs, and connects. Throws TMUX_MISSING or UNREACHABLE. */
  connect(): Promise<void>;
  /** Null when no server runs. Throws UNREACHABLE when it cannot be told; that is never "nothing runs". */
  observe(): Promise<World | null>;
  /**
   * Makes sessions, at most `parallel` unanswered at a time, each in one command list: birth, marks, windows, panes,
   * titles, layout, size. A session that fails half-way is taken back. `onBorn` is called as they come.
   */
  start(births: SessionBirth[], options?: { parallel?: number; onBorn?: (born: Born) => void }): Promise<Born[]>;
  /**
   * Ends sessions: the panes' process trees get TERM (shells HUP), after `graceMs` KILL, then the session goes. Windows linked
   * elsewhere are unlinked, never killed. Gives the ids that are gone.
   */
  stop(sessions: SessionId[], options?: StopOptions): Promise<SessionId[]>;
  /**
   * Ends what is left of sessions of this town that have gone: processes that carry their marks and would otherwise run beside
   * those of the next start. Gives how many there were.
   */
  reap(ids: readonly string[], options?: StopOptions): Promise<number>;
  /** Runs a new process in a dead pane's place (or a living one's, with `kill`), keeping pane, title and layout. */
  respawn(pane: PaneId, birth: PaneBirth, options?: { kill?: boolean }): Promise<void>;
  rename(session: SessionId, name: string): Promise<void>;
  /**
   * Makes a session that runs already ours: marks, homes of its windows, places of its panes (window and pane as they stand), dead
   * panes stay to be seen. Its processes notice nothing.
   */
  mark(session: TmuxSession, marks: NonNullable<TmuxSession["marks"]>): Promise<void>;
  /** Text of a pane: the screen and `historyLines` of scrollback above it, without attributes. */
  capture(panes: PaneId[], options?: { historyLines?: number }): Promise<Map<PaneId, string>>;
  /** Screens as they are now, with colours, and where the cursor stands; without panes that are gone. */
  pictures(wanted: readonly WantedPicture[]): Promise<Map<PaneId, Picture>>;
  /**
   * Byte-exact text into a pane, bracketed when the program asked for it; then Enter when `enter`. Control bytes but LF and tab are
   * refused. With `untouched`, only if that holds at that very moment; gives whether it did.
   */
  typeText(pane: PaneId, text: string, options?: { enter?: boolean; untouched?: Untouched }): Promise<boolean>;
  /**
   * Bytes as a terminal would send them: keys, escape sequences, anything. For people who type; nothing checks them. `untouched` as above,
   * for what fits into one command (1,000 bytes).
   */
  typeKeys(pane: PaneId, bytes: Buffer, options?: { untouched?: Untouched }): Promise<boolean>;
  /** How long ago a person pressed a key in a client that shows this session; null = no person attached. */
  sinceHumanKeyMs(session: SessionId): Promise<number | null>;
  /** When somebody last pressed a key in the session, or attached to it, or it began: seconds since 1970. */
  lastKeyS(session: SessionId): Promise<number>;
  /** From now on `output` notices arrive for these windows' panes (and no others). */
  hear(windows: WindowId[]): Promise<void>;
  linkWindow(window: WindowId, into: SessionId, index: number): Promise<void>;
  unlinkWindow(window: WindowId, from: SessionId): Promise<void>;
  setLayout(window: WindowId, layout: string): Promise<void>;
  /** Adds a window to a running session and gives the new window's id. */
  addWindow(
    session: SessionId,
    window: { name: string; index: number; pane: Omit<PaneBirth, "slot"> },
  ): Promise<WindowId>;
  on(listener: (notice: TmuxNotice) => void): () => void;
  /** Leaves this server, where sessions go on, for another; nothing is started there before `connect`. */
  moveTo(server: { socket: string; config: string | null }): Promise<void>;
  /** Leaves tmux; sessions go on. With `ownLast`: takes our control session and settings back. */
  close(): Promise<void>;
}
