import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import { LEASE_DEFAULT_S, leaseAcquire, leaseList, leaseRelease, leaseRenew } from "../protocol/lease.ts";
import { type Actor, type Call, type Dispatch, once } from "./dispatch.ts";
import type { Ledger } from "./log/ledger.ts";
import { runsFloor } from "./mail/sending.ts";
import { holdersOf, type LeaseRow, leaseRows } from "./memory/projection.ts";
import { rfc3339 } from "./registry.ts";
import type { Town } from "./town.ts";

/** As a command sees them: with all that was written before it. */
export type Views = Ledger["views"];

/** A lease and its token, shown with a write. */
export interface Fence {
  name: string;
  token: number;
}

interface Wish {
  names: string[];
  ttlS?: number | undefined;
  shared?: boolean | undefined;
  why?: string | undefined;
}

/** Somebody else holds a name; `freeAtMs` is when the last of them must let go, unless they renew. */
class Held extends BosunError {
  readonly freeAtMs: number;

  constructor(held: LeaseRow, freeAtMs: number, now: number) {
    super({
      code: "CONFLICT",
      what: `${held.name} is held by ${held.holder}`,
      why: `${held.shared ? "shared, " : ""}until ${rfc3339(held.expiresAtMs)}${held.why === "" ? "" : `: ${held.why}`}`,
      fix: "wait for it with --wait, or ask its holder",
      retryAfterMs: Math.max(0, freeAtMs - now),
    });
    this.freeAtMs = freeAtMs;
  }
}

/**
 * Names held for a time, so that two do not do the same work. All of the names of one call are got, or none: nobody waits
 * while holding. Those who wait try in the order they came.
 */
export class Leases {
  readonly #town: Town;
  readonly #waiting = new Set<() => void>();
  readonly #leave: () => void;

  constructor(dispatch: Dispatch, town: Town) {
    this.#town = town;
    this.#leave = town.ledger.tail(({ event }) => {
      if (event.type === "lease.released") for (const wake of [...this.#waiting]) wake();
    });
    dispatch.handle(leaseAcquire, (input, call) => this.#acquire(input, input.waitMs ?? 0, call));
    dispatch.handle(leaseRenew, (input, call) => this.#renew(input, call));
    dispatch.handle(leaseRelease, (input, call) => this.#release(input.names, input.force ?? false, call));
    dispatch.handle(leaseList, ({ pattern }) => ({
      leases: leaseRows(town.ledger.views, pattern, town.now()).map(leaseOf),
    }));
  }

  close(): void {
    this.#leave();
    for (const wake of [...this.#waiting]) wake();
  }

  async #acquire(wish: Wish, waitMs: number, call: Call) {
    const giveUpAtMs = this.#town.now() + waitMs;
    let gone = false;
    call.stream.onClose(() => {
      gone = true;
    });
    for (;;) {
      try {
        return await this.#tryAcquire(wish, call);
      } catch (thrown) {
        const now = this.#town.now();
        if (!(thrown instanceof Held) || now >= giveUpAtMs || gone) throw thrown;
        await this.#freed(Math.min(thrown.freeAtMs, giveUpAtMs) - now, call);
      }
    }
  }

  async #tryAcquire({ names, ttlS = LEASE_DEFAULT_S, shared = false, why = "" }: Wish, call: Call) {
    const holder = call.actor.id;
    await this.#town.ledger.write({
      actor: call.actor.name,
      ...once(call),
      decide: (views) => {
        const now = this.#town.now();
        const others = names
          .flatMap((name) => holdersOf(views, name, now))
          .filter((each) => each.holder !== holder && !(shared && each.shared));
        if (others.length > 0) throw new Held(others[0]!, Math.max(...others.map((each) => each.expiresAtMs)), now);
        const expiresAtMs = now + Math.round(ttlS * 1000);
        const event: Event = {
          type: "lease.acquired",
          data: { names: [...new Set(names)], holder, shared, expiresAtMs, why },
        };
        return { events: [event], result: null };
      },
    });
    return { held: this.#mine(holder, names) };
  }

  async #renew({ names, ttlS = LEASE_DEFAULT_S }: Wish, call: Call) {
    const holder = call.actor.id;
    await this.#town.ledger.write({
      actor: call.actor.name,
      ...once(call),
      decide: (views) => {
        const now = this.#town.now();
        for (const name of names) mustHold(views, name, holder, now);
        const expiresAtMs = now + Math.round(ttlS * 1000);
        return {
          events: [{ type: "lease.renewed", data: { names: [...new Set(names)], holder, expiresAtMs } }],
          result: null,
        };
      },
    });
    return { held: this.#mine(holder, names) };
  }

  async #release(names: string[], force: boolean, call: Call) {
    if (force && !runsFloor(call.actor)) {
      throw new BosunError({
        code: "REFUSED",
        what: `${call.actor.id} may not take a lease from somebody`,
        why: "that needs the role operator",
        fix: "ask its holder, or a person",
      });
    }
    const { result } = await this.#town.ledger.write({
      actor: call.actor.name,
      ...once(call),
      decide: (views) => {
        const now = this.#town.now();
        const because = force ? `taken by ${call.actor.id}` : "given back";
        const freed = new Map<string, string[]>();
        for (const name of new Set(names)) {
          const holders = holdersOf(views, name, now).map((each) => each.holder);
          const ending = force ? holders : holders.filter((holder) => holder === call.actor.id);
          if (ending.length === 0 && holders.length > 0) mustHold(views, name, call.actor.id, now);
          for (const holder of ending) freed.set(holder, [...(freed.get(holder) ?? []), name]);
        }
        return {
          events: [...freed].map(
            ([holder, released]): Event => ({
              type: "lease.released",
              data: { names: released, holder, because },
            }),
          ),
          result: { released: [...new Set([...freed.values()].flat())] },
        };
      },
    });
    return result;
  }

  #mine(holder: string, names: readonly string[]) {
    const { views } = this.#town.ledger;
    const now = this.#town.now();
    return [...new Set(names)].flatMap((name) =>
      holdersOf(views, name, now)
        .filter((each) => each.holder === holder)
        .map(leaseOf),
    );
  }

  /** Until a lease was given back, the time is over, or the caller leaves. */
  #freed(withinMs: number, call: Call): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.max(1, withinMs));
      this.#waiting.add(wake);
      call.stream.onClose(wake);
    });
  }
}

/** Refuses what is written under a lease that was lost. Throws CONFLICT. */
export function checkFence(views: Views, actor: Actor, fence: Fence, now: number): void {
  const held = holdersOf(views, fence.name, now).find((each) => each.holder === actor.id);
  if (held?.token === fence.token) return;
  throw new BosunError({
    code: "CONFLICT",
    what: `the lease on ${fence.name} under token ${fence.token} is lost`,
    why: held
      ? `${actor.id} holds it now under ${held.token}`
      : "it has expired, was given back, or is somebody else's",
    fix: `bosun lease acquire ${fence.name}   takes it anew; read again what it protects, and write with the new token`,
  });
}

/** Throws CONFLICT when somebody else holds it, NOT_FOUND when nobody does. */
function mustHold(views: Views, name: string, holder: string, now: number): LeaseRow {
  const holders = holdersOf(views, name, now);
  const mine = holders.find((each) => each.holder === holder);
  if (mine) return mine;
  const [other] = holders;
  if (other) throw new Held(other, other.expiresAtMs, now);
  throw new BosunError({
    code: "NOT_FOUND",
    what: `${holder} does not hold ${name}`,
    why: "the lease has expired or was given back",
    fix: `bosun lease acquire ${name}   takes it anew, with a new token`,
  });
}

function leaseOf({ sinceMs, expiresAtMs, ...lease }: LeaseRow) {
  return { ...lease, since: rfc3339(sinceMs), expires: rfc3339(expiresAtMs) };
}
