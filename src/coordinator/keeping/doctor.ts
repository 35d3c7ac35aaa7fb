import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { chapterList, seriesVerify } from "../../protocol/chapter.ts";
import type { Finding } from "../../protocol/doctor.ts";
import { townDoctor, townFix } from "../../protocol/doctor.ts";
import type { ghostList } from "../../protocol/ghost.ts";
import type { jobList } from "../../protocol/job.ts";
import type { OutputOf } from "../../protocol/operation.ts";
import type { auditVerify } from "../../protocol/session.ts";
import { sanitise } from "../../protocol/text.ts";
import { alertRows } from "../alerts/projection.ts";
import { DISK_STOPS, DISK_WARNS, diskUsed } from "../disk.ts";
import type { Dispatch } from "../dispatch.ts";
import { planRevisions, restartRows } from "../sessions/projection.ts";
import { statuses } from "../status.ts";
import { coordinatorMark, markedSessions, sessionsOfTown } from "../tmux/other-servers.ts";
import type { Town } from "../town.ts";
import { type Found, note, problem, warning } from "./finding.ts";
import { OldNames } from "./old-names.ts";

/** Older tmux has no control-mode flow control; newer ones than we have seen may differ. */
const TMUX_KNOWN = { from: 3.2, to: 3.7 };

/** Of a series, the newest chapters that are looked at. */
const REPORTED = 5;

/** A file of a half-done write that is this old is of a process that has gone. */
const LEFT_OVER_MS = 3_600_000;

/** Variables in tmux's global environment that no session should inherit. */
const SECRET = /(_TOKEN|_SECRET|_PASSWORD|_API_KEY|_ACCESS_KEY(_ID)?|_CREDENTIALS)$/;

interface Check {
  id: string;
  /** `meant`: sessions that whoever asked has named. */
  look(meant: ReadonlySet<string>): Found[] | Promise<Found[]>;
}

/** What can go wrong with a town and what it stands on, looked at one by one: one that fails never stops the others. */
export class Doctor {
  readonly #town: Town;
  readonly #dispatch: Dispatch;
  readonly #oldNames: OldNames;
  readonly #checks: readonly Check[];

  constructor(dispatch: Dispatch, town: Town, republish: () => void) {
    this.#town = town;
    this.#dispatch = dispatch;
    this.#oldNames = new OldNames(town);
    this.#checks = this.#all(republish);
    dispatch.handle(townDoctor, ({ only }) => this.#examine(only, false, []));
    dispatch.handle(townFix, async ({ only, names = [], undo = false }, { actor }) => {
      if (!undo) return this.#examine(only, true, names);
      const undone = await this.#oldNames.undo(names, actor);
      return { findings: undone.map((each) => shown("names.legacy", each, each.level === "ok")), checks: 1, ms: 0 };
    });
  }

  async #examine(only: string | undefined, fix: boolean, names: readonly string[]) {
    const meant = new Set(names);
    const startedMs = performance.now();
    const checks = this.#checks.filter((check) => only === undefined || check.id.startsWith(only));
    const findings: Finding[] = [];
    for (const check of checks) {
      const before = await lookAt(check, meant);
      const fixable = before.filter((each) => each.fix);
      if (!fix || fixable.length === 0) {
        findings.push(...before.map((each) => shown(check.id, each, false)));
        continue;
      }
      const failed: Found[] = [];
      for (const each of fixable) {
        try {
          await each.fix!();
        } catch (error) {
          failed.push({ ...each, finding: `${each.finding} (mending it failed: ${said(error)})` });
        }
      }
      // Mended is what is not found any more.
      const after = await lookAt(check, meant);
      const left = new Set(after.map((each) => each.finding));
      findings.push(
        ...after.map((each) =>
          shown(check.id, failed.find((one) => one.finding.startsWith(each.finding)) ?? each, false),
        ),
        ...fixable
          .filter((each) => !left.has(each.finding))
          .map((each) => shown(check.id, { ...each, level: "ok" }, true)),
      );
    }
    return { findings, checks: checks.length, ms: Math.round(performance.now() - startedMs) };
  }

  #all(republish: () => void): Check[] {
    const town = this.#town;
    const { views } = town.ledger;
    const { stateFolder } = town.cradle;
    const ask = <T>(name: string, input: unknown = {}): Promise<T> => this.#dispatch.ask<T>(name, input);
    return [
      {
        id: "node.version",
        look: () =>
          Number(process.versions.node.split(".")[0]) >= 24
            ? []
            : [problem(`Node ${process.versions.node}`, "bosun needs 24 or newer", "bin/setup, or install Node 24")],
      },
      { id: "tmux.version", look: () => this.#tmuxVersion() },
      {
        id: "tmux.reachable",
        look: () =>
          town.blind === null
            ? []
            : [
                problem(
                  `tmux cannot be asked: ${town.blind}`,
                  "nothing is started, stopped or restarted meanwhile",
                  `tmux -L ${town.cradle.tmuxSocket} list-sessions`,
                ),
              ],
      },
      {
        id: "tmux.connection",
        look: () =>
          town.tmux.mode === "fallback"
            ? [
                warning(
                  "the connection to tmux is lost; it is asked by single commands",
                  "screens are not followed, ends are seen later",
                  "it is made again by itself; the coordinator's log says more",
                ),
              ]
            : [],
      },
      { id: "tmux.environment", look: () => this.#tmuxEnvironment() },
      {
        id: "tmux.split-brain",
        look: async () => {
          const { tmuxSocket, socketPath } = town.cradle;
          const others = await markedSessions(process.env, tmuxSocket);
          return sessionsOfTown(others, town.name.name, coordinatorMark(socketPath)).map((each) =>
            problem(
              `${sanitise(each.name)} of this town runs on another tmux server, ${each.socket}`,
              "it is not seen, and nothing of this town is started while it runs there",
              `tmux ${each.flags.join(" ")} attach -t '=${sanitise(each.name)}'   to look; bosun up --move   ends it there and starts it here`,
            ),
          );
        },
      },
      {
        id: "state.modes",
        look: () =>
          [stateFolder, join(stateFolder, "tokens")].flatMap((folder) => {
            const mode = statSync(folder, { throwIfNoEntry: false })?.mode ?? 0o700;
            if ((mode & 0o077) === 0) return [];
            return [
              {
                ...problem(
                  `${folder} can be read by other users`,
                  "whoever reads a token acts in its name",
                  `chmod 700 ${folder}`,
                ),
                fix: () => chmodSync(folder, 0o700),
              },
            ];
          }),
      },
      {
        id: "state.leftovers",
        look: () =>
          leftovers(stateFolder, town.now()).map((file) => ({
            ...note(`${file} is left of a write that never ended`, "none", `rm ${file}`),
            fix: () => rmSync(file, { force: true }),
          })),
      },
      { id: "state.disk", look: () => diskOf(stateFolder) },
      {
        id: "state.clock",
        look: () => {
          const head = town.ledger.head().position;
          const last = town.ledger.read(Math.max(0, head - 1), 1)[0];
          const aheadMs = (last?.atMs ?? 0) - town.now();
          return aheadMs > 1_000
            ? [
                warning(
                  `the clock stands ${Math.round(aheadMs / 1_000)} s before the newest entry of the log`,
                  "ages and restarts are counted wrongly until it has caught up",
                  "timedatectl status",
                ),
              ]
            : [];
        },
      },
      {
        id: "log.chain",
        look: async () => {
          const verdict = await ask<OutputOf<typeof auditVerify>>("audit.verify");
          return verdict.ok
            ? []
            : [
                problem(
                  `the log is broken${verdict.firstBad === null ? "" : ` at entry ${verdict.firstBad}`}: ${verdict.why}`,
                  "what it says cannot be trusted from there on",
                  "put back the newest backup of the town's folder, then bosun audit verify",
                ),
              ];
        },
      },
      { id: "plan.applied", look: () => this.#planApplied() },
      {
        id: "plan.drift",
        look: () =>
          statuses(town).flatMap((each) =>
            each.drift.length === 0
              ? []
              : [
                  warning(
                    `${each.label} is not as declared: ${each.drift.join(", ")}`,
                    "what the plan promises is not there",
                    `bosun up ${each.id} --restart`,
                  ),
                ],
          ),
      },
      {
        id: "sessions.missing",
        look: async () =>
          (await ask<OutputOf<typeof ghostList>>("ghost.list")).missing
            .filter((id) => statuses(town).find((each) => each.id === id)?.state !== "stopped")
            .map((id) =>
              warning(`${id} is declared and not there`, "nobody does its work", `bosun up ${id}, or bosun why ${id}`),
            ),
      },
      {
        id: "sessions.parked",
        look: () =>
          (town.plan?.sessions ?? []).flatMap((session) =>
            restartRows(views, session.id).some((row) => row.do === "park" && row.exhausted)
              ? [
                  problem(
                    `${session.id} is given up`,
                    "nothing starts it any more",
                    `bosun why ${session.id}; then bosun reset-failed ${session.id}`,
                  ),
                ]
              : [],
          ),
      },
      { id: "names.legacy", look: (meant) => this.#oldNames.look(meant, ask) },
      { id: "names.pattern", look: () => this.#names() },
      {
        id: "ghosts.undecided",
        look: async () =>
          (await ask<OutputOf<typeof ghostList>>("ghost.list")).ghosts
            .filter((each) => each.decision === null)
            .map((each) =>
              warning(
                `nobody declared ${sanitise(each.name)} (${each.class}: ${each.why})`,
                "nobody watches it",
                each.proposal,
              ),
            ),
      },
      {
        id: "handoff.stale",
        look: async () => {
          const { series } = await ask<OutputOf<typeof chapterList>>("chapter.list", { limit: 1 });
          return series
            .filter((each) => each.stale && each.closed === null)
            .map((each) =>
              warning(
                `the handshake of ${each.series} is ${each.handoff_age_ms === null ? "missing" : `${Math.round(each.handoff_age_ms / 3_600_000)} h old`} (limit 24 h)`,
                "the next chapter opens with old news",
                `bosun handoff write ${each.series} --summary …`,
              ),
            );
        },
      },
      { id: "chapters.burned", look: () => this.#chapters("burned", ask) },
      { id: "chapters.blind", look: () => this.#chapters("blind", ask) },
      {
        id: "chapters.files",
        look: async () => {
          const { series } = await ask<OutputOf<typeof chapterList>>("chapter.list", { limit: 1 });
          return series
            .filter((each) => each.handshake !== null && !existsSync(each.handshake))
            .map((each) => ({
              ...warning(
                `${each.handshake} is missing`,
                "whoever reads the file finds nothing",
                "bosun doctor --fix   writes it again from the log",
              ),
              fix: republish,
            }));
        },
      },
      {
        id: "services.down",
        look: () =>
          town
            .servicesOf()
            .filter((each) => each.state === "down" || each.state === "degraded")
            .map((each) =>
              warning(`the service ${each.id} is ${each.state}: ${each.says}`, "whoever needs it waits", each.command),
            ),
      },
      {
        id: "jobs.undeclared",
        look: async () =>
          (await ask<OutputOf<typeof jobList>>("job.list")).undeclared.map((line) =>
            warning(
              `in the crontab, and nobody declared it: ${line}`,
              "it runs without anybody's knowing",
              "services: { NAME: { cron: … } }, or crontab -e",
            ),
          ),
      },
      {
        id: "alerts.open",
        look: () =>
          alertRows(views, false, 1_000)
            .filter((row) => row.level <= "P1")
            .map((row) =>
              warning(
                `alert ${row.id} (${row.level}) waits: ${row.text}`,
                "nobody has it",
                `bosun alert ack ${row.id}`,
              ),
            ),
      },
      {
        id: "broker.safety",
        look: () => {
          const broker = town.plan?.broker ?? null;
          if (broker === null) return [];
          const { protocol, hostname } = new URL(broker);
          const near = ["127.0.0.1", "[::1]", "localhost"].includes(hostname);
          return near || protocol === "tls:"
            ? []
            : [
                warning(
                  `the broker ${hostname} is reached without encryption`,
                  "questions and answers can be read on the way",
                  "broker: tls://…",
                ),
              ];
        },
      },
    ];
  }

  #tmuxVersion(): Found[] {
    const version = this.#town.world?.version ?? null;
    if (version === null) return [];
    const number = Number(/(\d+\.\d+)/.exec(version)?.[1] ?? 0);
    if (number < TMUX_KNOWN.from)
      return [problem(`tmux ${version}`, "bosun needs 3.2 or newer", "sudo apt-get install tmux")];
    if (number > TMUX_KNOWN.to)
      return [
        note(
          `tmux ${version} is newer than any this was tried with`,
          "something may look or work differently",
          "bosun status shows whether all is well",
        ),
      ];
    return version === "3.3a"
      ? [
          note(
            "tmux 3.3a ends with all sessions under window-size manual, and loses word of some ends",
            "bosun avoids the one and looks for the other",
            "none is needed; newer versions have it mended",
          ),
        ]
      : [];
  }

  #tmuxEnvironment(): Found[] {
    const pid = this.#town.world?.serverPid;
    if (!pid) return [];
    const names = readFileSync(`/proc/${pid}/environ`, "utf8")
      .split("\0")
      .flatMap((each) => each.split("=", 1)[0] ?? [])
      .filter((name) => SECRET.test(name));
    return names.length === 0
      ? []
      : [
          warning(
            `the tmux server was started with ${names.join(", ")}`,
            "every session on it can read them",
            "tmux set-environment -gu NAME, or start it from a clean shell",
          ),
        ];
  }

  #planApplied(): Found[] {
    const { plan, ledger } = this.#town;
    const last = planRevisions(ledger.views).at(-1);
    if (!plan || !last || plan.file === "") return [];
    let text: string;
    try {
      text = readFileSync(plan.file, "utf8");
    } catch (error) {
      return [
        problem(
          `the floor plan ${plan.file} cannot be read: ${said(error)}`,
          "what is declared is known from the log alone",
          "put it back: bosun plan show   has its text",
        ),
      ];
    }
    return text === last.text
      ? []
      : [
          note(
            `${plan.file} has changed since it was applied`,
            "the change does nothing yet",
            "bosun diff, then bosun up",
          ),
        ];
  }

  #names(): Found[] {
    return (this.#town.plan?.notes ?? []).map((each) => note(each, "a newcomer has to ask", "bosun check"));
  }

  async #chapters(what: "burned" | "blind", ask: <T>(name: string, input?: unknown) => Promise<T>): Promise<Found[]> {
    const { series } = await ask<OutputOf<typeof chapterList>>("chapter.list", { limit: 1 });
    const found: Found[] = [];
    for (const each of series) {
      const verdict = await ask<OutputOf<typeof seriesVerify>>("series.verify", { series: each.series });
      for (const broken of what === "burned" ? verdict.broken : [])
        found.push(
          problem(`${each.series}: ${broken}`, "the series is broken there", `bosun series verify ${each.series}`),
        );
      const newest = each.chapters[0]?.number;
      const numbers = verdict[what].filter((number) => number > (newest ?? 0) - REPORTED);
      for (const number of numbers)
        found.push(
          what === "burned"
            ? warning(
                `${each.series} #${number} burned: it ended without a handoff`,
                "what it knew is lost but for its output",
                `bosun handoff show ${each.series}`,
              )
            : warning(
                `${each.series} #${number} worked blind: it had not read its handoff, or had no heading`,
                "it may have done what was done, or undone it",
                `bosun book show ${each.series}#${number}`,
              ),
        );
    }
    return found;
  }
}

async function lookAt(check: Check, meant: ReadonlySet<string>): Promise<Found[]> {
  try {
    return await check.look(meant);
  } catch (error) {
    return [
      {
        level: "unknown",
        finding: `it could not be looked at: ${said(error)}`,
        consequence: "nobody knows",
        remedy: `bosun doctor --only ${check.id}`,
      },
    ];
  }
}

function shown(id: string, { fix, ...found }: Found, fixed: boolean): Finding {
  return { id, ...found, fixable: fix !== undefined, fixed };
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function diskOf(folder: string): Found[] {
  const used = diskUsed(folder);
  const percent = `${Math.floor(used * 100)} %`;
  if (used > DISK_STOPS)
    return [
      problem(
        `the disk of ${folder} is ${percent} full`,
        "the log takes no more soon, and nothing can be started",
        "make room; bosun up refuses above 95 %",
      ),
    ];
  return used > DISK_WARNS
    ? [warning(`the disk of ${folder} is ${percent} full`, "above 95 % bosun up refuses", "make room")]
    : [];
}

function leftovers(folder: string, nowMs: number): string[] {
  return ["", "tokens", "series"].flatMap((name) => {
    const here = join(folder, name);
    if (!existsSync(here)) return [];
    return readdirSync(here).flatMap((file) => {
      const path = join(here, file);
      const old =
        file.endsWith(".new") && nowMs - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? nowMs) > LEFT_OVER_MS;
      return old ? [path] : [];
    });
  });
}
