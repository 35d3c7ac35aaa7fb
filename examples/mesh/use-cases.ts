/** Four things sessions do together, each on its own. `node examples/mesh/use-cases.ts`; in a program of your own: from "bosun". */
import { CollaborationHub, MemoryType, MessageType, SessionRegistry, SharedMemory } from "../../src/client/index.ts";
import { inOwnTown } from "./own-town.ts";

await inOwnTown(async () => {
  const registry = new SessionRegistry();
  const hub = new CollaborationHub();
  const memory = new SharedMemory();
  await registry.register({
    sessionId: "cece-001",
    agentName: "Cece",
    agentType: "Claude",
    humanUser: "Alexa",
    capabilities: ["python", "review", "planning"],
  });
  await registry.register("reviewer-002", "Reviewer", "GPT-4", { capabilities: ["review"] });

  // Session discovery
  for (const session of await registry.listSessions()) {
    console.log(`${session.agentName} (${session.agentType}) - ${session.status}`);
  }

  // Collaborative code review: the request, and the answer with data
  const request = await hub.send({
    fromSession: "cece-001",
    toSession: "reviewer-002",
    type: MessageType.REQUEST,
    subject: "Code review needed",
    body: "Please review PR #123",
    data: { pr: 123, files: ["main.py", "test.py"] },
  });
  await hub.reply({
    fromSession: "reviewer-002",
    toMessage: request,
    body: "Reviewed. LGTM with minor comments.",
    data: { approved: true, comments: 2 },
  });
  const conversation = await hub.getConversation(request.messageId);
  console.log(conversation.map((message) => message.formatSignal()).join("\n"));

  // Task handoff: the other goes on where the stored stage says
  await memory.set("cece-001", "deploy_state", { task: "deploy-prod", stage: "testing" }, { type: MemoryType.STATE });
  await hub.send({
    fromSession: "cece-001",
    toSession: "reviewer-002",
    type: MessageType.HANDOFF,
    subject: "Handing off deployment",
    body: "I need to disconnect. Can you take over?",
    data: { task: "deploy-prod", stage: "testing" },
  });
  const deployState = (await memory.get("deploy_state")) as { stage: string };
  console.log(`going on with the stage ${deployState.stage}`);

  // Shared context
  await memory.set({
    sessionId: "cece-001",
    key: "api_endpoints",
    value: ["GET /users", "POST /users", "DELETE /users/:id"],
    type: MemoryType.FACT,
    tags: ["api", "documentation"],
  });
  const endpoints = (await memory.get("api_endpoints")) as string[];
  console.log(endpoints.join(", "));
});
