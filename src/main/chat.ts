import { openChat } from "../chat/open.ts";
import { ChatSpec } from "../protocol/chat.ts";

/** A conversation with a model on this terminal. Loaded by the command line in the pane of a chat session. */
export async function run(spec: unknown, own: readonly string[], colour: boolean): Promise<void> {
  await openChat(ChatSpec.parse(spec), own, colour);
}
