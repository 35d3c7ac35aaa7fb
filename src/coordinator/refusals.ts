import { CATALOGUE } from "../protocol/catalogue.ts";
import { BosunError, type ErrorBody } from "../protocol/error.ts";
import { sanitise } from "../protocol/text.ts";
import { KeyReused, type Ledger } from "./log/ledger.ts";

/** Alike refusals within this time become one entry with a count: a flood of them cannot fill the log. */
const COALESCE_MS = 1_000;

/** The longest text of an entry that comes from outside, in characters. */
const MAX_TEXT = 300;

/** Who is written down when a credential says nothing: nobody is known by it. */
const NOBODY = "unknown";

/** A refusal that knows more than its text: what was claimed, and whose the credential was as long as it counted. */
export class Refusal extends BosunError {
  readonly claimed: string | null;
  readonly actor: string | null;

  constructor(body: ErrorBody, about: { claimed?: string | undefined; actor?: string | undefined } = {}) {
    super(body);
    this.claimed = about.claimed ?? null;
    this.actor = about.actor ?? null;
  }
}

/**
 * Writes into the log who tried what they may not: one entry at the first time, and one with a count for those that follow
 * within a second, per actor, operation and code. Never holds a token.
 */
export class Refusals {
  readonly #ledger: Ledger;
  readonly #report: (error: unknown) => void;
  readonly #open = new Map<string, { count: number; timer: NodeJS.Timeout; write: (count: number) => Promise<void> }>();

  /** `report` hears of entries that could not be written; the caller of the refused operation does not. */
  constructor(ledger: Ledger, report: (error: unknown) => void) {
    this.#ledger = ledger;
    this.#report = report;
  }

  /** Resolves when it is in the log, or counted to be. Does nothing with errors that are no refusals. `actor` null: nobody known. */
  async note(actor: string | null, operation: string, thrown: unknown): Promise<void> {
    if (!isRefusal(thrown)) return;
    const about = thrown instanceof Refusal ? thrown : null;
    const by = actor ?? about?.actor ?? NOBODY;
    const op = CATALOGUE.has(operation) ? operation : "?";
    const key = `${by} ${op} ${thrown.code}`;
    const open = this.#open.get(key);
    if (open) {
      open.count++;
      return;
    }
    const because = clean(thrown.message);
    const claimed = about?.claimed == null ? null : clean(about.claimed);
    const write = async (count: number): Promise<void> => {
      try {
        await this.#ledger.write({
          actor: by,
          decide: () => ({
            events: [{ type: "access.refused", data: { op, code: thrown.code, because, claimed, count } }],
            result: null,
          }),
        });
      } catch (error) {
        this.#report(error);
      }
    };
    const timer = setTimeout(() => this.#end(key), COALESCE_MS);
    timer.unref();
    this.#open.set(key, { count: 0, timer, write });
    await write(1);
  }

  /** Writes what was counted and not yet written. */
  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((key) => this.#end(key)));
  }

  async #end(key: string): Promise<void> {
    const open = this.#open.get(key);
    if (!open) return;
    clearTimeout(open.timer);
    this.#open.delete(key);
    if (open.count > 0) await open.write(open.count);
  }
}

function isRefusal(thrown: unknown): thrown is BosunError {
  if (thrown instanceof KeyReused) return true;
  return thrown instanceof BosunError && (thrown.code === "REFUSED" || thrown.code === "STALE_EPOCH");
}

/** A claim may be anything, a token pasted into the wrong field too. */
function clean(text: string): string {
  return sanitise(text)
    .replace(/bosun_tok_[\w-]*/g, "bosun_tok_…")
    .slice(0, MAX_TEXT);
}
