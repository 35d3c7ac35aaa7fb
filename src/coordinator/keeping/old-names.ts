import { existsSync } from "node:fs";
import { isAbsolute } from "node:path";
import { BosunError } from "../../protocol/error.ts";
import { roleOfOldName } from "../../protocol/names.ts";
import type { Plan, PlanSession } from "../../protocol/plan.ts";
import { sanitise } from "../../protocol/text.ts";
import type { Actor } from "../dispatch.ts";
import { predecessorsOf } from "../ghosts/predecessors.ts";
import { sessionRow } from "../sessions/projection.ts";
import type { TmuxSession, World } from "../tmux/port.ts";
import type { Town } from "../town.ts";
import { type Found, warning } from "./finding.ts";

type Ask = <T>(name: string, input?: unknown) => Promise<T>;

/**
 * Sessions under the names of the days of one town for a machine (`hq-mayor`, `gt-boot`), and under those that the plan gives as
 * `was`: found, renamed as they run, and called back. Their processes notice nothing, and whoever is attached stays.
 */
export class OldNames {
  readonly #town: Town;

  constructor(town: Town) {
    this.#town = town;
  }

  /** `meant`: sessions that whoever asked has named, although somebody is attached, they are protected, or nothing proves whose they are. */
  async look(meant: ReadonlySet<string>, ask: Ask): Promise<Found[]> {
    const world = await this.#town.look();
    const plan = this.#plan();
    if (!world || !plan) return [];
    return [...this.#unmarked(plan, world, meant, ask), ...this.#ours(plan, world, meant)];
  }

  /** Those that were renamed get their old names back. Without names all of them. Throws NOT_FOUND for one that was not renamed. */
  async undo(names: readonly string[], actor: Actor): Promise<Found[]> {
    const world = await this.#town.look();
    const { plan } = this.#town;
    const renamed = (plan?.sessions ?? []).flatMap((declared) => {
      const found = this.#find(world, declared);
      const former = sessionRow(this.#town.ledger.views, declared.id)?.former ?? null;
      if (!found || former === null || found.name !== declared.name || !isOld(plan!, declared, former)) return [];
      return [{ declared, found, former }];
    });
    for (const name of names) {
      if (renamed.some(({ declared, former }) => [declared.id, declared.name, former].includes(name))) continue;
      throw new BosunError({
        code: "NOT_FOUND",
        what: `${sanitise(name)} was not renamed from an old name`,
        why: "only a run that goes on under its new name can have the old one back",
        fix: "bosun events   shows who was renamed",
      });
    }
    const wanted = renamed.filter(
      ({ declared, former }) =>
        names.length === 0 || [declared.id, declared.name, former].some((name) => names.includes(name)),
    );
    const told: Found[] = [];
    for (const { declared, found, former } of wanted) {
      if (world!.sessions.some((each) => each.name === former)) {
        told.push(
          warning(
            `${declared.name} stays: ${former} is taken`,
            "it goes on under its new name",
            `tmux rename-session -t '=${former}' ANOTHER, then bosun doctor --undo ${former}`,
          ),
        );
        continue;
      }
      try {
        await this.#rename(found, declared, former, actor.name);
      } catch (error) {
        if (!(error instanceof BosunError)) throw error;
        told.push(
          warning(
            `${declared.name} stays: ${error.body.what}${error.body.why ? ` (${error.body.why})` : ""}`,
            "it goes on under its new name",
            `bosun attach ${declared.name}   is how to reach it`,
          ),
        );
        continue;
      }
      told.push({
        ...warning(`${declared.name} is called ${former} again`, "none", `bosun doctor --fix ${former}`),
        level: "ok",
      });
    }
    return told;
  }

  /** In force, or the one that would be with the first `up`. */
  #plan(): Plan | null {
    const { plan, cradle } = this.#town;
    if (plan && plan.file !== "") return plan;
    if (!isAbsolute(cradle.planFile) || !existsSync(cradle.planFile)) return plan;
    try {
      return this.#town.planFrom(cradle.planFile);
    } catch {
      // `bosun check` says what is wrong with it.
      return plan;
    }
  }

  #unmarked(plan: Plan, world: World, meant: ReadonlySet<string>, ask: Ask): Found[] {
    const inForce = plan === this.#town.plan;
    return predecessorsOf(plan, world).map(({ session, declared, pid, proof, held }): Found => {
      const name = sanitise(session.name);
      const what =
        session.name === declared.name
          ? `${name} runs and is not under watch`
          : `${name} is the old name of ${declared.name}`;
      const found = warning(
        `${what}${proof === null ? "" : ` (${proof})`}${held === null ? "" : `; left alone: ${held}`}`,
        "nothing watches over it, and two towns on one machine would fight for the name",
        held !== null
          ? `bosun doctor --fix ${name}   if that is meant`
          : inForce
            ? `bosun doctor --fix   takes it over under its new name; its process goes on (pid ${pid ?? "?"})`
            : `bosun up   takes it over as it runs (pid ${pid ?? "?"}), then bosun doctor --fix renames it`,
      );
      if (!inForce || (held !== null && (!meant.has(session.name) || isImpossible(held)))) return found;
      return {
        ...found,
        fix: async () => {
          await ask("ghost.adopt", {
            name: session.name,
            as: declared.id,
            purpose: declared.about || declared.id,
            lifecycle: declared.restart.policy === "never" ? "manual" : "persistent",
          });
        },
      };
    });
  }

  /** Taken over already, and not renamed yet. */
  #ours(plan: Plan, world: World, meant: ReadonlySet<string>): Found[] {
    return plan.sessions.flatMap((declared): Found[] => {
      const found = this.#find(world, declared);
      if (!found || found.name === declared.name || !isOld(plan, declared, found.name)) return [];
      const name = sanitise(found.name);
      const held = world.sessions.some((each) => each.name === declared.name)
        ? `${declared.name} is taken`
        : found.attached > 0
          ? "somebody is attached"
          : declared.protect
            ? "it is protected"
            : null;
      const told = warning(
        `${declared.id} runs under its old name ${name}${held === null ? "" : `; left alone: ${held}`}`,
        "two towns on one machine would fight for the name",
        held === null
          ? `bosun doctor --fix   renames it to ${declared.name}; its process goes on`
          : `bosun doctor --fix ${name}   if that is meant`,
      );
      if (held !== null && (!(meant.has(found.name) || meant.has(declared.id)) || isImpossible(held))) return [told];
      return [{ ...told, fix: () => this.#rename(found, declared, declared.name, "coordinator") }];
    });
  }

  #find(world: World | null, declared: PlanSession): TmuxSession | undefined {
    const { name } = this.#town.name;
    return world?.sessions.find((each) => each.marks?.town === name && each.marks.id === declared.id);
  }

  async #rename(found: TmuxSession, declared: PlanSession, to: string, actor: string): Promise<void> {
    await this.#town.tmux.rename(found.id, to);
    await this.#town.ledger.write({
      actor,
      decide: () => ({
        events: [{ type: "session.renamed", data: { session: declared.id, from: found.name, to } }],
        result: null,
      }),
    });
    await this.#town.look();
  }
}

/** Nobody's word helps against it. */
function isImpossible(held: string): boolean {
  return /taken|already/.test(held);
}

function isOld(plan: Plan, declared: PlanSession, name: string): boolean {
  if (declared.was.includes(name)) return true;
  return declared.rig === null && declared.role !== null && roleOfOldName(plan.names, name) === declared.role;
}
