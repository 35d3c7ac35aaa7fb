import { randomBytes } from "node:crypto";
import { setTimeout as setTimeoutPromise } from "node:timers/promises";
import { BosunError } from "../../protocol/error.ts";
import { birthCommands, keptLayouts, paneWords } from "./births.ts";
import { ControlClient, TmuxRefusal, unreachable } from "./control-client.ts";
import { cleanEnvironment } from "./environment.ts";
import { forkTmux, LEAVING } from "./fork.ts";
import { listing, worldOf } from "./listing.ts";
import { pictureCommands, picturesOf, portionsOf } from "./pictures.ts";
import type {
  Born,
  PaneBirth,
  PaneId,
  Picture,
  SessionBirth,
  SessionId,
  StopOptions,
  Tmux,
  TmuxNotice,
  TmuxSession,
  Untouched,
  WantedPicture,
  WindowId,
  World,
} from "./port.ts";
import { lives, type ProcessRef, processesOf, signal, statOf, treeOf } from "./process-tree.ts";
import { Pulse } from "./pulse.ts";
import { argumentsOf, type Command, literal, sessionName, target } from "./words.ts";

export interface TmuxOptions {
  /** NAME of `tmux -L NAME`; `default` is the user's own server. */
  socket: string;
  town: string;
  /** Configuration for a server we start; null = the user's own on their default server, none elsewhere. */
  config: string | null;
  /** A variable, `NAME=value`, that the environment of this town's processes holds and that of no other town of its name. */
  marker?: string;
  /** Marks sessions as this town's among those of its name, for whoever looks at other servers: `coordinatorMark`. */
  coordinator?: string;
  log?: (message: string, detail?: Record<string, unknown>) => void;
  env?: Record<string, string | undefined>;
}

const DEFAULT_PARALLEL = 8;
const DEFAULT_GRACE_MS = 5_000;

/** Between a paste and Enter: programs that watch for pastes swallow an Enter that comes with it (Codex waits 120 ms). */
const ENTER_AFTER_MS = 150;

/** What tmux says instead of pasting. */
const ENDED = "bosun: the process in this pane has ended";

/** What tmux says instead of typing where the cursor has moved. */
const ELSEWHERE = "bosun: somebody has begun to type";
const MOVED = `display-message -p "${ELSEWHERE}"`;

/** Bytes of one command: a control line of 4 KB. */
const KEYS_AT_ONCE = 1_000;

/** A connection that failed this often in this time is left alone for a while; commands go by forks meanwhile. */
const BREAKER = { failures: 5, withinMs: 10_000, restMs: 30_000 };
const RECONNECT_MS = [50, 100, 200, 400, 800];

/** Pane processes are looked at this often; tmux 3.3a does not notice 29 % of deaths by itself. */
const PULSE_MS = 50;

/** Of so many processes, and more, each is looked at less often: the whole of it stays under half a percent of a core. */
const PULSE_EACH_MS = 1;
const PULSE_SLOWEST_MS = 250;

/** Between two looks at whether stopped processes have gone. */
const REAP_LOOK_MS = 15;

/** A server by process and start: ids mean nothing to another one. */
const IDENTITY = "#{pid} #{start_time} #{version}";

/** A pane whose terminal has closed is dead before its exit status is known; this often we look again for it. */
const REAP_LOOKS = 8;

/** Shells ignore TERM at a prompt; a hang-up is what ends them, and they pass it on. */
const SHELLS = new Set(["sh", "bash", "zsh", "fish", "dash", "ksh"]);

export function openTmux(options: TmuxOptions): Tmux {
  return new Driver(options);
}

function configOf({ socket, config }: Pick<TmuxOptions, "socket" | "config">): string[] {
  if (config !== null) return ["-f", config];
  return socket === "default" ? [] : ["-f", "/dev/null"];
}

interface Server {
  id: string;
  pid: number;
  version: string;
}

/**
 * What a pane keeps of what has scrolled off, on a server that we start: what a program writes in its first moments is read
 * from there. tmux itself keeps 2,000 lines; a line of 200 cells costs some 300 bytes.
 */
const HISTORY: Command[] = [["set-option", "-g", "history-limit", "10000"]];

/** What the window of our control session is called, or begins with: no program or person names one so. */
const OWN_WINDOW = "_bosun";

/** A control client that does not tell within this is hung or gone. */
const TOLD_WITHIN_MS = 2_000;

/** A server that does not end our control session within this hangs. */
const LEFT_WITHIN_MS = 2_000;

/** A word that no program can have written, and the name of our window for a moment; short, as it stands in each command. */
function newMark(): string {
  return `${OWN_WINDOW}-${randomBytes(9).toString("base64url")}`;
}

class Driver implements Tmux {
  socketFlags: readonly string[];
  readonly #town: string;
  readonly #control: string;
  #config: string[];
  readonly #env: Record<string, string>;
  readonly #log: NonNullable<TmuxOptions["log"]>;
  readonly #listeners = new Set<(notice: TmuxNotice) => void>();
  readonly #marker: string | null;
  readonly #coordinator: string | null;
  readonly #pulse = new Pulse();
  #client: ControlClient | null = null;
  #connecting: Promise<Server | null> | null = null;
  #server: Server | null = null;
  #failures: number[] = [];
  #restUntilMs = 0;
  #heard = new Set<WindowId>();
  /** The window that our control session has of its own, and who waits for it to be called by a certain name. */
  #ownWindow: WindowId | null = null;
  readonly #renamed = new Map<string, () => void>();
  #pulseTimer: NodeJS.Timeout | null = null;
  #exitEmptyWas: string | null = null;
  #buffers = 0;
  #leaving: Promise<void> | null = null;
  /** We left the server on purpose: looking at it must not bring our control session back. */
  #released = false;
  roundTrips = 0;

  constructor(options: TmuxOptions) {
    this.socketFlags = ["-L", options.socket];
    this.#town = options.town;
    this.#marker = options.marker ?? null;
    this.#coordinator = options.coordinator ?? null;
    this.#control = `_bosun-${options.town.replace(/[^A-Za-z0-9_-]/g, "_")}`;
    this.#config = configOf(options);
    this.#env = cleanEnvironment(options.env ?? process.env);
    this.#log = options.log ?? (() => {});
  }

  get mode(): "control" | "fallback" | "off" {
    if (this.#client) return "control";
    return this.#server !== null ? "fallback" : "off";
  }

  async connect(): Promise<void> {
    if (this.#client) return;
    if (await this.#reach(true)) return;
    throw unreachable("the tmux server did not start");
  }

  async observe(): Promise<World | null> {
    const server = await this.#reach(false);
    if (!server) return null;
    let world = worldOf(await this.#ask(listing(this.#control)), server, this.#control);
    for (let looks = 0; looks < REAP_LOOKS && this.#unreaped(world); looks++) {
      await new Promise((resolve) => setTimeout(resolve, REAP_LOOK_MS));
      world = worldOf(await this.#ask(listing(this.#control)), server, this.#control);
    }
    this.#takePulseOf(world);
    await this.#dropOrphans(world);
    return world;
  }

  async start(
    births: SessionBirth[],
    options: { parallel?: number; onBorn?: (born: Born) => void } = {},
  ): Promise<Born[]> {
    await this.connect();
    const results: Born[] = [];
    const queue = births.map((birth, index) => ({ birth, index }));
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const born = await this.#bear(next.birth);
        results[next.index] = born;
        options.onBorn?.(born);
      }
    };
    await Promise.all(Array.from({ length: Math.min(options.parallel ?? DEFAULT_PARALLEL, births.length) }, worker));
    this.roundTrips++;
    return results;
  }

  async stop(sessions: SessionId[], options: StopOptions = {}): Promise<SessionId[]> {
    if (sessions.length === 0) return [];
    const world = await this.observe();
    const found = (world?.sessions ?? []).filter((session) => sessions.includes(session.id));
    const doomed = found.map((session) => {
      const own = session.windows.filter((window) => window.home === session.marks?.id);
      return {
        session,
        own,
        pids: own.flatMap((window) => window.panes.filter((pane) => !pane.dead).map((pane) => pane.pid)),
      };
    });
    await this.#endProcesses(doomed, options);
    for (const { session, own } of doomed) {
      for (const window of session.windows) {
        const shared = window.linked > 1;
        if (!own.includes(window) && shared)
          await this.#tolerant([["unlink-window", "-t", `${session.id}:${target("window", window.id)}`]]);
        else if (shared) await this.#tolerant([["kill-window", "-t", target("window", window.id)]]);
      }
      await this.#tolerant([["kill-session", "-t", target("session", session.id)]]);
    }
    return sessions;
  }

  async reap(ids: readonly string[], options: StopOptions = {}): Promise<number> {
    const left = ids.flatMap((id) => treeOf([], this.#marksOf(this.#town, id)));
    if (left.length > 0) await this.#end(left, left, options);
    return left.length;
  }

  /** What the environment of every process of a session holds. Towns of one name in two homes are told apart by `marker`. */
  #marksOf(town: string, id: string): string[] {
    return [`BOSUN_TOWN=${town}`, `BOSUN_SESSION=${id}`, ...(this.#marker === null ? [] : [this.#marker])];
  }

  async respawn(pane: PaneId, birth: PaneBirth, options: { kill?: boolean } = {}): Promise<void> {
    await this.#ask([
      ["respawn-pane", ...(options.kill ? ["-k"] : []), "-t", target("pane", pane), ...paneWords(birth)],
    ]);
  }

  async rename(session: SessionId, name: string): Promise<void> {
    await this.#ask([["rename-session", "-t", target("session", session), sessionName(name)]]);
  }

  async mark(session: TmuxSession, { town, id, epoch, shape }: NonNullable<TmuxSession["marks"]>): Promise<void> {
    const here = target("session", session.id);
    const marks = Object.entries({
      "@town": town,
      "@epoch": String(epoch),
      "@shape": shape,
      ...(this.#coordinator === null ? {} : { "@coordinator": this.#coordinator }),
    });
    await this.#ask([
      // What another town has marked meanwhile is its own: `-o` refuses, and nothing of the list is done. An `@id` without a town is of
      // a list that failed half-way.
      ["if-shell", "-F", "-t", here, "#{@town}", "", `set-option -u -t "${here}" @id`],
      ["set-option", "-o", "-t", here, "@id", id],
      ...session.windows.flatMap((window, w): Command[] => [
        // A window that hangs in another session too stays that one's.
        ...(window.linked > 1 ? [] : [["set-option", "-w", "-t", target("window", window.id), "@home", id]]),
        ["set-option", "-w", "-t", target("window", window.id), "remain-on-exit", "on"],
        ...window.panes.map(
          (pane, p): Command => ["set-option", "-p", "-t", target("pane", pane.id), "@slot", `${w}.${p}`],
        ),
      ]),
      // Last of all the mark that makes it ours: a list that fails half-way leaves it a stranger.
      ...marks.toReversed().map(([name, value]): Command => ["set-option", "-t", here, name, value]),
    ]);
  }

  /** By a fork of its own per pane: what a pane shows must not stand between the marks of the control protocol. */
  async capture(panes: PaneId[], options: { historyLines?: number } = {}): Promise<Map<PaneId, string>> {
    const from = options.historyLines ? ["-S", String(-options.historyLines)] : [];
    const texts = await Promise.all(
      panes.map(
        async (pane) =>
          [pane, (await this.#fork([["capture-pane", "-p", "-t", target("pane", pane), ...from]])) ?? ""] as const,
      ),
    );
    return new Map(texts);
  }

  async pictures(wanted: readonly WantedPicture[]): Promise<Map<PaneId, Picture>> {
    const taken = await Promise.all(portionsOf(wanted, newMark()).map((portion) => this.#takeAll(portion)));
    return new Map(taken.flatMap((found) => [...found]));
  }

  /** One that is gone ends the whole list: then each is asked for alone. */
  async #takeAll(wanted: readonly WantedPicture[]): Promise<Map<PaneId, Picture>> {
    const own = this.#client && this.#ownWindow;
    const pictures = await this.#take(wanted, own);
    if (pictures !== null || wanted.length === 1) return pictures ?? new Map();
    const each = await Promise.all(wanted.map((one) => this.#take([one], own)));
    return new Map(each.flatMap((found) => [...(found ?? [])]));
  }

  /**
   * By one fork for all. Output comes by another way, the control client's: the last command of the list renames our own window,
   * which tmux tells the client behind all output that the pictures hold, and before any that they do not.
   */
  async #take(wanted: readonly WantedPicture[], own: WindowId | null): Promise<Map<PaneId, Picture> | null> {
    const mark = newMark();
    const told = Promise.withResolvers<void>();
    const onTaken = (): void => {
      this.#renamed.delete(mark);
      for (const each of wanted) each.onTaken?.();
      told.resolve();
    };
    if (own) this.#renamed.set(mark, onTaken);
    try {
      const rename: Command[] = own ? [["rename-window", "-t", `=${this.#control}:${own}`, mark]] : [];
      const text = await this.#fork([...pictureCommands(wanted, mark), ...rename]);
      if (own) await Promise.race([told.promise, setTimeoutPromise(TOLD_WITHIN_MS, null, { ref: false })]);
      // The client has gone, or there was none: then nothing is heard anyway.
      if (!own || this.#renamed.has(mark)) onTaken();
      return picturesOf(text ?? "", mark);
    } catch (error) {
      if (error instanceof TmuxRefusal) return null;
      throw error;
    } finally {
      this.#renamed.delete(mark);
    }
  }

  async typeText(
    pane: PaneId,
    text: string,
    options: { enter?: boolean; untouched?: Untouched } = {},
  ): Promise<boolean> {
    if (/[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]/.test(text)) {
      throw new BosunError({
        code: "REFUSED",
        what: "the text holds control characters",
        why: "typed into a terminal they are commands",
        fix: "send plain text",
      });
    }
    const buffer = `bosun-${process.pid}-${++this.#buffers}`;
    const at = target("pane", pane);
    const paste = `paste-buffer -p -r -d -b "${buffer}" -t "${at}"`;
    // tmux 3.3a crashes, with every session, when something is pasted into a dead pane: looked at and pasted in one command.
    const answer = await this.#fork(
      [
        ["load-buffer", "-b", buffer, "-"],
        [
          "if-shell",
          "-F",
          "-t",
          at,
          "#{pane_dead}",
          `delete-buffer -b "${buffer}" ; display-message -p "${ENDED}"`,
          options.untouched
            ? `if-shell -F -t "${placeOf(options.untouched, pane)}" "${holds(options.untouched)}" { ${paste} } { delete-buffer -b "${buffer}" ; ${MOVED} }`
            : paste,
        ],
      ],
      Buffer.from(text),
    );
    if (answer?.includes(ELSEWHERE)) return false;
    if (answer?.includes(ENDED)) {
      throw new BosunError({
        code: "UNKNOWN_SESSION",
        what: "nothing runs there any more",
        why: "the pane's process has ended",
        fix: "bosun restart NAME, or bosun up",
      });
    }
    if (!options.enter) return true;
    await new Promise((resolve) => setTimeout(resolve, ENTER_AFTER_MS));
    await this.#ask([["send-keys", "-t", target("pane", pane), "Enter"]]);
    return true;
  }

  async typeKeys(pane: PaneId, bytes: Buffer, options: { untouched?: Untouched } = {}): Promise<boolean> {
    const at = target("pane", pane);
    const { untouched } = options;
    if (untouched) {
      const hex = [...bytes].map((byte) => byte.toString(16)).join(" ");
      // By a fork: what `if-shell` runs answers in a block of its own, which the control protocol does not announce.
      const said = await this.#fork([
        ["if-shell", "-F", "-t", placeOf(untouched, pane), holds(untouched), `send-keys -t "${at}" -H ${hex}`, MOVED],
      ]);
      return !said?.includes(ELSEWHERE);
    }
    for (let from = 0; from < bytes.length; from += KEYS_AT_ONCE) {
      const hex = [...bytes.subarray(from, from + KEYS_AT_ONCE)].map((byte) => byte.toString(16));
      await this.#ask([["send-keys", "-t", at, "-H", ...hex]]);
    }
    return true;
  }

  async sinceHumanKeyMs(session: SessionId): Promise<number | null> {
    const [lines] = await this.#ask([
      ["list-clients", "-t", target("session", session), "-F", "#{client_control_mode}\t#{client_activity}"],
    ]);
    const times = (lines ?? []).flatMap((line) =>
      line.startsWith("0\t") ? [Number(line.split("\t")[1]) * 1_000] : [],
    );
    return times.length === 0 ? null : Math.max(0, Date.now() - Math.max(...times));
  }

  async lastKeyS(session: SessionId): Promise<number> {
    const [lines] = await this.#ask([
      ["display-message", "-p", "-t", `${target("session", session)}:`, "#{session_activity}"],
    ]);
    return Number(lines![0]);
  }

  async hear(windows: WindowId[]): Promise<void> {
    const wanted = new Set(windows);
    const control = `=${this.#control}:`;
    for (const window of this.#heard)
      if (!wanted.has(window)) await this.#tolerant([["unlink-window", "-t", `${control}${target("window", window)}`]]);
    for (const window of wanted)
      if (!this.#heard.has(window))
        await this.#tolerant([["link-window", "-d", "-s", target("window", window), "-t", control]]);
    this.#heard = wanted;
  }

  async linkWindow(window: WindowId, into: SessionId, index: number): Promise<void> {
    await this.#ask([
      ["link-window", "-d", "-s", target("window", window), "-t", `${target("session", into)}:${index}`],
    ]);
  }

  async unlinkWindow(window: WindowId, from: SessionId): Promise<void> {
    await this.#ask([["unlink-window", "-t", `${target("session", from)}:${target("window", window)}`]]);
  }

  async setLayout(window: WindowId, layout: string): Promise<void> {
    await this.#ask([["select-layout", "-t", target("window", window), layout]]);
  }

  async addWindow(
    session: SessionId,
    window: { name: string; index: number; pane: Omit<PaneBirth, "slot"> },
  ): Promise<WindowId> {
    const [lines] = await this.#ask([
      [
        "new-window",
        "-d",
        "-P",
        "-F",
        "#{window_id}",
        "-t",
        `${target("session", session)}:${window.index}`,
        "-n",
        literal(window.name, "the window's name"),
        ...paneWords(window.pane),
      ],
    ]);
    return lines![0]! as WindowId;
  }

  on(listener: (notice: TmuxNotice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#leaving ??= this.#leave().finally(() => {
      this.#leaving = null;
    });
    await this.#leaving;
  }

  async moveTo(server: { socket: string; config: string | null }): Promise<void> {
    await this.close();
    this.socketFlags = ["-L", server.socket];
    this.#config = configOf(server);
    this.#failures = [];
    this.#restUntilMs = 0;
  }

  /** From the first moment on nobody else's command goes by the client: it would be answered by a session that is going. */
  async #leave(): Promise<void> {
    await this.#connecting?.catch(() => null);
    const client = this.#client;
    const heard = [...this.#heard];
    const exitEmpty = this.#exitEmptyWas ?? "on";
    this.#released = true;
    this.#stopPulse();
    this.#client = null;
    this.#ownWindow = null;
    this.#server = null;
    this.#exitEmptyWas = null;
    this.#heard.clear();
    if (!client) return;
    const last: Command[][] = [
      ...heard.map((window): Command[] => [["unlink-window", "-t", `=${this.#control}:${window}`]]),
      [["set-option", "-s", "exit-empty", exitEmpty]],
    ];
    for (const commands of last) await unlessRefused(client.run(commands));
    // The answer to this one never comes: it ends the session the client is attached to. Until it has, the next client could be
    // attached to that session too, and end with it.
    void unlessRefused(client.run([["kill-session", "-t", `=${this.#control}`]]));
    await Promise.race([client.gone, setTimeoutPromise(LEFT_WITHIN_MS, null, { ref: false })]);
    client.end();
  }

  /** The server that commands go to now. Null: none runs (and none was to be started). */
  #reach(start: boolean, again = start): Promise<Server | null> {
    if (this.#client && this.#server) return Promise.resolve(this.#server);
    if (!start && (this.#released || performance.now() < this.#restUntilMs)) return this.#reachByFork();
    this.#connecting ??= (this.#leaving ?? Promise.resolve())
      .then(() => this.#connect(start))
      .finally(() => {
        this.#connecting = null;
      });
    // One that was to start none has found none: now one is started.
    return this.#connecting.then((server) => server ?? (again ? this.#reach(start, false) : null));
  }

  /** Without a client of ours on the server: it is asked once, by a process of its own. */
  async #reachByFork(): Promise<Server | null> {
    const text = await this.#fork([["display-message", "-p", IDENTITY]]);
    this.#server = text === null ? null : serverOf(text);
    return this.#server;
  }

  async #connect(start: boolean): Promise<Server | null> {
    const sizes = start ? await this.#startServer() : await this.#fork([["show-options", "-gwv", "window-size"]]);
    if (sizes === null) {
      this.#server = null;
      return null;
    }
    if (sizes.trim().split("\n").includes("manual")) {
      throw new BosunError({
        code: "REFUSED",
        what: "this tmux server has `window-size manual` as its global setting",
        why: "tmux 3.3a crashes with all sessions when a window is made under it",
        fix: "tmux set-option -gw window-size latest, and take the line out of ~/.tmux.conf; or give the town a server of its own: tmux: { socket: town }",
      });
    }
    return this.#attach();
  }

  /** Also says what `exit-empty` was, so that it can be put back. */
  async #startServer(): Promise<string | null> {
    const before = await this.#fork([["show-options", "-sv", "exit-empty"]]);
    if (before !== null) this.#exitEmptyWas ??= before.trim();
    return this.#fork([
      ["start-server"],
      ["set-option", "-s", "exit-empty", "off"],
      // On a server of somebody else, or with a configuration of theirs, theirs holds.
      ...(before === null && this.#config.includes("/dev/null") ? HISTORY : []),
      ["show-options", "-gwv", "window-size"],
    ]);
  }

  async #attach(): Promise<Server> {
    const argv = [
      "-u",
      ...this.socketFlags,
      ...this.#config,
      "-C",
      "new-session",
      "-A",
      "-s",
      this.#control,
      "-n",
      OWN_WINDOW,
      "--",
      "sleep",
      "2147483647",
    ];
    const client: ControlClient = new ControlClient(argv, this.#env, {
      onEvent: (event) => {
        if (event.kind === "output") this.#emit({ kind: "output", pane: event.pane as PaneId, bytes: event.bytes });
        else if (event.name === "window-renamed" && event.rest.startsWith(`${this.#ownWindow} `))
          this.#renamed.get(event.rest.split(" ")[1]!)?.();
        else if (/^(client-|sessions?-|window-|unlinked-window-|layout-change|pane-mode-changed)/.test(event.name))
          this.#emit({ kind: "changed" });
      },
      onGone: (because) => this.#gone(client, because),
    });
    await client.ready();
    this.#client = client;
    let server: Server;
    try {
      const [lines] = await this.#ask([
        ["display-message", "-p", IDENTITY],
        ["set-option", "-s", "exit-empty", "off"],
        ["set-option", "-t", `=${this.#control}:`, "@bosun-control", this.#town],
      ]);
      server = serverOf(lines![0]!);
      this.#server = server;
    } catch (error) {
      client.end();
      throw error;
    }
    await this.#endStaleClients(client.pid);
    await this.#dropStale();
    this.#released = false;
    this.#heard.clear();
    this.#startPulse();
    this.#log("connected to tmux", { server: server.id, version: server.version });
    this.#emit({ kind: "connection", state: "connected", because: `tmux ${server.version}` });
    return server;
  }

  /**
   * Control clients of a coordinator that was killed. tmux 3.3a waits for ever to give them what they will never read: they
   * stay attached, and the server could not even be ended. Only such a client is attached to our control session.
   */
  async #endStaleClients(own: number | undefined): Promise<void> {
    const [lines] = await this.#send([["list-clients", "-t", `=${this.#control}:`, "-F", "#{client_pid}"]]);
    for (const pid of (lines ?? []).map(Number)) {
      if (pid === own || !Number.isInteger(pid) || pid <= 1) continue;
      const stat = statOf(pid);
      if (stat && /^tmux/.test(stat.comm)) signal(stat, "SIGKILL");
    }
  }

  /**
   * Windows that a coordinator which was killed had linked into our control session. Where nothing else holds one any more, its
   * session has gone, and only we keep its processes alive.
   */
  async #dropStale(): Promise<void> {
    const [lines] = await this.#send([
      ["list-windows", "-t", `=${this.#control}:`, "-F", "#{window_id}\t#{window_name}"],
    ]);
    for (const line of lines ?? []) {
      const [id = "", name] = line.split("\t");
      if (!/^@\d+$/.test(id)) continue;
      // Before, it was called otherwise.
      if (name!.startsWith(OWN_WINDOW) || name === "bosun") {
        this.#ownWindow = id as WindowId;
        continue;
      }
      const here = `=${this.#control}:${id}`;
      try {
        await this.#send([["unlink-window", "-t", here]]);
      } catch (error) {
        if (!(error instanceof TmuxRefusal)) throw error;
        // It hangs nowhere else.
        await this.#tolerant([["kill-window", "-t", here]]);
      }
    }
  }

  /** The connection ended by itself: try again a few times, then go by forks for a while. */
  #gone(client: ControlClient, because: string): void {
    if (this.#client !== client) return;
    this.#client = null;
    this.#ownWindow = null;
    this.#stopPulse();
    const nowMs = performance.now();
    this.#failures = [...this.#failures.filter((at) => nowMs - at < BREAKER.withinMs), nowMs];
    if (this.#failures.length >= BREAKER.failures) {
      this.#failures = [];
      this.#restUntilMs = nowMs + BREAKER.restMs;
      this.#emit({ kind: "connection", state: "fallback", because });
      setTimeout(() => void this.#again(), BREAKER.restMs).unref();
      return;
    }
    this.#emit({ kind: "connection", state: "reconnecting", because });
    setTimeout(() => void this.#again(), RECONNECT_MS[this.#failures.length - 1] ?? 1_000).unref();
  }

  async #again(): Promise<void> {
    if (this.#released || this.#client) return;
    try {
      if (!(await this.#reach(false)))
        this.#emit({ kind: "connection", state: "server-gone", because: "no tmux server runs" });
    } catch (error) {
      this.#log("connecting to tmux failed", { error: error instanceof Error ? error.message : String(error) });
    }
  }

  async #bear(birth: SessionBirth): Promise<Born> {
    try {
      return await this.#bearOnce(birth);
    } catch (error) {
      if (!(error instanceof BosunError) || error.code !== "UNREACHABLE")
        return { name: birth.name, error: said(error) };
    }
    // The server left while the commands were on their way. On the next one the session is there, whole, or not at all.
    try {
      await this.connect();
      const there = (await this.observe())?.sessions.find((session) => isBornOf(session, birth));
      return there
        ? { name: birth.name, id: there.id, pane: there.windows[0]!.panes[0]!.id }
        : await this.#bearOnce(birth);
    } catch (error) {
      return { name: birth.name, error: said(error) };
    }
  }

  async #bearOnce(birth: SessionBirth): Promise<Born> {
    try {
      const [lines] = await this.#send(birthCommands(birth, this.#coordinator));
      const [id, pane] = lines![0]!.split(" ");
      for (const { window, layout } of keptLayouts(birth)) await this.#keepLayout(id as SessionId, window, layout);
      return { name: birth.name, id: id as SessionId, pane: pane as PaneId };
    } catch (error) {
      if (!(error instanceof TmuxRefusal)) throw error;
      if (/duplicate session/.test(error.said))
        return { name: birth.name, error: `a session called ${birth.name} exists` };
      // Half a session is none: what this list made is taken back, and only that (a foreign one of this name has no such mark).
      await this.#takeBack(birth);
      return { name: birth.name, error: error.said };
    }
  }

  async #keepLayout(session: SessionId, window: number, layout: string): Promise<void> {
    const [lines] = await this.#send([["list-windows", "-t", session, "-F", "#{window_id}"]]);
    const id = lines?.[window];
    if (id) await this.#tolerant([["select-layout", "-t", id, layout]]);
  }

  async #takeBack(birth: SessionBirth): Promise<void> {
    const world = await this.observe().catch(() => null);
    const half = world?.sessions.find((session) => isBornOf(session, birth));
    if (half) await this.#tolerant([["kill-session", "-t", half.id]]);
  }

  async #endProcesses(
    doomed: { session: World["sessions"][number]; pids: number[] }[],
    options: StopOptions,
  ): Promise<void> {
    const trees = doomed.map(({ session, pids }) =>
      treeOf(pids, session.marks ? this.#marksOf(session.marks.town, session.marks.id) : []),
    );
    const all = trees.flat().filter((each) => each.pid !== this.#client?.pid && each.pid !== this.#server?.pid);
    const own = new Set(doomed.flatMap(({ pids }) => pids));
    const asked = options.scope === "process" ? all.filter((each) => own.has(each.pid)) : all;
    await this.#end(all, asked, options);
  }

  /** Those that are asked to end get time for it; then all of them are told to, and then ended. */
  async #end(
    all: (ProcessRef & { comm: string })[],
    asked: (ProcessRef & { comm: string })[],
    { graceMs = DEFAULT_GRACE_MS, signal: first, last = "SIGKILL" }: StopOptions,
  ): Promise<void> {
    // A shell that reads commands does not listen to TERM.
    for (const each of asked) signal(each, first ?? (SHELLS.has(each.comm) ? "SIGHUP" : "SIGTERM"));
    if ((await allGone(asked, graceMs)) && asked.length === all.length) return;
    for (const each of all) signal(each, last);
    if (await allGone(all, 1_000)) return;
    for (const each of all) signal(each, "SIGKILL");
    await allGone(all, 1_000);
  }

  /** Windows that hang only with us any more: their session is gone, and we must not be what keeps their processes alive. */
  async #dropOrphans(world: World): Promise<void> {
    if (this.#heard.size === 0) return;
    const elsewhere = new Set(world.sessions.flatMap((session) => session.windows.map((window) => window.id)));
    for (const window of this.#heard) {
      if (elsewhere.has(window)) continue;
      this.#heard.delete(window);
      await this.#tolerant([["kill-window", "-t", `=${this.#control}:${window}`]]);
    }
  }

  #takePulseOf(world: World): void {
    const ours = world.sessions.filter((session) => session.marks?.town === this.#town);
    const panes = ours.flatMap((session) => session.windows.flatMap((window) => window.panes));
    this.#pulse.follow(new Set(panes.flatMap((pane) => (pane.dead ? [] : [pane.pid]))));
  }

  /** True when a pane of ours is dead and the server does not know how: it is reminded to look at its children. */
  #unreaped(world: World): boolean {
    const ours = world.sessions.filter((session) => session.marks?.town === this.#town);
    const missing = ours.some((session) =>
      session.windows.some((window) => window.panes.some((pane) => pane.dead && pane.exit === null)),
    );
    if (missing) this.#remind();
    return missing;
  }

  #remind(): void {
    if (!this.#server) return;
    try {
      process.kill(this.#server.pid, "SIGCHLD");
    } catch {
      // ESRCH: the server has gone too; the connection tells that.
    }
  }

  #startPulse(): void {
    this.#stopPulse();
    this.#feelAgain();
  }

  #feelAgain(): void {
    const everyMs = Math.min(PULSE_SLOWEST_MS, Math.max(PULSE_MS, this.#pulse.size * PULSE_EACH_MS));
    this.#pulseTimer = setTimeout(() => {
      this.#feelAgain();
      this.#feelPulse();
    }, everyMs).unref();
  }

  #stopPulse(): void {
    if (this.#pulseTimer) clearTimeout(this.#pulseTimer);
    this.#pulseTimer = null;
    this.#pulse.follow(new Set());
  }

  /** A dead child the server has not noticed stays a zombie until any child signal comes; so we send one. */
  #feelPulse(): void {
    if (!this.#pulse.ended()) return;
    this.#remind();
    this.#emit({ kind: "changed" });
  }

  /** One answered group of commands. */
  async #ask(commands: readonly Command[]): Promise<string[][]> {
    this.roundTrips++;
    return this.#send(commands);
  }

  async #send(commands: readonly Command[]): Promise<string[][]> {
    if (this.#client) return this.#client.run(commands);
    const blocks: string[][] = [];
    for (const command of commands) {
      const text = await this.#fork([command]);
      if (text === null) throw unreachable("no tmux server runs");
      blocks.push(text.replace(/\n$/, "").split("\n"));
    }
    return blocks;
  }

  /** For what may have gone meanwhile: then there is nothing to do. */
  #tolerant(commands: readonly Command[]): Promise<void> {
    return unlessRefused(this.#send(commands));
  }

  async #fork(commands: readonly Command[], input?: Buffer): Promise<string | null> {
    const argv = ["-u", ...this.socketFlags, ...this.#config, ...argumentsOf(commands)];
    try {
      return await forkTmux(argv, this.#env, input);
    } catch (error) {
      if (!(error instanceof BosunError) || !LEAVING.test(error.body.why ?? "") || this.#endOrphans() === 0)
        throw error;
      return forkTmux(argv, this.#env, input);
    }
  }

  /**
   * Control clients of a coordinator that was killed, on a server that is leaving: it waits for them to read what they never will,
   * and takes nobody else meanwhile. Gives how many there were.
   */
  #endOrphans(): number {
    const orphans = processesOf(["tmux", ...this.socketFlags, this.#control]).filter(
      ({ pid }) => pid !== this.#client?.pid,
    );
    for (const each of orphans) signal(each, "SIGKILL");
    return orphans.length;
  }

  #emit(notice: TmuxNotice): void {
    for (const listener of this.#listeners) listener(notice);
  }
}

/** The pane in that session: it may hang in others, and each has its own keys. */
function placeOf({ session, window }: Untouched, pane: PaneId): string {
  return `${target("session", session)}:${target("window", window)}.${target("pane", pane)}`;
}

function holds({ cursor: { x, y }, lastKeyS }: Untouched): string {
  const equal = (name: string, value: number): string => `#{==:#{${name}},${value}}`;
  return `#{&&:${equal("session_activity", lastKeyS)},#{&&:${equal("cursor_x", x)},${equal("cursor_y", y)}}}`;
}

async function unlessRefused(answer: Promise<unknown>): Promise<void> {
  try {
    await answer;
  } catch (error) {
    if (!(error instanceof TmuxRefusal) && !(error instanceof BosunError && error.code === "UNREACHABLE")) throw error;
  }
}

function isBornOf(session: World["sessions"][number], birth: SessionBirth): boolean {
  return (
    session.name === birth.name && session.marks?.id === birth.marks.id && session.marks.epoch === birth.marks.epoch
  );
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function serverOf(text: string): Server {
  const [pid, started, version] = text.trim().split(" ");
  return { id: `${pid}:${started}`, pid: Number(pid), version: version! };
}

async function allGone(processes: ProcessRef[], withinMs: number): Promise<boolean> {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    if (!processes.some(lives)) return true;
    if (performance.now() >= untilMs) return false;
    await new Promise((resolve) => setTimeout(resolve, REAP_LOOK_MS));
  }
}
