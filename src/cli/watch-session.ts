import type { Connection } from "../client/connection.ts";
import { sanitise } from "../protocol/text.ts";
import type { Invocation } from "./command.ts";
import { follow } from "./follow.ts";
import { clockText } from "./time.ts";

/** What is told of a session that is watched: its life, and not what it says. */
const TOLD = /^(session|pane|restart|health|chapter)\./;

/** The session of that name, when no agent has it: mail is watched by agent. */
export async function sessionNamed(connection: Connection, name: string): Promise<string | null> {
  const agent = await connection.call("agent.show", { id: name }).catch(() => null);
  if (agent) return null;
  const found = await connection.call("session.find", { session: name }).catch(() => null);
  return found?.session ?? null;
}

/** Follows the life of a session, as a watchdog's own window shows it: how it stands, then every change, until somebody leaves. */
export async function watchSession(invocation: Invocation, session: string): Promise<void> {
  const { out } = invocation;
  let after: number | undefined;
  await follow(invocation, async (connection) => {
    const { sessions } = await connection.call("town.status", { session });
    const [state] = sessions;
    if (out.wish.json) out.json({ state });
    else if (state) out.line(`${clockText(new Date())}  ${state.label} is ${state.state}: ${sanitise(state.evidence)}`);
    const stream = await connection.stream(
      "event.list",
      { session, follow: true, ...(after === undefined ? { last: 1 } : { after }) },
      (event) => {
        const { seq, at, type, ...data } = event as { seq: number; at: string; type: string } & Record<string, unknown>;
        after = seq;
        if (!TOLD.test(type)) return;
        if (out.wish.json) out.json({ seq, at, type, ...data });
        else {
          const why = [data.exit, data.because, data.evidence].filter((each) => typeof each === "string").join(": ");
          out.line(`${clockText(new Date(at))}  ${type}${why === "" ? "" : `  ${sanitise(why)}`}`);
        }
      },
    );
    return stream;
  });
}
