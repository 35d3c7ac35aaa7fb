import { closeSync, mkdirSync, readFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import pino from "pino";
import { ensureSocketFolder, socketPath } from "../client/home.ts";
import { alertsProjection } from "../coordinator/alerts/projection.ts";
import { Asks } from "../coordinator/asks.ts";
import { registerAudit } from "../coordinator/audit.ts";
import { type Cradle, writeShim } from "../coordinator/birth.ts";
import { chaptersProjection } from "../coordinator/chapters/projection.ts";
import { registerChats } from "../coordinator/chats.ts";
import { Credentials } from "../coordinator/credentials.ts";
import { Dispatch } from "../coordinator/dispatch.ts";
import { Displays } from "../coordinator/displays.ts";
import { Figures } from "../coordinator/figures.ts";
import { ghostsProjection } from "../coordinator/ghosts/projection.ts";
import { registerGroups } from "../coordinator/groups.ts";
import { Hearing, hearSources, registerHearing } from "../coordinator/hearing.ts";
import { registerHooks } from "../coordinator/hooks.ts";
import { Alerts } from "../coordinator/keeping/alerts.ts";
import { Chapters } from "../coordinator/keeping/chapters/chapters.ts";
import { ChapterOperations } from "../coordinator/keeping/chapters/operations.ts";
import { Doctor } from "../coordinator/keeping/doctor.ts";
import { Feeds } from "../coordinator/keeping/feeds.ts";
import { Health } from "../coordinator/keeping/health.ts";
import { Idling } from "../coordinator/keeping/idling.ts";
import { Jobs } from "../coordinator/keeping/jobs/jobs.ts";
import { RollCall } from "../coordinator/keeping/roll-call.ts";
import { Services } from "../coordinator/keeping/services.ts";
import { Stalls } from "../coordinator/keeping/stalls.ts";
import { Watch } from "../coordinator/keeping/watch.ts";
import { Leases } from "../coordinator/leasing.ts";
import { takeLock } from "../coordinator/lock.ts";
import { openLedger } from "../coordinator/log/ledger.ts";
import { registerLook } from "../coordinator/look.ts";
import { registerMail } from "../coordinator/mail/mail.ts";
import { memoryProjection } from "../coordinator/memory/projection.ts";
import { messagesProjection } from "../coordinator/messages/projection.ts";
import { registerMoving } from "../coordinator/moving.ts";
import { registerNarrate } from "../coordinator/narrate.ts";
import { Nudging } from "../coordinator/nudging.ts";
import { rememberServer, serverAtStart, serverName } from "../coordinator/one-server.ts";
import { Opening } from "../coordinator/opening.ts";
import { readPlan } from "../coordinator/plan/read.ts";
import { Refusals } from "../coordinator/refusals.ts";
import { registerAgents } from "../coordinator/registering.ts";
import { agentEpoch, registryProjection } from "../coordinator/registry/projection.ts";
import { Registry } from "../coordinator/registry.ts";
import { Memory } from "../coordinator/remember.ts";
import { openRooms } from "../coordinator/rooms/rooms.ts";
import { Roster } from "../coordinator/roster.ts";
import { readProfiles } from "../coordinator/screens/profile.ts";
import { Search } from "../coordinator/searching.ts";
import { openBroker } from "../coordinator/server/broker.ts";
import type { House } from "../coordinator/server/house.ts";
import { HttpDoor } from "../coordinator/server/http-door.ts";
import { listen } from "../coordinator/server/socket.ts";
import { Tcp } from "../coordinator/server/tcp.ts";
import { Traffic } from "../coordinator/server/traffic.ts";
import { credentialByHash, layoutOf, sessionRows, sessionsProjection } from "../coordinator/sessions/projection.ts";
import { registerStatus } from "../coordinator/status.ts";
import { tasksProjection } from "../coordinator/tasks/projection.ts";
import { coordinatorMark } from "../coordinator/tmux/other-servers.ts";
import { openTmux } from "../coordinator/tmux/tmux.ts";
import { readPlanFile, Town } from "../coordinator/town.ts";
import { Reconcile, registerUp } from "../coordinator/up.ts";
import { registerViews } from "../coordinator/views.ts";
import { exitCodeOf, toErrorBody } from "../protocol/error.ts";
import type { Plan } from "../protocol/plan.ts";
import { neighboursIn } from "./neighbours.ts";

const LOOK_FOR_LOCK_MS = 500;

/** What the starter is told on file descriptor 3 while it waits. */
function report(message: unknown): void {
  try {
    writeSync(3, `${JSON.stringify(message)}\n`);
  } catch {
    // EBADF: started by hand, without somebody waiting. EPIPE: nobody waits any more. The log says the same.
  }
}

/** The last of it: ready, or why not. */
function tell(message: unknown): void {
  report(message);
  try {
    closeSync(3);
  } catch {
    // As above.
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      town: { type: "string" },
      from: { type: "string", default: "flag" },
      home: { type: "string" },
      root: { type: "string" },
      plan: { type: "string" },
      "tmux-socket": { type: "string" },
      wait: { type: "boolean" },
    },
  });
  const name = { name: values.town!, from: values.from };
  const home = values.home!;
  const stateFolder = join(home, name.name);

  // A plan that is wrong is told before anything is touched: no folder, no lock, no tmux.
  const first = values.plan === undefined ? null : readFirst(values.plan, name);

  mkdirSync(stateFolder, { recursive: true, mode: 0o700 });
  let lock = takeLock(stateFolder);
  // Run by something that starts it again whenever it ends, it takes over when the one that is there goes.
  while (!lock && values.wait) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_FOR_LOCK_MS));
    lock = takeLock(stateFolder);
  }
  if (!lock) {
    tell({ ready: true, already: true });
    return;
  }
  const log = pino(
    { base: { town: name.name, pid: process.pid }, level: process.env.BOSUN_LOG ?? "info" },
    pino.destination({ dest: join(stateFolder, "coordinator.log"), sync: false }),
  );
  const ledger = openLedger({
    folder: stateFolder,
    projections: [
      sessionsProjection,
      ghostsProjection,
      chaptersProjection,
      alertsProjection,
      registryProjection,
      messagesProjection,
      tasksProjection,
      memoryProjection,
    ],
    origin: `bosun/${name.name}`,
    progress: (done, total) => report({ progress: { done, total } }),
  });
  const rooms = openRooms({ folder: stateFolder, report: (trouble) => log.warn({ trouble }, "a room has trouble") });
  const credentials = new Credentials(
    stateFolder,
    (hash) => credentialByHash(ledger.views, hash),
    (agent) => agentEpoch(ledger.views, agent),
  );
  const socket = socketPath(home, name.name);
  ensureSocketFolder(dirname(socket));
  const tmuxOverride = values["tmux-socket"] ?? null;
  const wanted = serverName(tmuxOverride ?? first?.tmux.socket ?? "default", name.name, stateFolder);
  const tmuxSocket = await serverAtStart({
    wanted,
    town: name.name,
    stateFolder,
    socketPath: socket,
    mayRun: sessionRows(ledger.views).some((row) => row.wanted === "running"),
  });
  if (tmuxSocket !== wanted)
    log.warn({ tmuxSocket, wanted }, "its sessions run on another tmux server than is wanted now");
  rememberServer(stateFolder, tmuxSocket);
  const openServer = (server: string, config: string | null = null) =>
    openTmux({
      socket: server,
      town: name.name,
      config,
      marker: `BOSUN_SOCKET=${socket}`,
      coordinator: coordinatorMark(socket),
      log: (message, detail) => log.debug(detail ?? {}, message),
    });
  const tmux = openServer(tmuxSocket, first?.tmux.config ?? null);
  const here = dirname(fileURLToPath(import.meta.url));
  const cradle: Cradle = {
    town: name.name,
    stateFolder,
    home,
    socketPath: socket,
    tmuxSocket,
    tmuxOverride,
    planFile: values.plan ?? "floorplan.yaml",
    cli: { node: process.execPath, script: join(here, "bosun.js") },
    credentials,
    keptLayout: (session, window) => layoutOf(ledger.views, session, window),
    opening: (session, epoch) => chapters.begin(session, epoch),
    housed: (agent, session, epoch) => town.registry.housed(agent, session, epoch),
  };
  writeShim(cradle);
  const version = (JSON.parse(readFileSync(join(here, "../package.json"), "utf8")) as { version: string }).version;
  const town = new Town({ name, cradle, ledger, rooms, tmux, openServer, log, version, now: Date.now });
  const refusals = new Refusals(ledger, (err) => log.error({ err }, "a refusal cannot be written down"));
  const dispatch = new Dispatch(refusals);
  const reconcile = new Reconcile(town);
  const watch = new Watch(town, reconcile);
  watch.register(dispatch);
  const hearing = new Hearing(town);
  hearSources(town, hearing);
  registerUp(dispatch, town, reconcile);
  registerStatus(dispatch, town);
  registerLook(dispatch, town);
  registerHearing(dispatch, town, hearing);
  registerNarrate(dispatch, town);
  registerViews(dispatch, town, reconcile);
  const opening = new Opening(dispatch, town, reconcile);
  const displays = new Displays(
    dispatch,
    town,
    hearing,
    async () => (await import("../coordinator/screens/screen.ts")).Screen,
    () => readProfiles([join(here, "../profiles")]),
  );
  new Roster(dispatch, town, displays);
  new RollCall(dispatch, town, reconcile);
  const registry = new Registry(town);
  town.registry = registry;
  dispatch.onCall = (actor, operation, stream) => registry.called(actor, operation, stream);
  registerAgents(dispatch, town);
  registerGroups(dispatch, town);
  const mail = registerMail(dispatch, town, neighboursIn(home, name.name));
  registerChats(dispatch, town, displays);
  const alerts = new Alerts(dispatch, town);
  const services = new Services(dispatch, town, alerts);
  const chapters = new Chapters(dispatch, town, displays, reconcile, {
    services: () => services.told(),
    alerts: () => alerts.told(),
    alert: (level, key, text) => alerts.raise(level, key, text),
  });
  const jobs = new Jobs(dispatch, { town, displays, alerts, chapters }, reconcile);
  new ChapterOperations(dispatch, town, chapters);
  registerHooks(dispatch, town, displays, mail, chapters);
  const figures = new Figures(dispatch, town);
  const nudging = new Nudging(dispatch, town, displays);
  const closing = [
    registry,
    jobs,
    chapters,
    services,
    new Feeds(dispatch, town, alerts),
    alerts,
    nudging,
    new Idling(town, displays, reconcile, opening),
    new Stalls(town),
    new Health(dispatch, town, displays, alerts),
    displays,
    new Memory(dispatch, town),
    new Leases(dispatch, town),
    new Search(dispatch, town),
    figures,
  ];
  new Doctor(dispatch, town, () => chapters.publishAll());
  registerMoving(dispatch, town);
  new Asks(town, () => openBroker(town.plan?.broker ?? null, town.name.name), displays, nudging).register(dispatch);

  const house: House = {
    dispatch,
    identify: (introduction) => credentials.identify(introduction),
    traffic: new Traffic(),
  };
  const door = new HttpDoor(
    async () =>
      (await import("./http.ts")).openFace({ house, town: name.name, version, gauges: () => figures.gauges() }),
    (error) => log.error({ err: error }, "HTTP cannot be loaded"),
  );
  const tcp = new Tcp(town, door);
  tcp.register(dispatch);

  let stopping = false;
  const stop = (because: string): void => {
    if (stopping) return;
    stopping = true;
    void (async () => {
      log.info({ because }, "stopping");
      watch.stop();
      await Promise.all([server.close(), door.close()]);
      for (const each of closing) each.close();
      await mail.close();
      await refusals.close();
      await ledger.write({
        actor: "coordinator",
        decide: () => ({
          events: [{ type: "coordinator.stopped", data: { pid: process.pid, because } }],
          result: null,
        }),
      });
      await tmux.close();
      await rooms.close();
      await ledger.close();
      lock.release();
      log.flush(() => process.exit(0));
    })();
  };
  registerAudit(dispatch, town, stop);

  town.restorePlan();
  chapters.publishAll();
  await town.look().catch((error: unknown) => log.warn({ err: error }, "tmux cannot be asked"));
  watch.start();
  const server = await listen(socket, house, (connection) => door.take(connection));
  await ledger.write({
    actor: "coordinator",
    decide: () => ({ events: [{ type: "coordinator.started", data: { pid: process.pid, version } }], result: null }),
  });
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  // The terminal of the command that started us may close; that is no reason to go.
  process.on("SIGHUP", () => log.info("SIGHUP ignored"));
  process.on("uncaughtException", (error) => log.error({ err: error }, "uncaught"));
  process.on("unhandledRejection", (error) => log.error({ err: error }, "unhandled rejection"));
  log.info({ socket, version }, "ready");
  tell({ ready: true, pid: process.pid, socket: socketPath });
  await tcp.restore();
}

function readFirst(file: string, town: { name: string; from: string }): Plan {
  return readPlan({
    text: readPlanFile(file),
    file,
    town,
    readFile: readPlanFile,
    env: process.env,
  });
}

main().catch((error: unknown) => {
  const body = toErrorBody(error);
  tell({ error: body });
  process.stderr.write(`${JSON.stringify({ error: body, stack: error instanceof Error ? error.stack : undefined })}\n`);
  process.exit(exitCodeOf(body.code));
});
