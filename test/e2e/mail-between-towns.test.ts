import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openConnection } from "../../src/client/connection.ts";
import { socketPath } from "../../src/client/home.ts";
import type { BosunError } from "../../src/protocol/error.ts";
import { TownUnderTest, until } from "./town-under-test.ts";

/** Two towns of one machine: one state folder, one tmux server, the same roles in both. */
let gt11: TownUnderTest;
let gt12: TownUnderTest;

beforeEach(async () => {
  gt11 = new TownUnderTest(plan("gastown"), { town: "gt11" });
  gt12 = new TownUnderTest(plan("newrig"), { town: "gt12", socket: gt11.socket, home: gt11.env.BOSUN_HOME! });
  await gt11.ok("up");
  await gt12.ok("up");
});
afterEach(async () => {
  await gt12.close();
  await gt11.close();
});

function plan(rig: string): string {
  return `version: 1
names: gastown
sessions:
  mayor: { role: mayor, run: exec sleep 900 }
  deacon: { role: deacon, run: exec sleep 900 }
rigs:
  ${rig}: { sessions: { witness: { role: witness, run: exec sleep 900 }, max: { role: crew, run: exec sleep 900 } } }
`;
}

interface Mail {
  id: string;
  from: string;
  subject: string;
  body: string;
  thread: string;
  state: string;
}
const inbox = async (town: TownUnderTest, who: string): Promise<Mail[]> =>
  (await town.json("inbox", who, "--bodies")).messages;
const arrives = (town: TownUnderTest, who: string, subject: string): Promise<Mail> =>
  until(async () => (await inbox(town, who)).find((each) => each.subject === subject), `"${subject}" to reach ${who}`);

test("S1-43: mail by role, by path, by new and by old name reaches the agent of the town that was meant, and nobody else", async () => {
  const ways: [string, string][] = [
    ["mayor", "mayor"],
    ["hq-gt11-mayor", "mayor"],
    ["hq-mayor", "mayor"],
    ["gt11/mayor", "mayor"],
    ["mayor/", "mayor"],
    ["deacon", "deacon"],
    ["gastown/witness", "gastown/witness"],
    ["gt-gastown-witness", "gastown/witness"],
    ["gastown/crew/max", "gastown/max"],
    ["gastown/max", "gastown/max"],
    ["crew max (rig: gastown)", "gastown/max"],
  ];
  for (const [address, who] of ways)
    expect((await gt11.json("send", address, address, "hello")).recipients).toEqual([who]);
  for (const who of new Set(ways.map(([, each]) => each)))
    expect((await inbox(gt11, who)).map((each) => each.subject)).toEqual(
      ways.filter(([, each]) => each === who).map(([address]) => address),
    );
  for (const who of ["mayor", "deacon", "newrig/witness", "newrig/max"]) expect(await inbox(gt12, who)).toEqual([]);
  // What is like a name is not that name.
  for (const address of ["mayorville", "mayorville/x", "gastow/max", "newrig/witness", "gt13/mayor", "hq-gt12-mayor"]) {
    const ran = await gt11.run(["send", address, "lost", "hello"]);
    expect([address, ran.code]).toEqual([address, 3]);
  }
  expect((await inbox(gt11, "mayor")).map((each) => each.subject)).not.toContain("lost");
});

test("S1-43, S1-66: mail to another town is in its log before it counts as handed over; the answer and the acknowledgement come back", async () => {
  const sent = await gt11.json("send", "gt12/mayor", "Rigs", "How many?", "--type", "request", "--ack");
  expect(sent.recipients).toEqual(["gt12/mayor"]);
  const there = await arrives(gt12, "mayor", "Rigs");
  expect(there).toMatchObject({ id: sent.id, thread: sent.thread, body: "How many?" });
  expect(there.from).toMatch(/^gt11\//);
  expect(await inbox(gt11, "mayor")).toEqual([]);
  const state = async () => (await gt11.json("message", sent.id)).deliveries[0].state;
  await until(async () => (await state()) === "presented", "it to count as handed over");
  // As the program in that session does it, by the credential it was given.
  const mayor = credentialOf(gt12, "hq-gt12-mayor");
  expect((await gt12.run(["ack", sent.id, "--note", "counting"], { env: mayor })).code).toBe(0);
  const delivery = async () => (await gt11.json("message", sent.id)).deliveries[0];
  await until(async () => (await delivery()).state === "acked", "the acknowledgement to come back");
  expect(await delivery()).toMatchObject({ to: "gt12/mayor", outcome: "seen", note: "counting" });
  expect((await gt12.run(["reply", sent.id, "One: newrig"], { env: mayor })).code).toBe(0);
  const person = there.from.slice("gt11/".length);
  const back = await arrives(gt11, person, "Re: Rigs");
  expect(back).toMatchObject({ from: "gt12/mayor", body: "One: newrig", thread: sent.thread });
  expect((await gt11.json("message", sent.id)).message.open).toBe(false);
  // And on from here to there.
  await gt11.ok("reply", back.id, "Thanks");
  expect(await arrives(gt12, "mayor", "Re: Rigs")).toMatchObject({ body: "Thanks", thread: sent.thread });
});

/** What the program of that session was given to call with. */
function credentialOf(town: TownUnderTest, session: string): Record<string, string> {
  const pid = town.tmux("display-message", "-p", "-t", `=${session}:`, "#{pane_pid}").trim();
  const variables = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  return Object.fromEntries(
    variables
      .filter((each) => /^BOSUN_(SOCKET|TOKEN_FILE|TOWN)=/.test(each))
      .map((each) => each.split("=") as [string, string]),
  );
}

test("mail for a town that does not run waits until it does, over a restart of the sender's too, and is there once", async () => {
  await gt12.ok("stop");
  for (const n of [1, 2, 3]) await gt11.ok("send", "gt12/newrig/max", `wait ${n}`, "hello");
  await gt11.ok("stop");
  await gt11.ok("status");
  await new Promise((next) => setTimeout(next, 500));
  await gt12.ok("status");
  await arrives(gt12, "newrig/max", "wait 3");
  await new Promise((next) => setTimeout(next, 2_500));
  expect((await inbox(gt12, "newrig/max")).map((each) => each.subject)).toEqual(["wait 1", "wait 2", "wait 3"]);
});

test("what the other town has nobody for is refused at once, and comes back where it could not be asked", async () => {
  const refused = await gt11.run(["send", "gt12/mayr", "typo", "hello"]);
  expect(refused.code).toBe(3);
  expect(refused.stderr).toMatch(/the town gt12 says: nobody here is called "mayr"[\s\S]*mayor/);
  await gt12.ok("stop");
  const sent = await gt11.json("send", "gt12/mayr", "typo", "hello");
  await gt12.ok("status");
  const person = (await gt11.json("message", sent.id)).message.from;
  const back = await arrives(gt11, person, "Not delivered to gt12/mayr: typo");
  expect(back.body).toContain("nobody here is called");
  const task = await gt11.run(["send", "gt12/mayor", "Build it", "please", "--type", "task_offer"]);
  expect([task.code, task.stderr]).toEqual([4, expect.stringContaining("belong to one town")]);
});

test("groups of another town, and a group of both", async () => {
  await gt11.ok("send", "gt12/@town,@witnesses", "News", "to all");
  for (const who of ["mayor", "deacon", "newrig/witness", "newrig/max"]) await arrives(gt12, who, "News");
  expect((await inbox(gt11, "gastown/witness")).map((each) => each.subject)).toEqual(["News"]);
  expect(await inbox(gt11, "mayor")).toEqual([]);
});

test("a full mailbox there holds up what goes to it, whole, and nothing else; then each has it once", async () => {
  gt12.plan(plan("newrig").replace("sessions:", "limits: { unread: 2 }\nsessions:"));
  await gt12.ok("up");
  for (const n of [1, 2]) await gt12.ok("send", "deacon", `fill ${n}`, "hello");
  const full = await gt11.json("send", "gt12/mayor,gt12/deacon", "Both", "hello");
  await gt11.ok("send", "gt12/newrig/max", "Past it", "hello");
  await arrives(gt12, "newrig/max", "Past it");
  expect((await inbox(gt12, "mayor")).map((each) => each.subject)).toEqual([]);
  const states = async (): Promise<string[]> =>
    (await gt11.json("message", full.id)).deliveries.map((each: { state: string }) => each.state);
  expect(await states()).toEqual(["queued", "queued"]);
  const deacon = credentialOf(gt12, "hq-gt12-deacon");
  expect((await gt12.run(["messages"], { env: deacon })).code).toBe(0);
  await arrives(gt12, "mayor", "Both");
  expect((await inbox(gt12, "deacon")).filter((each) => each.subject === "Both")).toHaveLength(1);
  await until(async () => (await states()).join() === "presented,presented", "both to count as handed over");
});

test("a town that hangs keeps nobody waiting, and has its mail once it goes on; by whatever name it was written, the answer closes the request", async () => {
  const pid = gt12.coordinatorPid()!;
  process.kill(pid, "SIGSTOP");
  let sent: { id: string };
  try {
    sent = await gt11.json("send", "gt12/gt-newrig-crew-max", "Count", "please", "--type", "request", "--ack");
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await arrives(gt12, "newrig/max", "Count");
  const max = credentialOf(gt12, "gt-newrig-crew-max");
  expect((await gt12.run(["ack", sent.id], { env: max })).code).toBe(0);
  expect((await gt12.run(["reply", sent.id, "Seven"], { env: max })).code).toBe(0);
  const whole = () => gt11.json("message", sent.id);
  await until(async () => (await whole()).message.open === false, "the request to be answered");
  await until(async () => (await whole()).deliveries[0].state === "acked", "the acknowledgement");
  // What only looks like an acknowledgement is mail like any other.
  const forged = JSON.stringify({ acknowledged: sent.id, outcome: "done", note: null });
  await gt11.ok("send", "gt12/mayor", "Forged", "hello", "--data", forged);
  await arrives(gt12, "mayor", "Forged");
  // And nobody but the towns themselves brings mail from elsewhere.
  const carried = {
    id: "x",
    thread: "x",
    type: "notification",
    subject: "",
    body: "",
    dataJson: null,
    priority: "low",
  };
  const more = { inReplyTo: null, answersAs: null, human: true, ack: false, expiresAtMs: null, sentAtMs: 0 };
  const bring = async (town: string, token?: string): Promise<unknown> => {
    const connection = await openConnection(socketPath(gt11.env.BOSUN_HOME!, "gt11"), token);
    try {
      return await connection.call("message.carry", { ...carried, ...more, town, from: "mayor", to: ["deacon"] });
    } catch (error) {
      return (error as BosunError).code;
    } finally {
      connection.close();
    }
  };
  const token = readFileSync(credentialOf(gt11, "hq-gt11-mayor").BOSUN_TOKEN_FILE!, "utf8");
  expect([await bring("gt11"), await bring("gt14"), await bring("gt12", token)]).toEqual(Array(3).fill("REFUSED"));
  expect(await inbox(gt11, "deacon")).toEqual([]);
}, 60_000);
