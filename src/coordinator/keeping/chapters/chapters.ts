import type { ChapterSpec, EndReason, HandoffParts } from "../../../protocol/chapter.ts";
import type { Event } from "../../../protocol/event.ts";
import { agentAt, type PlanSession, paneAt } from "../../../protocol/plan.ts";
import { endReasonOf, shareOf, turnOf } from "../../chapters/decide.ts";
import { openingText } from "../../chapters/handshake.ts";
import {
  type ChapterRow,
  chapterRow,
  chaptersOf,
  handoffRow,
  newestChapter,
  openChapter,
  openChapters,
  seriesRows,
} from "../../chapters/projection.ts";
import { COORDINATOR, type Dispatch } from "../../dispatch.ts";
import type { Displays } from "../../displays.ts";
import { harnessOf } from "../../harness/launch.ts";
import type { HookMoment, Storyteller } from "../../hooks.ts";
import type { Ledger } from "../../log/ledger.ts";
import { declaredPanes } from "../../plan/diff.ts";
import { restartRows, sessionRow } from "../../sessions/projection.ts";
import { Ticker } from "../../ticker.ts";
import type { Town } from "../../town.ts";
import type { Reconcile } from "../../up.ts";
import { replaceFile } from "../replace-file.ts";
import { Accounts, type Around, CARRIED, closingLine, turned } from "./accounts.ts";
import { filesOf, type SeriesFiles } from "./files.ts";
import { keyOf, MAIN, NOTED_STEP, Pulses } from "./pulses.ts";

type Views = Ledger["views"];

/** Ceilings are compared this often. */
const TICK_MS = 250;

/** A hook takes about this many characters; the file has the rest. */
const TOLD_CHARS = 9_000;

/** A program that asks for its opening does so when it starts. */
const READS_ITSELF_WITHIN_MS = 2_000;

/** An opening that nobody has read by then is old news. */
const LETTER_S = 86_400;

/** A message holds 64 KiB; a character may be four bytes, most are one. */
const MAIL_CHARS = 30_000;

/**
 * Chapters: each run of a session that has `chapter:` in its plan opens with what the run before handed over, works, and
 * closes with a handoff. What ends without one is written up from what is known, and marked burned. A run is that of the
 * session's first pane.
 */
export class Chapters implements Storyteller {
  readonly #town: Town;
  readonly #dispatch: Dispatch;
  readonly #displays: Displays;
  readonly #reconcile: Reconcile;
  readonly #around: Around;
  readonly pulses: Pulses;
  readonly accounts: Accounts;
  /** Sessions on their way to the next chapter. */
  readonly #moving = new Set<string>();
  /** Messages that brought an opening, to be acknowledged when they are read. */
  readonly #letters = new Map<string, { series: string; number: number }>();
  /** Chapters whose agent was asked for its handoff already. */
  readonly #asked = new Set<string>();
  /** Since when a chapter has been at its ceiling. */
  readonly #over = new Map<string, number>();
  readonly #every: Ticker;
  readonly #leave: (() => void)[];
  #closed = false;

  constructor(dispatch: Dispatch, town: Town, displays: Displays, reconcile: Reconcile, around: Around) {
    this.#town = town;
    this.#dispatch = dispatch;
    this.#displays = displays;
    this.#reconcile = reconcile;
    this.#around = around;
    this.pulses = new Pulses(town, displays);
    this.accounts = new Accounts(town, displays, this.pulses, around);
    town.chapterOf = (session) => {
      const row = openChapter(town.ledger.views, session) ?? newestChapter(town.ledger.views, session);
      return row && this.accounts.shown(row);
    };
    this.#leave = [
      town.ledger.tail(({ event }) => this.#follow(event)),
      displays.onActivity(() =>
        this.pulses.count((row) => {
          this.append([this.pulses.noted(row, null)]).catch(this.#trouble);
        }),
      ),
    ];
    this.#every = new Ticker(TICK_MS, () => this.#tick());
    town.on("plan", (plan) => this.#every.set(plan.sessions.some((session) => session.chapter !== null)));
  }

  close(): void {
    this.#closed = true;
    this.#every.close();
    for (const leave of this.#leave) leave();
  }

  /** A ceiling was moved: it is not reached any more. */
  moved(row: ChapterRow): void {
    this.#over.delete(keyOf(row));
  }

  /**
   * The opening of a run that is about to start: what its processes are told, and its events, decided where they are written.
   * What the run before left open is ended first, so that no chapter is lost without a mark. Null where there are no chapters.
   */
  begin(
    session: PlanSession,
    epoch: number,
  ): { decide: (views: Views) => Event[]; env: Record<string, string> } | null {
    const spec = session.chapter;
    if (!spec || session.kind === "view") return null;
    const { views } = this.#town.ledger;
    if (this.#isClosed(spec.series)) return null;
    const files = filesOf(this.#town.cradle.stateFolder, spec.series, spec);
    // One that was opened and never started is opened again.
    const open = openChapter(views, session.id);
    const unborn = open !== null && (sessionRow(views, session.id)?.epoch ?? 0) < open.epoch;
    const number = unborn ? open.number : (chaptersOf(views, spec.series, 1)[0]?.number ?? 0) + 1;
    return {
      decide: (now) => this.#opening(now, session, spec, epoch, number, files),
      env: {
        BOSUN_SERIES: spec.series,
        BOSUN_CHAPTER: String(number),
        BOSUN_BRIEF: files.brief(number),
        BOSUN_HANDSHAKE: files.handshake,
        BOSUN_PHASE_FILE: files.phase,
      },
    };
  }

  #opening(
    views: Views,
    session: PlanSession,
    spec: ChapterSpec,
    epoch: number,
    number: number,
    files: SeriesFiles,
  ): Event[] {
    const events: Event[] = [];
    let handoff = this.accounts.takenIn(views, spec.series, files, events);
    const open = openChapter(views, session.id);
    let burned: { row: ChapterRow; reason: EndReason } | null = null;
    if (open && open.number !== number) {
      const ended = this.accounts.ending(views, open, this.accounts.reasonOf(open), handoff);
      events.push(...ended.events);
      handoff = ended.handoff ?? handoff;
      if (ended.burned) burned = { row: open, reason: ended.reason };
    } else {
      const before = chaptersOf(views, spec.series, 2).find((row) => row.phase === "closed");
      if (before?.burned) burned = { row: before, reason: before.endReason! };
    }
    events.push({
      type: "chapter.opened",
      data: {
        series: spec.series,
        number,
        session: session.id,
        epoch,
        ceilings: spec.ceilings,
        previous: handoff?.digest ?? null,
        recovery: burned !== null,
      },
    });
    if (spec.heading !== null)
      events.push({
        type: "chapter.headed",
        data: { series: spec.series, number, heading: spec.heading, because: "the floor plan says so" },
      });
    this.pulses.forget({ series: spec.series, number });
    const text = openingText({
      series: spec.series,
      number,
      heading: spec.heading,
      handoff,
      crew: this.accounts.crew(session.id),
      services: this.#around.services(),
      alerts: this.#around.alerts(),
      recovery: burned && {
        number: burned.row.number,
        reason: burned.reason,
        lines: this.accounts.lastLines(burned.row),
        facts: this.accounts.factsOf(views, burned.row),
      },
    });
    replaceFile(files.brief(number), text);
    return events;
  }

  #follow(event: Event): void {
    switch (event.type) {
      case "pane.exited":
        if (event.data.pane === MAIN) this.#ended(event.data.session, event.data.epoch, endReasonOf(event.data.exit));
        break;
      case "session.exited":
        this.#ended(event.data.session, event.data.epoch, "killed");
        break;
      case "session.stopped":
        this.#ended(event.data.session, event.data.epoch, "stopped");
        break;
      case "session.started":
        this.#started(event.data.session, event.data.epoch, event.data.adopted);
        break;
      case "pane.respawned":
        if (event.data.pane === MAIN) this.#started(event.data.session, event.data.epoch, false);
        break;
      case "delivery.presented":
        for (const id of event.data.messages) {
          const letter = this.#letters.get(id);
          if (letter) this.acknowledge(letter, `agent:${event.data.to}`).catch(this.#trouble);
        }
        break;
      default:
    }
  }

  readonly #trouble = (error: unknown): void => {
    if (!this.#closed) this.#town.log.error({ err: error }, "a chapter cannot be kept");
  };

  #ended(session: string, epoch: number, reason: EndReason): void {
    const open = openChapter(this.#town.ledger.views, session);
    if (open && open.epoch <= epoch) this.#finish(open, reason).catch(this.#trouble);
  }

  /** Its files follow the log; an agent that no hook tells gets its opening by mail. One that ran before bosun opens now. */
  #started(id: string, epoch: number, adopted: boolean): void {
    const session = this.#town.plan?.sessions.find((each) => each.id === id);
    if (!session?.chapter) return;
    const open = openChapter(this.#town.ledger.views, id);
    if (!open && adopted) {
      this.#openHere(session, epoch, "taken over as it runs").catch(this.#trouble);
      return;
    }
    if (!open) return;
    this.accounts.publish(open.series);
    const agent = agentAt(session, MAIN);
    if (agent !== null && !adopted && !opensItself(session)) this.#sendOpeningSoon(open, agent);
  }

  /** The next chapter in a process that goes on. */
  async #openHere(session: PlanSession, epoch: number, because: string): Promise<void> {
    const opening = this.begin(session, epoch);
    if (!opening) return;
    await this.#town.ledger.write({
      actor: COORDINATOR.name,
      decide: (views) => ({ events: opening.decide(views), result: null }),
    });
    this.#town.log.info({ session: session.id, because }, "a chapter opens");
    this.accounts.publish(session.chapter!.series);
    const agent = agentAt(session, MAIN);
    const open = openChapter(this.#town.ledger.views, session.id);
    if (agent !== null && open) await this.#sendOpening(open, agent);
  }

  #shortened(row: ChapterRow, most: number): string {
    const text = this.accounts.briefText(row);
    if (text.length <= most) return text;
    return `${text.slice(0, most)}\n… the rest stands in ${this.accounts.filesFor(row.series).brief(row.number)}`;
  }

  /** An agent that reads its opening by itself needs no mail for it. */
  #sendOpeningSoon(row: ChapterRow, agent: string): void {
    const timer = setTimeout(() => {
      const now = chapterRow(this.#town.ledger.views, row.series, row.number);
      if (this.#closed || !now || now.phase === "closed" || now.ackAtMs !== null) return;
      this.#sendOpening(now, agent).catch(this.#trouble);
    }, READS_ITSELF_WITHIN_MS);
    timer.unref();
  }

  async #sendOpening(row: ChapterRow, agent: string): Promise<void> {
    const text = this.#shortened(row, MAIL_CHARS);
    const sent = await this.#dispatch.ask<{ id: string }>("message.send", {
      to: [agent],
      subject: `Opening of ${row.series} #${row.number}`,
      body: text,
      priority: "important",
      queue: true,
      ttlS: LETTER_S,
    });
    this.#letters.set(sent.id, { series: row.series, number: row.number });
  }

  #tick(): void {
    const { views } = this.#town.ledger;
    for (const row of openChapters(views)) {
      const session = this.#town.plan?.sessions.find((each) => each.id === row.session);
      if (!session || this.#town.blind || this.#town.busy.has(row.session)) continue;
      const gone = this.#goneOf(row);
      if (gone) this.#finish(row, gone).catch(this.#trouble);
      else if (!this.#moving.has(session.id)) this.#turnBy(row, session);
    }
    for (const session of this.#town.plan?.sessions ?? []) {
      if (!session.chapter || this.#moving.has(session.id) || this.#town.busy.has(session.id)) continue;
      const row = newestChapter(views, session.id);
      const waits = row?.phase === "closed" && row.epoch === (sessionRow(views, session.id)?.epoch ?? 0);
      if (waits && this.#lives(session.id) && this.#town.now() >= row.closedAtMs! + session.chapter.graceMs)
        this.#goOn(session, row.epoch, "its chapter is closed");
    }
  }

  /** Whether the process of the session's first pane runs, as tmux last said. */
  #lives(id: string): boolean {
    const found = this.#foundOf(id);
    return found !== undefined && declaredPanes(found).some((pane) => pane.slot === MAIN && !pane.dead);
  }

  #foundOf(id: string) {
    return this.#town.world?.sessions.find((each) => each.marks?.town === this.#town.name.name && each.marks.id === id);
  }

  /** How a chapter that the log leaves open has ended while nobody looked, or null. */
  #goneOf(row: ChapterRow): EndReason | null {
    const known = sessionRow(this.#town.ledger.views, row.session);
    if (!known || known.epoch < row.epoch) return null;
    if (known.epoch === row.epoch && known.state === "started") {
      const died = restartRows(this.#town.ledger.views, row.session).find((each) => each.pane === MAIN);
      return died && died.epoch === row.epoch && died.atMs > row.openedAtMs && !this.#lives(row.session)
        ? endReasonOf(died.exit)
        : null;
    }
    if (known.epoch === row.epoch && known.state === "declared") return null;
    return this.accounts.reasonOf(row);
  }

  #turnBy(row: ChapterRow, session: PlanSession): void {
    const { share, nearest } = shareOf(row.ceilings, this.pulses.countedOf(row));
    const turning = turnOf({
      phase: row.phase,
      share,
      nearest,
      acknowledged: row.ackAtMs !== null,
      heading: row.heading !== null,
      first: row.previous === null,
    });
    const pulse = this.pulses.of(row);
    if (turning) {
      this.append([this.pulses.noted(row, null), turned(row, turning)])
        .then(() => {
          this.accounts.publish(row.series);
          if (turning.blind)
            this.#around.alert(
              "P3",
              `chapter ${row.series}`,
              `${row.series} #${row.number} works blind: ${turning.because}`,
            );
          if (turning.phase === "closing") return this.#askForHandoff(row, session);
        })
        .catch(this.#trouble);
    } else if (share - pulse.noted >= NOTED_STEP) {
      pulse.noted = share;
      this.append([this.pulses.noted(row, null)]).catch(this.#trouble);
    }
    if (share < 1) return;
    const overMs = this.#overSince(row);
    if (overMs < session.chapter!.graceMs) return;
    this.#moving.add(session.id);
    this.#finish(row, "ceiling")
      .finally(() => this.#moving.delete(session.id))
      .then(() => this.#goOn(session, row.epoch, `its ceiling (${nearest}) is reached`))
      .catch(this.#trouble);
  }

  /** How long a chapter has been at its ceiling. Of minutes that is known exactly, of others since we noticed. */
  #overSince(row: ChapterRow): number {
    const key = keyOf(row);
    const nowMs = this.#town.now();
    const since = this.#over.get(key) ?? nowMs;
    this.#over.set(key, since);
    const { minutes } = row.ceilings;
    const byClock = minutes === null ? 0 : nowMs - row.openedAtMs - minutes * 60_000;
    return Math.max(byClock, nowMs - since);
  }

  /** After a chapter, in a session that still runs: a fresh start, an end, or the next one where it stands. */
  #goOn(session: PlanSession, epoch: number, because: string): void {
    if (this.#moving.has(session.id)) return;
    this.#moving.add(session.id);
    const spec = session.chapter!;
    const closed = this.#isClosed(spec.series);
    const next = closed ? "end" : spec.next;
    const attached = (this.#foundOf(session.id)?.attached ?? 0) > 0;
    // What somebody uses, or what is protected, is never ended under their hands.
    const held = attached ? "somebody is attached" : session.protect ? "it is protected" : null;
    const goOn = async (): Promise<unknown> => {
      if (held === null && next === "roll") return this.#reconcile.restart({ sessions: [session.id] }, COORDINATOR);
      if (held === null && next === "end")
        return this.#reconcile.down({ sessions: [session.id], because }, COORDINATOR);
      if (closed) return null;
      return this.#openHere(session, epoch, held === null || next === "stay" ? because : `${because}; ${held}`);
    };
    goOn()
      .catch(this.#trouble)
      .finally(() => this.#moving.delete(session.id));
  }

  #isClosed(series: string): boolean {
    return seriesRows(this.#town.ledger.views).some((row) => row.series === series && row.closedAtMs !== null);
  }

  /** Ends a chapter once; whoever comes second finds it closed. */
  async #finish(row: ChapterRow, reason: EndReason): Promise<void> {
    const burned = await this.#town.ledger.write({
      actor: COORDINATOR.name,
      decide: (views) => {
        const open = chapterRow(views, row.series, row.number);
        if (!open || open.phase === "closed") return { events: [], result: null };
        const ending = this.accounts.ending(views, open, reason, handoffRow(views, row.series));
        return { events: ending.events, result: ending };
      },
    });
    this.#over.delete(keyOf(row));
    this.#asked.delete(keyOf(row));
    this.accounts.publish(row.series);
    if (burned.result?.burned)
      this.#around.alert(
        "P2",
        `burned ${row.series}`,
        `${row.series} #${row.number} burned: it ended (${reason}) without a handoff`,
      );
  }

  async #askForHandoff(row: ChapterRow, session: PlanSession): Promise<void> {
    const agent = agentAt(session, MAIN);
    if (agent === null) return;
    await this.#dispatch.ask("message.send", {
      to: [agent],
      subject: `Closing of ${row.series} #${row.number}`,
      body: `${closingLine(row)}\n\nSay what was built, broken and left open, decisions and why, open questions, pending items with state and owner, what to read and what to pick up next time, and what you found that stays true:\n\n  bosun handoff write --close --summary … --built … --open … --next … --discovery …\n\nWhat has no handoff when it ends is burned.`,
      priority: "important",
      queue: true,
    });
  }

  /** What an agent's program is told where it has begun, ends a turn, or is about to lose its context. */
  async atHook(
    session: string,
    moment: HookMoment | null,
    agent: string,
  ): Promise<{ tell: string | null; block: string | null }> {
    const nothing = { tell: null, block: null };
    const row = openChapter(this.#town.ledger.views, session);
    if (!row) return nothing;
    if (moment === "start") {
      await this.acknowledge(row, agent);
      const short = this.#shortened(row, TOLD_CHARS);
      return { tell: short, block: null };
    }
    if (moment === "compact") {
      await this.#capture(row, "its context is about to be compacted");
      return nothing;
    }
    const handed = handoffRow(this.#town.ledger.views, row.series);
    const wants = row.phase === "closing" && !(handed?.number === row.number && handed.writtenBy !== COORDINATOR.name);
    if (!wants) return nothing;
    if (moment !== "end") return { tell: closingLine(row), block: null };
    // Once: an agent that does not do it is not held for ever.
    if (this.#asked.has(keyOf(row))) return nothing;
    this.#asked.add(keyOf(row));
    return { tell: null, block: closingLine(row) };
  }

  /** The state of a chapter as the coordinator sees it, as a version of the handshake: before what the agent knows is lost. */
  async #capture(row: ChapterRow, because: string): Promise<void> {
    await this.#town.ledger.write({
      actor: COORDINATOR.name,
      decide: (views) => {
        const newest = handoffRow(views, row.series);
        const lines = this.#displays.displayOf(row.session, MAIN)?.screen.text() ?? [];
        const known = this.accounts.knownOf(views, row, "closed", newest?.parts ?? {});
        const parts: HandoffParts = {
          ...known,
          summary: `Written by the coordinator during ${row.series} #${row.number}: ${because}.`,
          broken: [],
          gaps: (newest?.parts.gaps ?? []).slice(-CARRIED),
          open: [
            ...(known.open ?? []),
            ...lines
              .filter((line) => line.trim() !== "")
              .slice(-10)
              .map((line) => `on its screen: ${line.trim()}`),
          ],
        };
        return { events: [this.accounts.version(row, null, COORDINATOR.name, parts, newest).event], result: null };
      },
    });
    this.accounts.publish(row.series);
  }

  /** For a watch job: writes what is known now into the handshake. */
  async update(session: string, because: string): Promise<void> {
    const row = openChapter(this.#town.ledger.views, session);
    if (row) await this.#capture(row, because);
  }

  /** For a watch job: turns that the screen of the agent speaks of. */
  async counted(session: string, turns: number): Promise<void> {
    const row = openChapter(this.#town.ledger.views, session);
    if (!row) return;
    const pulse = this.pulses.of(row);
    if (turns <= pulse.turns) return;
    pulse.turns = turns;
    await this.append([this.pulses.noted(row, null)]);
  }

  /** For a watch job: how near the ceiling a session is. */
  standing(
    session: string,
  ): { share: number; nearest: string | null; phase: string; number: number; series: string } | null {
    const row = openChapter(this.#town.ledger.views, session);
    return (
      row && {
        ...shareOf(row.ceilings, this.pulses.countedOf(row)),
        phase: row.phase,
        number: row.number,
        series: row.series,
      }
    );
  }

  /** At the start of the coordinator: files that a crash left behind the log. */
  publishAll(): void {
    for (const { series } of seriesRows(this.#town.ledger.views)) this.accounts.publish(series);
  }

  append(events: Event[], actor: string = COORDINATOR.name) {
    return this.#town.ledger.write({ actor, decide: () => ({ events, result: null }) });
  }

  async acknowledge(
    { series, number }: { series: string; number: number },
    by: string,
    forced = false,
    because: string | null = null,
  ): Promise<void> {
    const { result } = await this.#town.ledger.write({
      actor: by,
      decide: (views) => {
        const row = chapterRow(views, series, number);
        if (!row || row.phase === "closed" || row.ackAtMs !== null) return { events: [], result: null };
        const events: Event[] = [
          { type: "chapter.acknowledged", data: { series, number, digest: row.previous, forced, because } },
        ];
        // Oriented and with a heading, it goes to work.
        if (row.phase === "opening" && row.heading !== null && !forced)
          events.push(
            turned(row, { phase: "work", blind: false, because: "it has read its handoff, and has a heading" }),
          );
        return { events, result: row };
      },
    });
    if (result) this.accounts.publish(series);
  }
}

/** Whether its program is told of its opening by itself: by a hook that bosun gave it, or because it is ours. */
function opensItself(session: PlanSession): boolean {
  // A conversation with a model reads its opening before its first turn.
  if (session.chat) return true;
  const pane = paneAt(session, MAIN);
  return pane?.agent != null && pane.agent.mcp !== false && harnessOf(pane.agent.type, pane.run)?.opens === true;
}
