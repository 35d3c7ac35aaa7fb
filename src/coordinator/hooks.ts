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

/** Takes what agents' programs say of themselves at the turns of their work, and tells them of mail there. */
export function registerHooks(dispatch: Dispatch, town: Town, displays: Displays, mail: Mail): void {
  dispatch.handle(agentHook, (input, { actor }) => {
    const profile = displays.profiles.get(input.program);
    if (!profile?.hooks) {
      throw new BosunError({
        code: "NOT_FOUND",
        what: `nothing is known of the hooks of "${input.program}"`,
        why: `known are ${[...displays.profiles.values()].flatMap((each) => (each.hooks ? [each.profile] : [])).join(", ")}`,
      });
    }
    const display = displayOf(town, displays, input, actor);
    const event = input.payload.hook_event_name ?? input.payload.type;
    const sign = signBy(profile.hooks, input.payload, `hook:${String(event).slice(0, 64)}`, town.now());
    if (sign) displays.heard(display, sign);
    const agent = sessionAgent(town, display);
    const tell = sign?.mail && agent !== null && actor.id === agent ? mail.newsFor(agent) : null;
    return { session: display.session, state: sign?.state ?? null, tell };
  });
}

/** The pane it speaks of: an agent speaks for its own, whoever runs the floor for any. */
function displayOf(town: Town, displays: Displays, input: InputOf<typeof agentHook>, actor: Actor): Display {
  const placed = agentsOf(town.plan?.sessions ?? []).find(({ agent }) => agent.id === actor.id);
  const named = input.pane === undefined ? null : displays.at(input.pane as PaneId);
  if (named && (actor.kind !== "agent" || sessionAgent(town, named) === actor.id)) return named;
  const own = placed ? displays.displayOf(placed.session.id, placed.slot) : null;
  if (own) return own;
  throw new BosunError({
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
