import { roomList, roomPost, roomRead, roomWatch } from "../protocol/room.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Town } from "./town.ts";

/** Rooms as operations. */
export function registerNarrate(dispatch: Dispatch, town: Town): void {
  dispatch.handle(roomPost, (input, call) =>
    town.rooms.post({ name: call.actor.id, role: call.actor.role }, input, call.key),
  );
  dispatch.handle(roomRead, (input, call) => town.rooms.read({ name: call.actor.id, role: call.actor.role }, input));
  dispatch.handle(roomList, () => ({ rooms: town.rooms.list() }));
  dispatch.handle(roomWatch, (input, call) => {
    const watch = town.rooms.watch({ name: call.actor.id, role: call.actor.role }, input, call.stream);
    call.stream.onClose(() => watch.close());
    return { rooms: watch.rooms };
  });
}
