import { BosunError } from "../protocol/error.ts";
import type { OutputOf } from "../protocol/operation.ts";
import { agentsOf, nameOf } from "../protocol/plan.ts";
import {
  type ActivityState,
  type RosterEntry,
  sessionExplain,
  sessionFind,
  sessionRoster,
} from "../protocol/screen.ts";
import type { Actor, Dispatch, Stream } from "./dispatch.ts";
import type { Displays } from "./displays.ts";
import { type ActivityTrack, fittingRules, judge } from "./screens/activity.ts";
import { BUFFER_BYTES } from "./screens/output-buffer.ts";
import type { Profile } from "./screens/profile.ts";
import { activeOf, openedRows } from "./sessions/projection.ts";
import { statuses } from "./status.ts";
import type { Town } from "./town.ts";

/** The roster goes out this often at most. */
const ROSTER_EVERY_MS = 200;

/** How much is unseen grows without anybody telling: looked at this often. */
const UNSEEN_EVERY_MS = 1_000;

/** All sessions with what they are doing, and why that is believed. */
export class Roster {
  readonly #town: Town;
  readonly #displays: Displays;

  constructor(dispatch: Dispatch, town: Town, displays: Displays) {
    this.#town = town;
    this.#displays = displays;
    dispatch.handle(sessionRoster, (input, { actor, stream }) => this.#roster(input, actor, stream));
    dispatch.handle(sessionFind, (input) => {
      const found = town.declared(input.session);
      return { session: found.id, name: nameOf(found), tmux: found.name };
    });
    dispatch.handle(sessionExplain, (input) => this.#explain(input));
  }

  #roster(
    input: { follow?: boolean | undefined; waiting?: boolean | undefined; all?: boolean | undefined },
    actor: Actor,
    stream: Stream,
  ) {
    const entries = (): RosterEntry[] => {
      const all = this.#entries(actor);
      return input.waiting ? all.filter((entry) => entry.activity.state === "waiting") : all;
    };
    const sessions = entries();
    if (input.follow) {
      let timer: NodeJS.Timeout | null = null;
      let before = JSON.stringify(sessions.map(comparable));
      let toldMs = Number.NEGATIVE_INFINITY;
      const tell = (): void => {
        timer = null;
        toldMs = performance.now();
        const now = entries();
        const text = JSON.stringify(now.map(comparable));
        if (text === before) return;
        before = text;
        stream.push(JSON.stringify({ sessions: now }));
      };
      const follower = (): void => {
        // What is news goes out at once; what follows it closely, together.
        timer ??= setTimeout(tell, Math.max(0, ROSTER_EVERY_MS - (performance.now() - toldMs)));
      };
      const stop = this.#displays.onActivity(follower);
      // How much is unseen grows without anybody telling.
      const every = setInterval(follower, UNSEEN_EVERY_MS);
      stream.onClose(() => {
        stop();
        clearInterval(every);
        if (timer) clearTimeout(timer);
      });
    }
    const rows = openedRows(this.#town.ledger.views, true);
    return {
      sessions,
      closed: input.all
        ? rows.flatMap((row) =>
            row.closedAtMs === null
              ? []
              : [
                  {
                    session: row.session,
                    name: row.label,
                    closed: new Date(row.closedAtMs).toISOString(),
                    because: row.closedBecause ?? "",
                  },
                ],
          )
        : [],
      damaged: rows.flatMap((row) =>
        row.closedAtMs === null &&
        (row.damaged !== null || !this.#town.plan?.sessions.some((each) => each.id === row.session))
          ? [{ session: row.session, name: row.label, why: row.damaged ?? "its entry is not valid any more" }]
          : [],
      ),
    };
  }

  #entries(actor: Actor): RosterEntry[] {
    const active = activeOf(this.#town.ledger.views, actor.id)?.session;
    const opened = new Map(openedRows(this.#town.ledger.views).map((row) => [row.session, row]));
    const declared = new Map((this.#town.plan?.sessions ?? []).map((each) => [each.id, each]));
    return statuses(this.#town)
      .filter((status) => declared.get(status.id)?.kind !== "view")
      .map((status) => {
        const displays = this.#displays.of(status.id);
        const first = displays[0];
        const activities = displays.map((each) => publicActivity(each.track.activity, this.#town.now()));
        return {
          session: status.id,
          name: String(status.label),
          number: (status.number as number | null) ?? null,
          kind: status.kind,
          purpose: opened.get(status.id)?.purpose ?? null,
          room: status.room,
          agents: agentsOf([declared.get(status.id)!]).map((placed) => placed.agent.id),
          state: status.state,
          activity: loudest(activities) ?? stillOf(status.state, status.since, status.evidence),
          unseen: displays.reduce((sum, each) => sum + this.#displays.unseen(each, actor), 0),
          unread: status.unread,
          bells: displays.reduce((sum, each) => sum + each.screen.signals.bells, 0),
          title: first?.screen.signals.title ?? "",
          active: status.id === active,
          pid: status.pid,
          buffer: {
            bytes: displays.reduce((sum, each) => sum + each.buffer.held, 0),
            dropped: displays.reduce((sum, each) => sum + each.buffer.dropped, 0),
            limit: BUFFER_BYTES,
          },
        };
      });
  }

  async #explain(input: {
    session: string;
    pane?: string | undefined;
    capture?: string | undefined;
    profile?: string | undefined;
  }): Promise<OutputOf<typeof sessionExplain>> {
    const person = { id: "" } as Actor;
    const { session, display } = await this.#displays.find(input.session, input.pane, person);
    const profiles = input.profile ? [this.#profileNamed(input.profile)] : display.profiles;
    const text = input.capture === undefined ? display.screen.text() : input.capture.split("\n");
    const judged =
      input.capture === undefined
        ? (display.judged ??
          judge(profiles, { text, signals: display.screen.signals, wroteAtMs: null, exit: null, nowMs: 0 }))
        : judge(profiles, { text, signals: { prompt: null }, wroteAtMs: null, exit: null, nowMs: 0 });
    return {
      session: session.id,
      name: nameOf(session),
      pane: display.pane,
      profiles: profiles.map((each) => each.profile),
      activity:
        input.capture === undefined
          ? publicActivity(display.track.activity, this.#town.now())
          : publicActivity({ ...judged, sinceMs: this.#town.now(), atMs: this.#town.now() }, this.#town.now()),
      fitting: profiles.flatMap((profile) => fittingRules(profile, text)),
    };
  }

  #profileNamed(name: string): Profile {
    const found = this.#displays.profiles.get(name);
    if (found) return found;
    throw new BosunError({
      code: "NOT_FOUND",
      what: `there is no profile "${name}"`,
      why: `there are ${[...this.#displays.profiles.keys()].join(", ")}`,
    });
  }
}

function publicActivity(activity: ActivityTrack["activity"], nowMs: number): ActivityState {
  const { state, reason, rule, evidence, source, text, sinceMs, atMs } = activity;
  return {
    state,
    since: new Date(sinceMs).toISOString(),
    evidence,
    source,
    age_ms: Math.max(0, nowMs - atMs),
    reason,
    text,
    rule,
  };
}

/** What needs a person first, then what moves. */
const LOUDNESS = ["waiting", "stalled", "dead", "working", "done-unseen", "idle", "unknown"] as const;

function loudest(activities: ActivityState[]): ActivityState | undefined {
  return activities.toSorted((a, b) => LOUDNESS.indexOf(a.state) - LOUDNESS.indexOf(b.state))[0];
}

/** Of a session without a pane to look at. */
function stillOf(state: string, since: string, evidence: string): ActivityState {
  const dead = state === "exited" || state === "stopped";
  return {
    state: dead ? "dead" : "unknown",
    since,
    evidence,
    source: "log",
    age_ms: 0,
    reason: null,
    text: null,
    rule: null,
  };
}

/** What makes a roster worth telling anew; ages alone do not. */
function comparable({ activity, ...entry }: RosterEntry) {
  return {
    ...entry,
    buffer: null,
    unseen: entry.unseen > 0,
    activity: [activity.state, activity.reason, activity.since],
  };
}
