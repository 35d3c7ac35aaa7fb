import { BosunError } from "../protocol/error.ts";
import type { InputOf } from "../protocol/operation.ts";
import { agentAt, agentsOf } from "../protocol/plan.ts";
import { agentHook } from "../protocol/screen.ts";
import type { Actor, Dispatch } from "./dispatch.ts";
import type { Display, Displays } from "./displays.ts";
import type { Mail } from "./mail/mail.ts";
import { signBy } from "./screens/own-sign.ts";
import type { PaneId } from "./tmux/port.ts";
import type { Town } from "./town.ts";

/** Where in its life a program is when its hook runs: it has begun, it is about to lose its context, its turn has ended. */
export type HookMoment = "start" | "compact" | "end";

/** Who has more to say at hooks than that there is mail. */
export interface Storyteller {
  /** `tell` is added to the conversation; `block` keeps the program from ending its turn. */
  atHook(
    session: string,
    moment: HookMoment | null,
    agent: string,
  ): Promise<{ tell: string | null; block: string | null }>;
}

/** Takes what agents' programs say of themselves at the turns of their work, and tells them of mail there. */
export function registerHooks(
  dispatch: Dispatch,
  town: Town,
  displays: Displays,
  mail: Mail,
  story: Storyteller,
): void {
  dispatch.handle(agentHook, async (input, { actor }) => {
    const profile = displays.profiles.get(input.program);
    if (!profile?.hooks) {
      throw new BosunError({
        code: "NOT_FOUND",
        what: `nothing is known of the hooks of "${input.program}"`,
        why: `known are ${[...displays.profiles.values()].flatMap((each) => (each.hooks ? [each.profile] : [])).join(", ")}`,
      });
    }
    const display = await displayOf(town, displays, input, actor);
    const event = input.payload.hook_event_name ?? input.payload.type;
    const sign = signBy(profile.hooks, input.payload, `hook:${String(event).slice(0, 64)}`, town.now());
    if (sign) displays.heard(display, sign);
    const agent = sessionAgent(town, display);
    if (!sign || agent === null || actor.id !== agent)
      return { session: display.session, state: sign?.state ?? null, tell: null, block: null };
    const told = await story.atHook(display.session, sign.moment, actor.name);
    const news = sign.mail ? mail.newsFor(agent) : null;
    const lines = [...(sign.mail && told.tell ? [told.tell] : []), ...(news === null ? [] : [news])];
    const tell = lines.length > 0 ? lines.join("\n\n") : null;
    return { session: display.session, state: sign.state, tell, block: told.block };
  });
}

/** A program may call before its first picture is taken: it is waited for, less long than a hook may last. */
const SHOWN_WITHIN_MS = 600;

/** The pane it speaks of: an agent speaks for its own, whoever runs the floor for any. */
async function displayOf(
  town: Town,
  displays: Displays,
  input: InputOf<typeof agentHook>,
  actor: Actor,
): Promise<Display> {
  const placed = agentsOf(town.plan?.sessions ?? []).find(({ agent }) => agent.id === actor.id);
  for (let waitedMs = 0; ; waitedMs += 20) {
    const named = input.pane === undefined ? null : displays.at(input.pane as PaneId);
    if (named && (actor.kind !== "agent" || sessionAgent(town, named) === actor.id)) return named;
    const own = placed ? displays.displayOf(placed.session.id, placed.slot) : null;
    if (own) return own;
    if (!placed || named || waitedMs >= SHOWN_WITHIN_MS) throw notPlaced(input, actor, named !== null);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function notPlaced(input: InputOf<typeof agentHook>, actor: Actor, named: boolean): BosunError {
  return new BosunError({
    code: "UNKNOWN_SESSION",
    what: named ? `${actor.id} does not run in ${input.pane}` : "no pane of this town is meant",
    why: "hooks tell of the program in the pane they run in",
    fix: "run the agent in a session of bosun: bosun new NAME -- COMMAND",
  });
}

function sessionAgent(town: Town, display: Display): string | null {
  const session = town.plan?.sessions.find((each) => each.id === display.session);
  return session ? agentAt(session, display.slot) : null;
}
