import type { Dispatch } from "../dispatch.ts";
import type { Town } from "../town.ts";
import { Answering } from "./answering.ts";
import { Handing } from "./handing.ts";
import { Mailboxes } from "./mailboxes.ts";
import { newsFor } from "./news.ts";
import { Sending } from "./sending.ts";
import { Strays } from "./strays.ts";
import { registerTasks } from "./tasks.ts";
import { MailWatch } from "./watch.ts";

export interface Mail {
  /** A line for an agent that is about to be told something anyway; null when it knows of all its mail. */
  newsFor(who: string): string | null;
  /** Before the log is closed. */
  close(): Promise<void>;
}

/** Mail: sending, reading, following it, and the tasks that travel by it. */
export function registerMail(dispatch: Dispatch, town: Town): Mail {
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
    newsFor: (who) => newsFor(town, handing, who),
    async close() {
      watch.close();
      strays.close();
      await handing.flush();
    },
  };
}
