import { randomUUID } from "node:crypto";
import { BosunError } from "../protocol/error.ts";
import type { Event } from "../protocol/event.ts";
import { MAX_BODY_BYTES, messageAck, messageInbox, messageSend } from "../protocol/message.ts";
import { agentsOf } from "../protocol/plan.ts";
import { checkClaims } from "./credentials.ts";
import { type Actor, type Dispatch, once } from "./dispatch.ts";
import { deliveryOf, inbox, messageRow } from "./messages/projection.ts";
import { isEnrolled } from "./sessions/projection.ts";
import type { Town } from "./town.ts";

/** Messages between addresses: durable before the answer, handed over once, closed by an ack. */
export function registerMail(dispatch: Dispatch, town: Town): void {
  dispatch.handle(messageSend, async (input, call) => {
    checkClaims(call.actor, input);
    if (Buffer.byteLength(input.body) > MAX_BODY_BYTES) {
      throw new BosunError({
        code: "TOO_LARGE",
        what: `the body has ${Buffer.byteLength(input.body)} bytes`,
        why: `a message body may have ${MAX_BODY_BYTES}`,
        fix: "put it in a file and send the path",
      });
    }
    const recipients = [...new Set(input.to.flatMap((to) => recipientsOf(town, to)))].filter(
      (to) => to !== call.actor.id || input.to.includes(to),
    );
    const { result, position, duplicate } = await town.ledger.write({
      actor: call.actor.name,
      ...once(call),
      decide: (views) => {
        const id = randomUUID();
        const before = input.inReplyTo === undefined ? null : messageRow(views, input.inReplyTo);
        if (input.inReplyTo !== undefined && !before) {
          throw new BosunError({
            code: "NOT_FOUND",
            what: `there is no message ${input.inReplyTo}`,
            fix: "bosun inbox   lists yours",
          });
        }
        const thread = before?.thread ?? id;
        const event: Event = {
          type: "message.sent",
          data: {
            id,
            thread,
            from: call.actor.id,
            to: recipients,
            type: input.type ?? "notification",
            subject: input.subject,
            body: input.body,
            dataJson: input.dataJson ?? null,
            priority: input.priority ?? "normal",
            inReplyTo: input.inReplyTo ?? null,
          },
        };
        return { events: [event], result: { id, thread, recipients } };
      },
    });
    return { ...result, seq: position, duplicate };
  });

  dispatch.handle(messageInbox, async (input, call) => {
    const who = mailboxOf(input.who, call.actor);
    const {
      messages: found,
      next,
      unreadCount: unread,
    } = inbox(town.ledger.views, who, {
      after: input.after ?? 0,
      limit: input.limit ?? 100,
      unread: input.unread ?? false,
    });
    const bodies = input.bodies ?? true;
    // Only handing over the body counts as presented, and only to its owner: a person looking over a shoulder changes nothing.
    const present = bodies && who === call.actor.id ? found.filter((message) => message.state === "queued") : [];
    if (present.length > 0) {
      await town.ledger.write({
        actor: call.actor.name,
        decide: () => ({
          events: present.map(
            (message): Event => ({ type: "delivery.presented", data: { message: message.id, to: who } }),
          ),
          result: null,
        }),
      });
    }
    return {
      who,
      unread: unread - present.length,
      messages: found.map(
        ({ position, body, dataJson, atMs, inReplyTo, presentedAtMs: _presented, ackedAtMs: _acked, ...rest }) => ({
          ...rest,
          to: who,
          ts: new Date(atMs).toISOString(),
          in_reply_to: inReplyTo,
          seq: position,
          ...(bodies ? { body, ...(dataJson === null ? {} : { data: JSON.parse(dataJson) as unknown }) } : {}),
        }),
      ),
      next,
    };
  });

  dispatch.handle(messageAck, async (input, call) => {
    const { result } = await town.ledger.write({
      actor: call.actor.name,
      decide: (views) => {
        const unknown = input.ids.find((id) => !deliveryOf(views, id, call.actor.id));
        if (unknown !== undefined) {
          throw new BosunError({
            code: "NOT_FOUND",
            what: `${call.actor.id} has no message ${unknown}`,
            fix: "bosun inbox   lists yours",
          });
        }
        const open = input.ids.filter((id) => deliveryOf(views, id, call.actor.id)?.state !== "acked");
        return {
          events: open.map((id): Event => ({ type: "delivery.acked", data: { message: id, to: call.actor.id } })),
          result: { acked: input.ids },
        };
      },
    });
    return result;
  });
}

/** Your own mailbox; a person with rights over the floor may look into another. */
function mailboxOf(who: string | undefined, actor: Actor): string {
  if (who === undefined || who === actor.id) return actor.id;
  if (actor.role === "operator" || actor.role === "admin") return who;
  throw new BosunError({
    code: "REFUSED",
    what: `${actor.id} may not read the mail of ${who}`,
    why: "a mailbox is open to its owner and to operators",
  });
}

/** An agent id, a user, a group of the plan, `@group`, or `*` for every agent. */
function recipientsOf(town: Town, to: string): string[] {
  const plan = town.plan;
  const agents = agentsOf(plan?.sessions ?? []).map((placed) => placed.agent.id);
  const users = (plan?.users ?? []).map((user) => user.id);
  if (to === "*") return agents;
  const group = plan?.groups[to.replace(/^@/, "")];
  if (group) return group;
  const id = to.split("/").at(-1)!;
  if (agents.includes(id) || users.includes(id) || isEnrolled(town.ledger.views, id)) return [id];
  const near = [...agents, ...users].filter((known) => known.startsWith(id.slice(0, 3))).slice(0, 5);
  throw new BosunError({
    code: "UNKNOWN_AGENT",
    what: `nobody here is called "${to}"`,
    ...(near.length > 0 ? { why: `near it: ${near.join(", ")}` } : {}),
    fix: "bosun ls   shows agents; bosun enrol NAME adds one from outside",
  });
}
