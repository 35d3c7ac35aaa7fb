import type { Dispatch } from "../dispatch.ts";
import type { Town } from "../town.ts";
import { Answering } from "./answering.ts";
import { Handing } from "./handing.ts";
import { Mailboxes } from "./mailboxes.ts";
import { Sending } from "./sending.ts";
import { Strays } from "./strays.ts";
import { registerTasks } from "./tasks.ts";
import { MailWatch } from "./watch.ts";

/** Mail: sending, reading, following it, and the tasks that travel by it. What it gives is closed before the log. */
export function registerMail(dispatch: Dispatch, town: Town): { close(): Promise<void> } {
  const handing = new Handing(town);
  const watch = new MailWatch(town, handing);
  const answering = new Answering(town, dispatch, watch);
  const sending = new Sending(town, answering);
  sending.register(dispatch);
  answering.register(sending);
  watch.register(dispatch);
  const strays = new Strays(town);
  new Mailboxes(town, handing, watch, strays).register(dispatch);
  registerTasks(dispatch, town);
  return {
    async close() {
      watch.close();
      strays.close();
      await handing.flush();
    },
  };
}
