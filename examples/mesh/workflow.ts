/** A planner, a developer and a reviewer at work together. `node examples/mesh/workflow.ts`; in a program of your own: from "bosun". */
import { CollaborationHub, MemoryType, MessageType, SessionRegistry, SharedMemory } from "../../src/client/index.ts";
import { inOwnTown } from "./own-town.ts";

await inOwnTown(async () => {
  const registry = new SessionRegistry();
  const hub = new CollaborationHub();
  const memory = new SharedMemory();

  // Session 1: the planner
  await registry.register("planner-001", "Planner", "Claude", { humanUser: "Alexa" });
  const project = { phase: "design", tasks: ["architecture", "api-design", "database"] };
  await memory.set("planner-001", "project_plan", project, { type: MemoryType.STATE, tags: ["project", "active"] });
  await hub.broadcast("planner-001", "Project started", "Beginning design phase");

  // Session 2: the developer reads the plan and asks about it
  await registry.register("dev-001", "Developer", "GPT-4", { humanUser: "Alexa" });
  const plan = (await memory.get("project_plan")) as typeof project;
  console.log(`the plan: ${plan.phase}, ${plan.tasks.join(", ")}`);
  const question = await hub.send(
    "dev-001",
    "planner-001",
    MessageType.REQUEST,
    "API design question",
    "Should we use REST or GraphQL?",
  );
  console.log(question.formatSignal());

  // Session 3: the reviewer
  await registry.register("reviewer-001", "Reviewer", "Claude", { humanUser: "Alexa" });

  // Later: the developer hands off to the reviewer, who accepts
  await memory.set("dev-001", "api_code", "class API...", {
    type: MemoryType.STATE,
    tags: ["code", "ready-for-review"],
  });
  const offer = await hub.send(
    "dev-001",
    "reviewer-001",
    MessageType.TASK_OFFER,
    "Code review",
    "API implementation ready",
    { data: { files: ["api.py"], tests: "passing" } },
  );
  console.log(offer.formatSignal());
  const accepted = await hub.send(
    "reviewer-001",
    "dev-001",
    MessageType.TASK_ACCEPT,
    "Starting review",
    "Will review and provide feedback",
  );
  console.log(accepted.formatSignal());

  console.log(await registry.getStats());
  console.log(await hub.getStats());
  console.log(await memory.getStats());
});
