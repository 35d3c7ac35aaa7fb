import { createHash } from "node:crypto";
import {
  chapterAcknowledge,
  chapterBrief,
  chapterExtend,
  chapterHead,
  chapterList,
  chapterNote,
  chapterShow,
  chapterWork,
  type Handoff,
  type HandoffParts,
  handoffDiff,
  handoffLint,
  handoffShow,
  handoffWrite,
  seriesClose,
  seriesVerify,
} from "../../../protocol/chapter.ts";
import { BosunError } from "../../../protocol/error.ts";
import type { Event } from "../../../protocol/event.ts";
import { timedId } from "../../../protocol/id.ts";
import type { InputOf } from "../../../protocol/operation.ts";
import { nameOf, type PlanSession } from "../../../protocol/plan.ts";
import {
  contradictionsIn,
  diffLines,
  digestOf,
  lintHandshake,
  MAX_HANDSHAKE_BYTES,
  mergePending,
} from "../../chapters/handshake.ts";
import {
  type ChapterRow,
  chapterRow,
  chaptersOf,
  type HandoffRow,
  handoffBy,
  handoffOf,
  handoffRow,
  handoffRows,
  newestChapter,
  openChapter,
  seriesRows,
} from "../../chapters/projection.ts";
import type { Actor, Dispatch } from "../../dispatch.ts";
import type { Town } from "../../town.ts";
import { type Accounts, CARRIED, iso, turned } from "./accounts.ts";
import type { Chapters } from "./chapters.ts";
import type { Pulses } from "./pulses.ts";

/** A handshake older than this is stale (the ship's own rule). */
export const STALE_MS = 24 * 3_600_000;

/** Chapters as operations: what agents and people say of them and ask about them. */
export class ChapterOperations {
  readonly #town: Town;
  readonly #chapters: Chapters;
  readonly #pulses: Pulses;
  readonly #accounts: Accounts;

  constructor(dispatch: Dispatch, town: Town, chapters: Chapters) {
    this.#town = town;
    this.#chapters = chapters;
    this.#pulses = chapters.pulses;
    this.#accounts = chapters.accounts;
    dispatch.handle(chapterList, (input) => this.#list(input));
    dispatch.handle(chapterShow, ({ series, number }, { actor }) => this.#show(series, number, actor));
    dispatch.handle(chapterBrief, ({ session }, { actor }) => this.#brief(session, actor));
    dispatch.handle(chapterAcknowledge, (input, { actor }) => this.#acknowledgeAs(input, actor));
    dispatch.handle(chapterHead, (input, { actor }) => this.#head(input, actor));
    dispatch.handle(chapterWork, (input, { actor }) => this.#work(input, actor));
    dispatch.handle(chapterNote, (input, { actor }) => this.#note(input, actor));
    dispatch.handle(chapterExtend, (input, { actor }) => this.#extend(input, actor));
    dispatch.handle(handoffWrite, (input, { actor }) => this.#write(input, actor));
    dispatch.handle(handoffShow, ({ series, version }, { actor }) => this.#handoff(series, version, actor));
    dispatch.handle(handoffLint, ({ series, text }, { actor }) => ({
      mistakes: lintHandshake(text ?? this.#handoff(series, undefined, actor).handoff.text),
    }));
    dispatch.handle(handoffDiff, ({ series, from, to }, { actor }) => this.#diff(series, from, to, actor));
    dispatch.handle(seriesVerify, ({ series }) => this.#verify(this.#seriesNamed(series)));
    dispatch.handle(seriesClose, (input, { actor }) => this.#closeSeries(input, actor));
  }

  #seriesNamed(text: string): string {
    const { views } = this.#town.ledger;
    const known = seriesRows(views).map((row) => row.series);
    if (known.includes(text)) return text;
    const session = this.#town.plan?.sessions.find((each) => [each.id, each.name, nameOf(each)].includes(text));
    if (session?.chapter && known.includes(session.chapter.series)) return session.chapter.series;
    throw new BosunError({
      code: "NOT_FOUND",
      what: `there is no series "${text}"`,
      why: known.length === 0 ? "no session has had a chapter yet" : `there are ${known.slice(0, 8).join(", ")}`,
      fix: "chapter: { minutes: 60 } in the floor plan; bosun books shows them",
    });
  }

  /** The series meant: named, or that of the session the caller runs in. */
  #seriesOr(text: string | undefined, actor: Actor): string {
    if (text !== undefined) return this.#seriesNamed(text);
    const own = actor.session === null ? null : newestChapter(this.#town.ledger.views, actor.session);
    if (own) return own.series;
    const all = seriesRows(this.#town.ledger.views);
    if (all.length === 1) return all[0]!.series;
    throw new BosunError({
      code: "USAGE",
      what: "which series is meant?",
      why: `there are ${all.map((row) => row.series).join(", ") || "none yet"}`,
      fix: "bosun books",
    });
  }

  /** The session a caller speaks of: an agent of its own, whoever runs the floor of any. */
  #sessionOf(text: string | undefined, actor: Actor): PlanSession {
    const id = text === undefined ? actor.session : this.#town.declared(text).id;
    const session = this.#town.plan?.sessions.find((each) => each.id === id);
    if (!session) {
      throw new BosunError({
        code: "USAGE",
        what: "which session is meant?",
        why: "this is not one of bosun's own",
        fix: "name one: bosun books",
      });
    }
    if (actor.role === "agent" && session.id !== actor.session) {
      throw new BosunError({
        code: "REFUSED",
        what: `${actor.id} does not write the book of ${nameOf(session)}`,
        why: "an agent writes that of the session it runs in",
      });
    }
    return session;
  }

  #openOf(text: string | undefined, actor: Actor): { session: PlanSession; row: ChapterRow } {
    const session = this.#sessionOf(text, actor);
    const row = openChapter(this.#town.ledger.views, session.id);
    if (row) return { session, row };
    throw new BosunError({
      code: "NOT_FOUND",
      what: `${nameOf(session)} is in no chapter`,
      why: session.chapter ? "its last one is closed, or it does not run" : "its plan has no chapter:",
      fix: session.chapter ? `bosun up ${session.id}` : "chapter: { minutes: 60, turns: 100 }",
    });
  }

  async #brief(text: string | undefined, actor: Actor) {
    const { row } = this.#openOf(text, actor);
    const own = actor.session === row.session;
    if (own) await this.#chapters.acknowledge(row, actor.name);
    const file = this.#accounts.filesFor(row.series).brief(row.number);
    return {
      series: row.series,
      number: row.number,
      text: this.#accounts.briefText(row),
      file,
      acknowledged: own || row.ackAtMs !== null,
    };
  }

  async #acknowledgeAs(input: InputOf<typeof chapterAcknowledge>, actor: Actor) {
    const { row } = this.#openOf(input.session, actor);
    if (input.digest !== undefined && row.previous !== null && !row.previous.startsWith(input.digest)) {
      throw new BosunError({
        code: "CONFLICT",
        what: `the handoff of ${row.series} #${row.number} is ${row.previous.slice(0, 12)}, not ${input.digest.slice(0, 12)}`,
        why: "another one was read",
        fix: "bosun brief",
      });
    }
    await this.#chapters.acknowledge(row, actor.name, input.force ?? false, input.because ?? null);
    return { chapter: this.#asItIsNow(row) };
  }

  async #head(input: InputOf<typeof chapterHead>, actor: Actor) {
    const { row } = this.#openOf(input.session, actor);
    const because = input.because ?? null;
    if (row.heading !== null && row.heading !== input.heading && because === null) {
      throw new BosunError({
        code: "REFUSED",
        what: `${row.series} #${row.number} has a heading: ${row.heading}`,
        why: "one chapter is one contribution; a second heading is a decision",
        fix: '--because "why it changes"',
      });
    }
    if (row.heading !== input.heading) {
      const events: Event[] = [
        { type: "chapter.headed", data: { series: row.series, number: row.number, heading: input.heading, because } },
      ];
      if (row.phase === "opening" && (row.ackAtMs !== null || row.previous === null))
        events.push(turned(row, { phase: "work", blind: false, because: "it is oriented, and has a heading" }));
      await this.#chapters.append(events, actor.name);
      this.#accounts.publish(row.series);
    }
    return { chapter: this.#asItIsNow(row) };
  }

  async #work(input: InputOf<typeof chapterWork>, actor: Actor) {
    const { row } = this.#openOf(input.session, actor);
    const missing = [
      ...(row.ackAtMs === null && row.previous !== null ? ["the handoff is not acknowledged (bosun brief)"] : []),
      ...(row.heading === null ? ["it has no heading (bosun heading TEXT)"] : []),
    ];
    if (row.phase === "opening") {
      if (missing.length > 0 && !input.force) {
        throw new BosunError({
          code: "REFUSED",
          what: `${row.series} #${row.number} is still opening`,
          why: `${missing.join(", and ")}: orientation comes before motion`,
          fix: "or --force, which is recorded",
        });
      }
      const why = missing.length > 0 ? `forced: ${input.because ?? missing.join(", ")}` : "it is oriented";
      await this.#chapters.append(
        [turned(row, { phase: "work", blind: missing.length > 0, because: why })],
        actor.name,
      );
      this.#accounts.publish(row.series);
    }
    return { chapter: this.#asItIsNow(row) };
  }

  async #note(input: InputOf<typeof chapterNote>, actor: Actor) {
    const { row } = this.#openOf(input.session, actor);
    if (input.text !== undefined && row.phase === "opening") {
      throw new BosunError({
        code: "REFUSED",
        what: `${row.series} #${row.number} is still opening`,
        why: "there is no progress before the work begins: orientation comes before motion",
        fix: "bosun brief, bosun heading TEXT, or bosun book work --force",
      });
    }
    const pulse = this.#pulses.of(row);
    // Both counts only grow: what the agent counts, and what was seen.
    if (input.turns !== undefined) pulse.turns = Math.max(pulse.turns, input.turns);
    if (input.tokens !== undefined) pulse.tokens = Math.max(pulse.tokens, input.tokens);
    await this.#chapters.append([this.#pulses.noted(row, input.text ?? null)], actor.name);
    return { chapter: this.#asItIsNow(row) };
  }

  async #extend(input: InputOf<typeof chapterExtend>, actor: Actor) {
    const { row } = this.#openOf(input.session, actor);
    if (row.extended) {
      throw new BosunError({
        code: "REFUSED",
        what: `${row.series} #${row.number} was extended already`,
        why: "once: no book is infinite",
        fix: "bosun handoff write --close, and go on in the next chapter",
      });
    }
    if (input.minutes === undefined && input.turns === undefined)
      throw new BosunError({ code: "USAGE", what: "extend by what?", fix: "--minutes 15 or --turns 20" });
    const { ceilings } = row;
    const moved = {
      ...ceilings,
      ...(input.minutes !== undefined && ceilings.minutes !== null && { minutes: ceilings.minutes + input.minutes }),
      ...(input.turns !== undefined && ceilings.turns !== null && { turns: ceilings.turns + input.turns }),
    };
    await this.#chapters.append(
      [
        {
          type: "chapter.extended",
          data: { series: row.series, number: row.number, ceilings: moved, because: input.because },
        },
      ],
      actor.name,
    );
    this.#chapters.moved(row);
    this.#accounts.publish(row.series);
    return { chapter: this.#asItIsNow(row) };
  }

  async #write({ session: text, close = false, ...given }: InputOf<typeof handoffWrite>, actor: Actor) {
    const session = this.#sessionOf(text, actor);
    const newest = newestChapter(this.#town.ledger.views, session.id);
    if (!newest) this.#openOf(text, actor);
    const { series, number } = newest!;
    const files = this.#accounts.filesFor(series);
    const { result } = await this.#town.ledger.write({
      actor: actor.name,
      decide: (views) => {
        const row = chapterRow(views, series, number)!;
        const known = handoffBy(views, series, number, actor.name);
        const same = known !== null && JSON.stringify(carried(given, known.parts)) === JSON.stringify(known.parts);
        if (row.phase === "closed") {
          if (same || Object.keys(given).length === 0)
            return {
              events: [],
              result: { digest: (known ?? handoffRow(views, series)!).digest, duplicate: true, found: [] as string[] },
            };
          throw new BosunError({
            code: "CONFLICT",
            what: `${series} #${number} is closed`,
            why: `it ended (${row.endReason})${row.burned ? " and burned" : ""}; the next chapter carries on`,
            fix: "bosun books",
          });
        }
        const events: Event[] = [];
        let digest = known?.digest ?? "";
        let found: string[] = [];
        if (!same) {
          const before = this.#accounts.takenIn(views, series, files, events);
          const parts = carried(given, before?.parts ?? {});
          const written = this.#accounts.version(row, close ? "closed" : null, actor.name, parts, before);
          if (Buffer.byteLength(written.handoff.text) > MAX_HANDSHAKE_BYTES) {
            throw new BosunError({
              code: "TOO_LARGE",
              what: `the handshake would have ${Buffer.byteLength(written.handoff.text)} bytes`,
              why: `${MAX_HANDSHAKE_BYTES} at most`,
              fix: "put the rest into files and name them under read",
            });
          }
          digest = written.handoff.digest;
          events.push(this.#pulses.noted(row, null), written.event);
          const discoveries = this.#discoveries(row, given.discoveries ?? [], actor);
          events.push(...discoveries.events);
          found = discoveries.keys;
        }
        if (close)
          events.push({
            type: "chapter.closed",
            data: {
              series,
              number,
              reason: "closed",
              writtenBy: actor.name,
              burned: false,
              because: "its handoff is written",
            },
          });
        return { events, result: { digest, duplicate: same, found } };
      },
    });
    this.#accounts.publish(series);
    const row = chapterRow(this.#town.ledger.views, series, number)!;
    return {
      series,
      number,
      digest: result.digest,
      duplicate: result.duplicate,
      closed: row.phase === "closed",
      file: files.handshake,
      warnings: warningsOf(given, row),
      discoveries: result.found,
    };
  }

  #asItIsNow({ series, number }: ChapterRow) {
    return this.#accounts.shown(chapterRow(this.#town.ledger.views, series, number)!);
  }

  /** What is new and permanent goes into shared memory: one fact each, said once. */
  #discoveries(row: ChapterRow, texts: readonly string[], actor: Actor): { events: Event[]; keys: string[] } {
    const keys = texts.map(
      (each) => `${row.series}/${row.number}/${createHash("sha256").update(each).digest("hex").slice(0, 8)}`,
    );
    const events = texts.map((each, index): Event => {
      return {
        type: "memory.set",
        data: {
          id: timedId(crypto.randomUUID(), this.#town.now()),
          key: keys[index]!,
          valueJson: JSON.stringify(each),
          type: "fact",
          tags: [`series:${row.series}`, `chapter:${row.series}#${row.number}`],
          by: actor.id,
          expiresAtMs: null,
          metadata: { series: row.series, chapter: row.number },
          setAtMs: null,
        },
      };
    });
    return { events: events.filter((_event, index) => keys.indexOf(keys[index]!) === index), keys: [...new Set(keys)] };
  }

  #list({ series, limit = 5 }: InputOf<typeof chapterList>) {
    const { views } = this.#town.ledger;
    const wanted = series === undefined ? null : this.#seriesNamed(series);
    return {
      series: seriesRows(views)
        .filter((row) => wanted === null || row.series === wanted)
        .map((row) => {
          const newest = handoffRow(views, row.series);
          const chapters = chaptersOf(views, row.series, limit);
          const ageMs = newest ? this.#town.now() - newest.atMs : null;
          const closed = chapters.find((each) => each.phase === "closed");
          return {
            series: row.series,
            closed: row.closedAtMs === null ? null : iso(row.closedAtMs),
            handshake: newest ? this.#accounts.filesFor(row.series).handshake : null,
            handoff_age_ms: ageMs,
            stale: ageMs === null ? closed !== undefined : ageMs > STALE_MS || newest!.number < (closed?.number ?? 0),
            chapters: chapters.map((each) => this.#accounts.shown(each)),
          };
        }),
    };
  }

  #show(text: string | undefined, number: number | undefined, actor: Actor) {
    const { views } = this.#town.ledger;
    const series = this.#seriesOr(text, actor);
    const row = number === undefined ? chaptersOf(views, series, 1)[0] : chapterRow(views, series, number);
    if (!row)
      throw new BosunError({
        code: "NOT_FOUND",
        what: `${series} has no chapter ${number}`,
        fix: `bosun books ${series}`,
      });
    const handoff = handoffOf(views, series, row.number);
    return { chapter: this.#accounts.shown(row), handoff: handoff ? publicHandoff(handoff) : null };
  }

  #handoff(text: string | undefined, version: number | undefined, actor: Actor) {
    const series = this.#seriesOr(text, actor);
    const row = handoffRow(this.#town.ledger.views, series, version);
    if (!row)
      throw new BosunError({
        code: "NOT_FOUND",
        what:
          version === undefined
            ? `${series} has no handoff yet`
            : `the handshake of ${series} has no version ${version}`,
        fix: `bosun books ${series}`,
      });
    return { handoff: publicHandoff(row), versions: handoffRow(this.#town.ledger.views, series)!.version };
  }

  #diff(text: string | undefined, from: number | undefined, to: number | undefined, actor: Actor) {
    const newer = this.#handoff(text, to, actor).handoff;
    const older = this.#handoff(newer.series, from ?? Math.max(1, newer.version - 1), actor).handoff;
    return { from: older.version, to: newer.version, lines: diffLines(older.text, newer.text) };
  }

  #verify(series: string) {
    const { views } = this.#town.ledger;
    const rows = handoffRows(views, series);
    const chapters = chaptersOf(views, series, Number.MAX_SAFE_INTEGER);
    const broken = rows.flatMap((row, index) => {
      const before = rows[index - 1];
      return [
        ...(digestOf(row.text) === row.digest ? [] : [`version ${row.version}: its text is not what its digest says`]),
        ...(row.previous === (before?.digest ?? null)
          ? []
          : [`version ${row.version} does not follow version ${row.version - 1}`]),
      ];
    });
    const numbers = new Set(rows.map((row) => row.digest));
    for (const row of chapters)
      if (row.previous !== null && !numbers.has(row.previous))
        broken.push(`#${row.number} opened with a handoff that is not there`);
    const newest = rows.at(-1)?.parts;
    const gaps = newest?.gaps ?? [];
    return {
      ok: broken.length === 0,
      versions: rows.length,
      chapters: chapters.length,
      broken,
      burned: chapters.flatMap((row) => (row.burned ? [row.number] : [])).toReversed(),
      blind: chapters.flatMap((row) => (row.blind ? [row.number] : [])).toReversed(),
      gaps,
      contradictions: newest?.contradictions ?? [],
    };
  }

  async #closeSeries({ series: text, because, reopen }: InputOf<typeof seriesClose>, actor: Actor) {
    const series = this.#seriesNamed(text);
    const event: Event = reopen
      ? { type: "series.reopened", data: { series, because } }
      : { type: "series.closed", data: { series, because } };
    await this.#chapters.append([event], actor.name);
    return { series, closed: reopen !== true };
  }
}

function publicHandoff({ parts: _parts, atMs, writtenBy, ...row }: HandoffRow): Handoff {
  return { ...row, at: iso(atMs), written_by: writtenBy };
}

/** What travels on by itself: pending items, contradictions, gaps. */
function carried(given: HandoffParts, before: HandoffParts): HandoffParts {
  const merge = (a: readonly string[] = [], b: readonly string[] = []): string[] =>
    [...new Set([...a, ...b])].slice(-CARRIED);
  return {
    ...given,
    pending: mergePending(before.pending ?? [], given.pending ?? []),
    contradictions: merge(before.contradictions, [...(given.contradictions ?? []), ...contradictionsIn(given)]),
    gaps: merge(before.gaps, given.gaps),
  };
}

function warningsOf(given: HandoffParts, row: ChapterRow): string[] {
  const empty = (items: readonly unknown[] | undefined): boolean => (items?.length ?? 0) === 0;
  return [
    ...(given.pending ?? []).flatMap((item) => [
      ...(item.state ? [] : [`"${item.text}" has no state`]),
      ...(item.owner ? [] : [`"${item.text}" has no owner`]),
    ]),
    ...(given.summary ? [] : ["it has no summary"]),
    ...(empty(given.read) ? ["nothing to read next time is named"] : []),
    ...(empty(given.pickup) ? ["nothing to pick up next time is named"] : []),
    ...(empty(given.questions) ? ["no open question is named"] : []),
    ...(row.heading === null ? ["the chapter had no heading"] : []),
    ...(row.blind ? ["the chapter worked blind"] : []),
  ];
}
