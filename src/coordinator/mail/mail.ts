import type { Dispatch } from "../dispatch.ts";
import type { Town } from "../town.ts";
import { Addresses } from "./addressing.ts";
import { Answering } from "./answering.ts";
import { Carrying } from "./carrying.ts";
import { Handing } from "./handing.ts";
import { Mailboxes } from "./mailboxes.ts";
import { type Neighbours, NO_NEIGHBOURS } from "./neighbours.ts";
import { newsFor } from "./news.ts";
import { Quotas } from "./quotas.ts";
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
export function registerMail(dispatch: Dispatch, town: Town, neighbours: Neighbours = NO_NEIGHBOURS): Mail {
  const addresses = new Addresses(town, neighbours);
  const quotas = new Quotas(town);
  const carrying = new Carrying(town, addresses, quotas, neighbours);
  carrying.register(dispatch);
  const handing = new Handing(town);
  const watch = new MailWatch(town, handing);
  const answering = new Answering(town, dispatch, addresses, watch);
  const sending = new Sending(town, { addresses, quotas, carrying }, answering);
  sending.register(dispatch);
  answering.register(sending);
  watch.register(dispatch);
  const strays = new Strays(town, addresses);
  new Mailboxes(town, handing, watch, strays).register(dispatch);
  registerTasks(dispatch, town);
  return {
    newsFor: (who) => newsFor(town, handing, who),
    async close() {
      await carrying.close();
      watch.close();
      strays.close();
      await handing.flush();
    },
  };
}
