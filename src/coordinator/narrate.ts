import { BosunError } from "../protocol/error.ts";
import { agentsOf } from "../protocol/plan.ts";
import { type RoomInfo, roomList, roomPost, roomRead, roomWatch } from "../protocol/room.ts";
import type { Actor, Dispatch } from "./dispatch.ts";
import type { Town } from "./town.ts";

/** Rooms as operations. */
export function registerNarrate(dispatch: Dispatch, town: Town): void {
  dispatch.handle(roomPost, (input, call) => {
    checkPrimary(town, call.actor);
    return town.rooms.post(call.actor.id, input, call.key);
  });
  dispatch.handle(roomRead, (input, call) => town.rooms.read({ name: call.actor.id, role: call.actor.role }, input));
  dispatch.handle(roomList, (_input, call) => ({ rooms: roomsOf(town, call.actor) }));
  dispatch.handle(roomWatch, (input, call) => {
    const watch = town.rooms.watch({ name: call.actor.id, role: call.actor.role }, input, call.stream);
    call.stream.onClose(() => watch.close());
    return { rooms: watch.rooms };
  });
}

/** A second instance of a session speaks to nobody in its name. Throws REFUSED. */
function checkPrimary(town: Town, actor: Actor): void {
  const instance = town.plan?.sessions.find((session) => session.id === actor.session)?.instance;
  if (!instance) return;
  throw new BosunError({
    code: "REFUSED",
    what: `${actor.id} is a ${instance.kind} instance of ${instance.of}, and writes no rooms`,
    why: "of what is meant to be one, only the primary speaks",
    fix: `tell somebody by mail: bosun send ${instance.of} …`,
  });
}

/** The rooms `actor` may see in the order of the plan, each with the agents the plan puts there; ended ones come last. */
export function roomsOf(town: Town, actor: Actor): RoomInfo[] {
  const placed = agentsOf(town.plan?.sessions ?? []);
  const order = new Map((town.plan?.rooms ?? []).map((room, index) => [room.id, index]));
  const rank = (room: RoomInfo): number => order.get(room.room) ?? order.size;
  return town.rooms
    .list({ name: actor.id, role: actor.role })
    .toSorted((a, b) => rank(a) - rank(b))
    .map((room) => ({
      ...room,
      agents: placed.filter(({ session }) => session.room === room.room).map(({ agent }) => agent.id),
    }));
}
