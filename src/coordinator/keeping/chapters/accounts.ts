import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  CEILINGS,
  type Chapter,
  type ChapterSpec,
  type EndReason,
  type HandoffParts,
} from "../../../protocol/chapter.ts";
import type { Event } from "../../../protocol/event.ts";
import { agentAt } from "../../../protocol/plan.ts";
import { endReasonOf, shareOf } from "../../chapters/decide.ts";
import { composeHandshake, digestOf, MAX_HANDSHAKE_BYTES, mergePending, partsOf } from "../../chapters/handshake.ts";
import {
  BY_HAND,
  type ChapterRow,
  type HandoffRow,
  handoffOf,
  handoffRow,
  notesIn,
} from "../../chapters/projection.ts";
import { COORDINATOR } from "../../dispatch.ts";
import type { Displays } from "../../displays.ts";
import type { Ledger } from "../../log/ledger.ts";
import { linesOf } from "../../screens/lines.ts";
import { Recording } from "../../screens/recording.ts";
import { restartRows, sessionRow } from "../../sessions/projection.ts";
import { statuses } from "../../status.ts";
import type { Town } from "../../town.ts";
import { filesOf, handWritten, publish, type SeriesFiles } from "./files.ts";
import { MAIN, type Pulses } from "./pulses.ts";

type Views = Ledger["views"];

/** Of what burned, so much of its output is shown to the next. */
const LAST_LINES = 50;
const LAST_BYTES = 65_536;

/** Contradictions and gaps that travel on; older ones stand in older versions. */
export const CARRIED = 50;

/** What an opening tells besides the handshake. */
export interface Around {
  services(): readonly string[];
  alerts(): readonly string[];
  /** Something wants a person. */
  alert(level: "P1" | "P2" | "P3", key: string, text: string): void;
}

/** The newest version, written or about to be. */
export type NewestHandoff = Pick<HandoffRow, "series" | "number" | "digest" | "text" | "parts" | "version">;

/** What is told of a chapter and written about it: its opening, its end, the versions of its handshake. */
export class Accounts {
  readonly #town: Town;
  readonly #displays: Displays;
  readonly #pulses: Pulses;
  readonly #around: Around;

  constructor(town: Town, displays: Displays, pulses: Pulses, around: Around) {
    this.#town = town;
    this.#displays = displays;
    this.#pulses = pulses;
    this.#around = around;
  }

  /** What somebody wrote into the handshake by hand becomes a version of its own; gives the newest. */
  takenIn(views: Views, series: string, files: SeriesFiles, events: Event[]): NewestHandoff | null {
    const newest = handoffRow(views, series);
    const text = handWritten(views, series, files);
    if (text === null || Buffer.byteLength(text) > MAX_HANDSHAKE_BYTES) return newest;
    const parts = partsOf(text);
    const number = newest?.number ?? 0;
    const digest = digestOf(text);
    events.push({
      type: "handoff.written",
      data: { series, number, digest, previous: newest?.digest ?? null, writtenBy: BY_HAND, text, parts },
    });
    return { series, number, digest, text, parts, version: (newest?.version ?? 0) + 1 };
  }

  crew(own: string): string[] {
    const { plan } = this.#town;
    return statuses(this.#town).flatMap((each) => {
      const declared = plan?.sessions.find((session) => session.id === each.id);
      if (each.id === own || each.kind === "view" || !declared) return [];
      const models = declared.windows.flatMap((window) =>
        window.panes.flatMap((pane) => (pane.agent ? [`${pane.agent.id} (${pane.agent.type})`] : [])),
      );
      const model = declared.chat ? [declared.chat.model] : [];
      return [
        `${each.label}: ${each.state}${[...models, ...model].length > 0 ? `, ${[...models, ...model].join(", ")}` : ""}${each.about === "" ? "" : `. ${each.about}`}`,
      ];
    });
  }

  reasonOf(row: ChapterRow): EndReason {
    const { views } = this.#town.ledger;
    const died = deathIn(views, row);
    if (died) return endReasonOf(died.exit);
    const known = sessionRow(views, row.session);
    if (known?.state === "stopped") return "stopped";
    return known?.state === "exited" ? "killed" : "replaced";
  }

  /**
   * The end of a chapter as events. With a handoff of its own it is closed; without one the coordinator writes down what it
   * knows, and it is burned.
   */
  ending(views: Views, row: ChapterRow, reason: EndReason, newest: NewestHandoff | null) {
    const own = handoffOf(views, row.series, row.number, true);
    const closed = (writtenBy: string, burned: boolean, because: string): Event => ({
      type: "chapter.closed",
      data: { series: row.series, number: row.number, reason, writtenBy, burned, because },
    });
    const noted = this.#pulses.noted(row, null);
    if (own)
      return {
        events: [noted, closed(own.writtenBy, false, "its handoff was there")],
        handoff: newest,
        burned: false,
        reason,
      };
    const parts = this.knownOf(views, row, reason, newest?.parts ?? {});
    const written = this.version(row, reason, COORDINATOR.name, parts, newest);
    return {
      events: [noted, written.event, closed(COORDINATOR.name, true, "it ended without a handoff of its own")],
      handoff: written.handoff,
      burned: true,
      reason,
    };
  }

  /** What can be said about a chapter by whoever only watched it. */
  knownOf(views: Views, row: ChapterRow, reason: EndReason, before: HandoffParts): HandoffParts {
    const counted = this.#pulses.countedOf(row);
    const facts = this.factsOf(views, row);
    const recording = this.recordingOf(row).file;
    return {
      summary: `Written by the coordinator: ${row.series} #${row.number} ended (${reason}) in its ${row.phase}, after ${counted.minutes.toFixed(1)} min and ${counted.turns} turns, without a handoff of its own.`,
      built: notesIn(views, row.series, row.number).map((note) => `(progress) ${note.text}`),
      broken: [`it ended without closing: ${reason}`],
      open: [...(row.heading === null ? [] : [`its heading: ${row.heading}`]), ...facts],
      questions: before.questions ?? [],
      pending: mergePending(before.pending ?? [], []),
      read: [`its output: ${recording}`],
      pickup: row.heading === null ? (before.pickup ?? []) : [row.heading],
      contradictions: (before.contradictions ?? []).slice(-CARRIED),
      gaps: [
        ...(before.gaps ?? []).slice(1 - CARRIED),
        `${row.series} #${row.number} has no closing of its own; what it did stands in ${recording}`,
      ],
    };
  }

  factsOf(views: Views, row: ChapterRow): string[] {
    const declared = this.#town.plan?.sessions.find((each) => each.id === row.session);
    const agent = agentAt(declared, MAIN);
    const unread = statuses(this.#town).find((each) => each.id === row.session)?.unread ?? 0;
    const died = deathIn(views, row);
    return [
      ...(died ? [`its process ended: ${died.exit} (${died.because})`] : []),
      ...(agent !== null && unread > 0 ? [`${unread} unread messages for ${agent}`] : []),
      ...(row.ackAtMs === null && row.previous !== null ? ["it had not read what it was handed"] : []),
    ];
  }

  recordingOf(row: ChapterRow): Recording {
    const folder = join(this.#town.cradle.stateFolder, "recordings", row.session.replaceAll("/", "_"));
    return new Recording(folder, `${MAIN}-${row.epoch}`, { columns: 80, rows: 24 }, row.session);
  }

  lastLines(row: ChapterRow): string[] {
    const live = this.#displays.displayOf(row.session, MAIN);
    live?.recording.flush();
    return linesOf(Buffer.concat(this.recordingOf(row).before(LAST_BYTES)))
      .filter((line) => line.trim() !== "")
      .slice(-LAST_LINES);
  }

  version(
    row: ChapterRow,
    reason: EndReason | null,
    writtenBy: string,
    parts: HandoffParts,
    before: NewestHandoff | null,
  ) {
    const version = (before?.version ?? 0) + 1;
    const text = composeHandshake(
      {
        series: row.series,
        session_no: row.number,
        session_id: row.session,
        crew: this.#town.plan?.sessions.find((each) => each.id === row.session)?.name ?? row.session,
        opened_at: iso(row.openedAtMs),
        closed_at: reason === null ? null : iso(this.#town.now()),
        end_reason: reason,
        written_by: writtenBy,
        prev_digest: before?.digest ?? null,
        version,
      },
      row.heading,
      parts,
      before?.text ?? null,
    );
    const digest = digestOf(text);
    const handoff: NewestHandoff = { series: row.series, number: row.number, digest, text, parts, version };
    const event: Event = {
      type: "handoff.written",
      data: {
        series: row.series,
        number: row.number,
        digest,
        previous: before?.digest ?? null,
        writtenBy,
        text,
        parts,
      },
    };
    return { event, handoff };
  }

  specOf(series: string): ChapterSpec | null {
    return this.#town.plan?.sessions.find((each) => each.chapter?.series === series)?.chapter ?? null;
  }

  filesFor(series: string): SeriesFiles {
    return filesOf(this.#town.cradle.stateFolder, series, this.specOf(series));
  }

  publish(series: string): void {
    try {
      publish(this.#town.ledger.views, series, this.specOf(series), this.#town.cradle.stateFolder);
    } catch (error) {
      this.#around.alert(
        "P1",
        `files ${series}`,
        `the files of ${series} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      );
      this.#town.log.error({ err: error, series }, "the files of a series cannot be written");
    }
  }

  briefText(row: ChapterRow): string {
    try {
      return readFileSync(this.filesFor(row.series).brief(row.number), "utf8");
    } catch {
      return handoffRow(this.#town.ledger.views, row.series)?.text ?? `# Opening of ${row.series} #${row.number}\n`;
    }
  }

  shown(row: ChapterRow): Chapter {
    const { views } = this.#town.ledger;
    const counted = this.#pulses.countedOf(row);
    const { share, nearest } = shareOf(row.ceilings, counted);
    const own = handoffOf(views, row.series, row.number);
    return {
      series: row.series,
      number: row.number,
      session: row.session,
      epoch: row.epoch,
      phase: row.phase,
      heading: row.heading,
      opened: iso(row.openedAtMs),
      closed: row.closedAtMs === null ? null : iso(row.closedAtMs),
      end_reason: row.endReason,
      written_by: row.writtenBy,
      burned: row.burned,
      blind: row.blind,
      acknowledged: row.ackAtMs === null ? null : { at: iso(row.ackAtMs), by: row.ackBy!, forced: row.ackForced },
      previous: row.previous,
      digest: own?.digest ?? null,
      recovery: row.recovery,
      share: Math.round(share * 1_000) / 1_000,
      nearest,
      counted: { ...counted, minutes: Math.round(counted.minutes * 100) / 100 },
      ceilings: Object.fromEntries(CEILINGS.map((each) => [each, row.ceilings[each]])),
      progress: notesIn(views, row.series, row.number).map((note) => ({ at: iso(note.atMs), text: note.text })),
    };
  }
}

/** How the process of a chapter ended, if it did. */
function deathIn(views: Views, row: ChapterRow) {
  return restartRows(views, row.session).find((each) => each.pane === MAIN && each.atMs >= row.openedAtMs);
}

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

export function turned(
  row: ChapterRow,
  { phase, blind, because }: { phase: "work" | "closing"; blind: boolean; because: string },
): Event {
  return { type: "chapter.turned", data: { series: row.series, number: row.number, phase, blind, because } };
}

export function closingLine(row: ChapterRow): string {
  return `bosun: ${row.series} #${row.number} is closing (90 % of its ceiling). Write its handoff now: bosun handoff write --close`;
}
