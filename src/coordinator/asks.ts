import { randomBytes } from "node:crypto";
import { agentListen, askAgent, askAnswer, routeExplain } from "../protocol/ask.ts";
import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import { nearest } from "../protocol/nearest.ts";
import { agentsOf, type PlanAgent, type PlanSession } from "../protocol/plan.ts";
import { sanitise } from "../protocol/text.ts";
import { fifoOf } from "./birth.ts";
import type { Actor, Dispatch, Stream } from "./dispatch.ts";
import type { Display, Displays } from "./displays.ts";
import { FIFO_BYTES, Fifo } from "./fifo.ts";
import { roomsOf } from "./narrate.ts";
import type { Nudging } from "./nudging.ts";
import { composed } from "./screens/composer.ts";
import type { TmuxPane, TmuxSession } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/** Long enough for an agent in the middle of a thought, short enough that a person does not wonder. */
const DEFAULT_TIMEOUT_MS = 30_000;

/** A shell agent that loops `read line < fifo` closes it between two questions; within this time it is back. */
const FIFO_PATIENCE_MS = 1_000;

/** Its answer comes by a hook within this of its rest, where it has one. */
const SAYS_WITHIN_MS = 1_500;

/** A person pressing keys owns the pane; 10 s is the longest pause between two keys of one thought. */
const HUMAN_QUIET_MS = 10_000;

/** A typed question is answered when the pane has been still for this long. */
const STILL_MS = 500;

/** Words on the last lines of a screen that mean: this program waits for a yes or no, and typing would answer it. */
const DIALOG = /\(y\/n\)|\[y\/n\]|\[yes\/no\]|do you want|are you sure|password:|passphrase|❯ ?1\.|press enter to/i;

/** A broker outside (NATS) as another way to an agent. */
export interface Broker {
  request(agent: string, question: string, timeoutMs: number): Promise<string>;
}

/** Agent, session and pane a question goes to; `session` null for one enrolled from outside. */
interface Target {
  id: string;
  agent: PlanAgent | null;
  session: PlanSession | null;
  slot: string | null;
}

type Route = "socket" | "fifo" | "keys" | "broker";

interface Pending {
  target: Target;
  settle: (answer: string) => void;
}

export class Asks {
  readonly #town: Town;
  readonly #displays: Displays;
  readonly #nudging: Nudging;
  readonly #broker: () => Promise<Broker | null>;
  readonly #listeners = new Map<string, Set<Stream>>();
  readonly #pending = new Map<string, Pending>();
  readonly #fifos = new Map<string, Fifo>();

  constructor(town: Town, broker: () => Promise<Broker | null>, displays: Displays, nudging: Nudging) {
    this.#town = town;
    this.#broker = broker;
    this.#displays = displays;
    this.#nudging = nudging;
  }

  register(dispatch: Dispatch): void {
    dispatch.handle(askAgent, (input, call) => this.#ask(input, call.actor));
    dispatch.handle(agentListen, (input, call) => this.#listen(input.agent, call.actor, call.stream));
    dispatch.handle(askAnswer, (input, call) => this.#answer(input, call.actor));
    dispatch.handle(routeExplain, (input, call) => this.#explain(input.to, input.near ?? [], call.actor));
  }

  async #ask(
    input: {
      agent: string;
      text: string;
      near?: string[] | undefined;
      timeoutMs?: number | undefined;
      via?: "auto" | Route | undefined;
    },
    actor: Actor,
  ) {
    const [target, ...also] = this.#resolve(input.agent, input.near ?? []);
    const timeoutMs = input.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const startedMs = performance.now();
    const ask = `q-${randomBytes(5).toString("hex")}`;
    const route = this.#routeTo(target!, input.via ?? target!.agent?.ask ?? "auto").by;
    if (route === "keys" && actor.role === "viewer")
      throw heldBack(target!, `${actor.id} is a viewer, and it can only be reached by typing`);
    await this.#record(
      { type: "ask.asked", data: { ask, from: actor.id, agent: target!.id, text: input.text, route } },
      actor,
    );
    try {
      const answer = await this.#carry(ask, route, target!, input.text, actor, timeoutMs);
      return {
        ask,
        agent: target!.id,
        answer,
        route,
        also: also.map((other) => other.id),
        ms: Math.round(performance.now() - startedMs),
      };
    } catch (error) {
      const because = error instanceof Error ? error.message : String(error);
      await this.#record({ type: "ask.failed", data: { ask, agent: target!.id, because } }, actor);
      throw error;
    } finally {
      this.#pending.delete(ask);
    }
  }

  #record(event: Event, actor: Actor) {
    return this.#town.ledger.write({ actor: actor.name, decide: () => ({ events: [event], result: null }) });
  }

  async #carry(
    ask: string,
    route: Route,
    target: Target,
    text: string,
    actor: Actor,
    timeoutMs: number,
  ): Promise<string> {
    const question = JSON.stringify({ ask, from: actor.id, text });
    if (route === "keys") {
      const answer = await this.#type(target, text, timeoutMs);
      await this.#record({ type: "ask.answered", data: { ask, agent: target.id, text: answer } }, actor);
      return answer;
    }
    if (route === "broker") {
      const broker = await this.#broker();
      if (!broker)
        throw new BosunError({
          code: "UNREACHABLE",
          what: "no broker is configured",
          fix: "add broker: nats://127.0.0.1:4222 to the floor plan",
        });
      const answer = await broker.request(target.id, question, timeoutMs);
      await this.#record({ type: "ask.answered", data: { ask, agent: target.id, text: answer } }, actor);
      return answer;
    }
    const answered = new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(noAnswer(target, timeoutMs, route)), timeoutMs);
      this.#pending.set(ask, {
        target,
        settle: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
      });
    });
    if (route === "socket") for (const listener of this.#listeners.get(target.id) ?? []) listener.push(question);
    // The answer may be on its way before the write returns, so the wait is set up first.
    else await Promise.race([this.#writeFifo(target, question), answered]);
    return answered;
  }

  #fifoOf(agent: string): Fifo {
    const known = this.#fifos.get(agent);
    if (known) return known;
    const fifo = new Fifo(fifoOf(this.#town.cradle.stateFolder, agent));
    this.#fifos.set(agent, fifo);
    return fifo;
  }

  /** Never blocks: a FIFO nobody reads, or whose reader has stopped, is an error after a short patience. */
  async #writeFifo(target: Target, question: string): Promise<void> {
    const line = Buffer.from(`${question}\n`);
    if (line.length > FIFO_BYTES) {
      throw new BosunError({
        code: "TOO_LARGE",
        what: `the question has ${line.length} bytes`,
        why: `a FIFO carries ${FIFO_BYTES} in one piece`,
        fix: "ask shorter, or let the agent listen on its socket",
      });
    }
    const fifo = this.#fifoOf(target.id);
    const untilMs = performance.now() + FIFO_PATIENCE_MS;
    for (;;) {
      const problem = fifo.write(line);
      if (problem === null) return;
      if (performance.now() > untilMs) {
        throw new BosunError({
          code: "UNREACHABLE",
          what: `${target.id} does not read its FIFO`,
          why: problem,
          fix: `bosun logs ${target.session?.id ?? target.id}   shows what it does`,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Typed text, the last resort: only into a prompt that is nobody's, and what the pane then says is the answer. */
  async #type(target: Target, text: string, timeoutMs: number): Promise<string> {
    const { pane, session } = await this.#paneOf(target);
    const quietMs = await this.#town.tmux.sinceHumanKeyMs(session.id);
    if (quietMs !== null && quietMs < HUMAN_QUIET_MS) throw heldBack(target, "a person is typing there");
    if (pane.inMode) throw heldBack(target, "its pane is in copy mode");
    await this.#displays.ready(session.marks!.id);
    const display = this.#displays.at(pane.id);
    // Its own profile, not that of any program: a shell is no conversation.
    if (display && composed(display.screen, display.profiles.slice(0, 1)))
      return this.#converse(target, display, text, timeoutMs);
    const before = await this.#screen(pane);
    if (DIALOG.test(before.split("\n").slice(-8).join("\n"))) throw heldBack(target, "it waits for a yes or no");
    await this.#town.tmux.typeText(pane.id, text, { enter: true });
    const untilMs = performance.now() + timeoutMs;
    let last = before;
    let stillSinceMs = performance.now();
    while (performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      const now = await this.#screen(pane);
      if (now !== last) {
        last = now;
        stillSinceMs = performance.now();
      }
      const answer = behind(before, last, text);
      if (answer !== "" && performance.now() - stillSinceMs >= STILL_MS) return answer;
    }
    throw noAnswer(target, timeoutMs, "keys");
  }

  /** With a program that has a place to type and says what it does: the question is submitted there, its next answer is the answer. */
  async #converse(target: Target, display: Display, text: string, timeoutMs: number): Promise<string> {
    const before = sanitise(display.screen.text().join("\n"));
    const askedMs = this.#town.now();
    const { outcome, why } = await this.#nudging.typeNow(display.session, display.slot, text);
    if (outcome !== "submitted") throw heldBack(target, why);
    const untilMs = askedMs + timeoutMs;
    let restedMs: number | null = null;
    while (this.#town.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      if (display.answered && display.answered.atMs > askedMs) return sanitise(display.answered.text);
      const { state, reason, sinceMs, text: asks } = display.track.activity;
      if (state === "waiting")
        throw heldBack(target, `it asks a person first (${reason}): ${asks ?? ""}`, "was answered by");
      if (state === "dead") throw heldBack(target, "its process has ended", "was answered by");
      const rests = (state === "idle" || state === "done-unseen") && sinceMs > askedMs;
      restedMs = rests ? (restedMs ?? this.#town.now()) : null;
      // It has no word of its own for its answer: then what its screen shows behind the question.
      if (restedMs !== null && this.#town.now() - restedMs > SAYS_WITHIN_MS) {
        const answer = behind(before, sanitise(display.screen.text().join("\n")), text);
        if (answer !== "") return answer;
      }
    }
    throw noAnswer(target, timeoutMs, "keys");
  }

  async #screen(pane: TmuxPane): Promise<string> {
    const texts = await this.#town.tmux.capture([pane.id], { historyLines: 2_000 });
    return sanitise(texts.get(pane.id) ?? "").replace(/\s+$/, "");
  }

  async #paneOf(target: Target): Promise<{ pane: TmuxPane; session: TmuxSession }> {
    const world = await this.#town.look();
    const session = world?.sessions.find(
      (each) => each.marks?.town === this.#town.name.name && each.marks.id === target.session?.id,
    );
    const pane = session?.windows
      .flatMap((window) => window.panes)
      .find((each) => each.slot === target.slot && !each.dead);
    if (session && pane) return { pane, session };
    throw new BosunError({
      code: "UNREACHABLE",
      what: `${target.id} does not run`,
      why: "its pane is gone or has ended",
      fix: `bosun restart ${target.session?.id ?? target.id}`,
    });
  }

  #listen(agent: string | undefined, actor: Actor, stream: Stream) {
    const id = agent ?? actor.id;
    if (id !== actor.id && actor.role !== "admin") {
      throw new BosunError({
        code: "REFUSED",
        what: `${actor.id} may not listen as ${id}`,
        why: "questions go to the agent they are meant for",
      });
    }
    const listeners = this.#listeners.get(id) ?? new Set();
    listeners.add(stream);
    this.#listeners.set(id, listeners);
    stream.onClose(() => listeners.delete(stream));
    return { agent: id };
  }

  async #answer(input: { ask: string; text: string }, actor: Actor) {
    const pending = this.#pending.get(input.ask);
    if (!pending) {
      throw new BosunError({
        code: "NOT_FOUND",
        what: `nobody waits for an answer to ${input.ask}`,
        why: "it was answered already, or the asker gave up",
      });
    }
    if (pending.target.id !== actor.id && actor.role !== "admin") {
      throw new BosunError({
        code: "REFUSED",
        what: `${input.ask} was put to ${pending.target.id}`,
        why: `${actor.id} may not answer for it`,
      });
    }
    this.#pending.delete(input.ask);
    await this.#record(
      { type: "ask.answered", data: { ask: input.ask, agent: pending.target.id, text: input.text } },
      actor,
    );
    pending.settle(input.text);
    return { accepted: true };
  }

  /**
   * Whom a name means: the exact id; `room/agent`; or the first part of ids (`deacon` for `deacon-spx`). Of several, those in
   * the rooms the asker looks at come first, then the plan's order.
   */
  #resolve(text: string, near: string[]): Target[] {
    const all = this.#targets();
    const exact = all.filter((target) => target.id === text);
    if (exact.length > 0) return exact;
    const [place, name] = text.includes("/")
      ? [text.slice(0, text.lastIndexOf("/")), text.slice(text.lastIndexOf("/") + 1)]
      : [null, text];
    const fitting = all.filter(
      (target) =>
        (target.id === name || target.id.startsWith(`${name}-`) || target.id.startsWith(`${name}_`)) &&
        (place === null ||
          [target.session?.room, target.session?.id, target.session?.name, target.session?.rig].includes(place)),
    );
    if (fitting.length === 0) throw unknownAgent(text, all);
    const rank = (target: Target): number => {
      const at = near.indexOf(target.session?.room ?? "");
      return at < 0 ? near.length : at;
    };
    return fitting.toSorted((a, b) => rank(a) - rank(b));
  }

  #targets(): Target[] {
    const declared = agentsOf(this.#town.plan?.sessions ?? []).map(
      ({ agent, session, slot }): Target => ({ id: agent.id, agent, session, slot }),
    );
    const known = new Set(declared.map((target) => target.id));
    const outside = [...this.#listeners.entries()].filter(([id, streams]) => streams.size > 0 && !known.has(id));
    return [...declared, ...outside.map(([id]): Target => ({ id, agent: null, session: null, slot: null }))];
  }

  /** The way a question takes now, and why. */
  #routeTo(target: Target, wanted: "auto" | Route): { by: Route; because: string } {
    if (wanted !== "auto") return { by: wanted, because: "asked for" };
    const listening = (this.#listeners.get(target.id)?.size ?? 0) > 0;
    if (listening) return { by: "socket", because: "it listens on the coordinator's socket" };
    if (target.session && this.#fifoOf(target.id).hasReader()) return { by: "fifo", because: "it reads its FIFO" };
    if (target.session)
      return { by: "keys", because: "it neither listens nor reads its FIFO, so the question is typed" };
    return { by: "socket", because: "it is outside our sessions" };
  }

  #explain(to: string, near: string[], actor: Actor) {
    const room = roomsOf(this.#town, actor).find((each) => each.room === to);
    if (room) {
      const by = "coordinator";
      return {
        hops: [
          {
            from: room.agents.join(", ") || "any agent",
            to: "coordinator",
            by: "socket (say, post)",
            because: "the only writer gives each line its place",
          },
          {
            from: "coordinator",
            to: `rooms.db ${to}`,
            by: "one durable write",
            because: "a line is shown only after it is safe",
          },
          ...(room.jsonl
            ? [{ from: "coordinator", to: room.jsonl, by: "JSONL mirror", because: "the room declares jsonl" }]
            : []),
          {
            from: by,
            to: `${room.watchers} watching views`,
            by: "socket (room.watch)",
            because: "each is sent every line once, in order",
          },
        ],
      };
    }
    const [target] = this.#resolve(to, near);
    const route = this.#routeTo(target!, target!.agent?.ask ?? "auto");
    return {
      hops: [
        { from: "you", to: "coordinator", by: "socket (ask.send)", because: "it knows where agents live" },
        { from: "coordinator", to: target!.id, by: route.by, because: route.because },
        {
          from: target!.id,
          to: "coordinator",
          by:
            route.by === "keys"
              ? "its pane's new lines"
              : route.by === "broker"
                ? "broker reply"
                : "socket (ask.answer)",
          because: "the answer carries the question's id",
        },
        { from: "coordinator", to: "you", by: "socket", because: "it answers the request that asked" },
      ],
    };
  }
}

/**
 * What the pane shows behind what it showed before: without the echo of the question, and without the prompt that waits for
 * the next one. The screen with its scrollback only grows; when it does not begin as before, it was cleared, and all is new.
 */
function behind(before: string, now: string, question: string): string {
  const old = before.split("\n");
  const lines = now.split("\n");
  const grown = old.slice(0, -1).every((line, index) => lines[index] === line);
  // The last line was a prompt that the question now stands behind, or is still what it was.
  const from = lines[old.length - 1] === old.at(-1) && old.at(-1) !== "" ? old.length : old.length - 1;
  const added = grown ? lines.slice(from) : lines;
  const echo = added.findIndex((line) => line.endsWith(question));
  const answer = echo < 0 ? added : added.slice(echo + 1);
  const prompt = from === old.length ? "" : old.at(-1);
  if (prompt !== "" && answer.at(-1) === prompt) answer.pop();
  return answer.join("\n").trim();
}

function unknownAgent(text: string, all: Target[]): BosunError {
  const word = text.split("/").at(-1)!;
  const kind = nearest(
    word,
    all.flatMap((target) => [target.id, target.id.split("-")[0]!]),
  );
  const near = all
    .filter((target) => kind !== null && (target.id === kind || target.id.startsWith(`${kind}-`)))
    .map((target) => target.id);
  return new BosunError({
    code: "UNKNOWN_AGENT",
    what: `nobody here is called "${text}"`,
    ...(near.length > 0
      ? { why: `did you mean ${near.slice(0, 3).join(", ")}${near.length > 3 ? ` (and ${near.length - 3} more)` : ""}` }
      : {}),
    fix: "bosun ls   shows the agents",
  });
}

function noAnswer(target: Target, timeoutMs: number, route: Route): BosunError {
  return new BosunError({
    code: "TIMEOUT",
    what: `${target.id} did not answer within ${timeoutMs / 1000} s`,
    why: `the question went by ${route}`,
    fix: `bosun logs ${target.session?.id ?? target.id}   shows what it does; --timeout waits longer`,
  });
}

function heldBack(target: Target, because: string, what = "was typed to"): BosunError {
  return new BosunError({
    code: "REFUSED",
    what: `nothing ${what} ${target.id}`,
    why: because,
    fix: `bosun send ${target.id} SUBJECT TEXT   leaves it in its inbox`,
  });
}
