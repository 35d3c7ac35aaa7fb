import { join } from "node:path";
import type { StoredEvent } from "../protocol/event.ts";
import { searchText } from "../protocol/hub.ts";
import type { OutputOf } from "../protocol/operation.ts";
import type { Actor, Dispatch } from "./dispatch.ts";
import { runsFloor } from "./mail/sending.ts";
import { keyRow, valueAt } from "./memory/projection.ts";
import { messageAt, takesPart } from "./messages/projection.ts";
import { rfc3339 } from "./registry.ts";
import { type Found, SearchStore } from "./search/store.ts";
import type { Town } from "./town.ts";

/** The index is filled this long after an entry, so that writing is not slowed; a search fills it first. */
const FILL_AFTER_MS = 250;

/** Entries of the log looked at in one turn of the event loop. */
const PORTION = 500;

/** Hits of one page unless asked for more. */
const PAGE = 20;

/** Hits that the searcher may not see are skipped; after so many looks the page is given as it is. */
const LOOKS = 50;

/** Of the line that shows a hit. */
const LINE_CHARS = 160;

type Hit = OutputOf<typeof searchText>["hits"][number];

/** Full-text search in mail and memory. Its index lies beside the log, is filled behind it, and can be deleted at any time. */
export class Search {
  readonly #town: Town;
  readonly #store: SearchStore;
  readonly #leave: () => void;
  #timer: NodeJS.Timeout | null = null;
  #filling: Promise<void> | null = null;
  #closed = false;

  constructor(dispatch: Dispatch, town: Town) {
    this.#town = town;
    this.#store = new SearchStore(join(town.cradle.stateFolder, "search.sqlite"), town.ledger.head().position);
    this.#leave = town.ledger.tail(({ event }) => {
      if (event.type === "message.sent" || event.type === "memory.set") this.#fillSoon();
    });
    this.#fillSoon();
    dispatch.handle(searchText, async ({ query, in: kinds, since, after, limit = PAGE }, { actor }) => {
      await this.#fill();
      const sinceMs = since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(since);
      return this.#find(query, kinds ?? ["message", "memory"], sinceMs, after ?? Number.MAX_SAFE_INTEGER, limit, actor);
    });
  }

  close(): void {
    this.#closed = true;
    this.#leave();
    if (this.#timer) clearTimeout(this.#timer);
    this.#store.close();
  }

  #find(query: string, kinds: string[], sinceMs: number, before: number, limit: number, actor: Actor) {
    const hits: Hit[] = [];
    let place = before;
    for (let look = 0; look < LOOKS && hits.length <= limit; look++) {
      const found = this.#store.find(query, kinds, place, limit + 1);
      for (const each of found) {
        const hit = this.#hitOf(each, query, actor);
        if (hit && Date.parse(hit.at) >= sinceMs) hits.push(hit);
        place = each.position;
        if (hits.length > limit) break;
      }
      if (found.length <= limit) return page(hits, limit, null);
    }
    return page(hits, limit, place);
  }

  /** Null: not for this reader, or not the newest value any more. */
  #hitOf({ position, kind }: Found, query: string, actor: Actor): Hit | null {
    const { views } = this.#town.ledger;
    if (kind === "message") {
      const row = messageAt(views, position);
      if (!row || !(runsFloor(actor) || takesPart(views, row.thread, actor.id))) return null;
      const line = lineOf([row.subject, row.body], query);
      return { kind, id: row.id, line, from: row.from, at: rfc3339(row.atMs), seq: position };
    }
    const row = valueAt(views, position);
    const newest = row && keyRow(views, row.key);
    if (!row || newest?.position !== position) return null;
    if (row.expiresAtMs !== null && row.expiresAtMs <= this.#town.now()) return null;
    const line = lineOf([row.key, row.valueJson], query);
    return { kind, id: row.key, line, from: row.by, at: rfc3339(row.atMs), seq: position };
  }

  #fillSoon(): void {
    if (this.#timer || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#fill().catch((error: unknown) => this.#town.log.warn({ err: error }, "the search index cannot be filled"));
    }, FILL_AFTER_MS);
    this.#timer.unref();
  }

  /** Up to the newest entry of this moment. */
  async #fill(): Promise<void> {
    const head = this.#town.ledger.head().position;
    while (!this.#closed && this.#store.position < head) {
      this.#filling ??= this.#fillPortion().finally(() => {
        this.#filling = null;
      });
      await this.#filling;
    }
  }

  async #fillPortion(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#closed) return;
    const entries = this.#town.ledger.read(this.#store.position, PORTION);
    const last = entries.at(-1);
    if (last) this.#store.add(entries.flatMap(textOf), last.position);
  }
}

function textOf({ event, position }: StoredEvent): (Found & { text: string })[] {
  if (event.type === "message.sent") {
    const { subject, body, dataJson } = event.data;
    return [{ position, kind: "message", text: [subject, body, dataJson ?? ""].join("\n") }];
  }
  if (event.type === "memory.set") {
    const { key, valueJson, tags } = event.data;
    // Words of a key are found one by one: deploy_state, task/api-design.
    const words = [key, key.replaceAll("_", " "), ...tags, plain(valueJson)];
    return [{ position, kind: "memory", text: words.join("\n") }];
  }
  return [];
}

/** A value's own words: its strings without their escapes. */
function plain(json: string): string {
  const value = JSON.parse(json) as unknown;
  return typeof value === "string" ? value : json.replace(/\\[nrtbf]/g, " ").replace(/\\u[0-9a-f]{4}/gi, " ");
}

/** The line that holds one of the words, behind what the text is called. */
function lineOf([title, text]: [string, string], query: string): string {
  const words = query
    .toLowerCase()
    .split(/[\s"*]+/)
    .filter((word) => word !== "");
  const lines = text.split("\n").map((line) => line.trim());
  const fitting = lines.find((line) => words.some((word) => line.toLowerCase().includes(word)));
  const line = fitting ?? lines.find((each) => each !== "") ?? "";
  const first = words.map((word) => line.toLowerCase().indexOf(word)).filter((at) => at > LINE_CHARS / 2);
  const from = first.length > 0 ? Math.min(...first) - 20 : 0;
  const part = from > 0 ? `…${line.slice(from)}` : line;
  return `${title}: ${part}`.slice(0, LINE_CHARS);
}

function page(hits: Hit[], limit: number, place: number | null) {
  const shown = hits.slice(0, limit);
  return { hits: shown, next: hits.length > limit ? shown.at(-1)!.seq : place };
}
