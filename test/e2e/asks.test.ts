import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
afterEach(() => town.close());

/** The smallest agent on the socket, in the language of the test runner so that nothing else need be installed. */
const SOCKET_AGENT = `import { connect } from "node:net";
import { readFileSync } from "node:fs";
const socket = connect(process.env.BOSUN_SOCKET);
const say = (frame) => socket.write(JSON.stringify(frame) + "\\n");
say({ hello: { v: 1, token: readFileSync(process.env.BOSUN_TOKEN_FILE, "utf8") } });
say({ id: 1, op: "agent.listen", in: {} });
let held = "";
socket.on("data", (chunk) => {
  held += chunk;
  for (let end = held.indexOf("\\n"); end >= 0; end = held.indexOf("\\n")) {
    const frame = JSON.parse(held.slice(0, end));
    held = held.slice(end + 1);
    if (frame.event) say({ id: 2, op: "ask.answer", in: { ask: frame.event.ask, text: "narrating; you asked " + frame.event.text } });
  }
});
`;

const FIFO_AGENT = `while IFS= read -r question; do
  ask=$(printf '%s' "$question" | sed 's/.*"ask":"\\([^"]*\\)".*/\\1/')
  bosun answer "$ask" "fifo agent here"
done < "$BOSUN_ASK_FIFO"
`;

const KEYS_AGENT = `while IFS= read -r question; do echo "keys agent heard: $question"; done
`;

function plan(run: string, ask = "auto", extra = ""): string {
  return `version: 1
names: floor
${extra}rooms: { spx: { about: SPX }, qqq: { about: QQQ } }
sessions:
  agents-spx:
    about: Agents of SPX
    room: spx
    headless: true
    windows: [ { name: agents, panes: [ { agent: { id: deacon-spx, type: narrator, ask: ${ask} }, run: "${run}" } ] } ]
users:
  steve: { view: [ { name: main, panes: [ { feed: spx }, command ] } ] }
`;
}

function place(name: string, text: string): string {
  const path = join(town.folder, name);
  writeFileSync(path, text, { mode: 0o755 });
  return path;
}

test("S0-46 S0-47: /ask typed in the command pane reaches the agent on its socket, and the answer comes back there", async () => {
  town = new TownUnderTest();
  town.plan(plan(`exec '${process.execPath}' ${place("agent.mjs", SOCKET_AGENT)}`));
  await town.ok("up");
  const pane = town
    .tmux("list-panes", "-t", "=moo-steve:main", "-F", "#{pane_id} #{pane_title}")
    .split("\n")
    .find((line) => line.endsWith("command"))!
    .split(" ")[0]!;
  await until(
    async () => (await town.json("route", "explain", "deacon")).hops[1].by === "socket",
    "the agent listening",
  );
  await until(() => /\S/.test(town.capture(pane)), "the command pane's prompt");
  town.tmux("send-keys", "-t", pane, "-l", "/ask deacon status");
  town.tmux("send-keys", "-t", pane, "Enter");
  await until(
    () => /deacon-spx.*narrating; you asked status/.test(town.capture(pane).replaceAll("\n", " ")),
    "the answer in the pane",
  );
  const answered = await town.json("ask", "deacon", "status");
  expect(answered).toMatchObject({ agent: "deacon-spx", answer: "narrating; you asked status", route: "socket" });
  town.tmux("send-keys", "-t", pane, "-l", "/ask beacon status");
  town.tmux("send-keys", "-t", pane, "Enter");
  await until(
    () => /nobody here is called "beacon"/.test(town.capture(pane).replaceAll("\n", " ")),
    "the error in the pane",
  );
  const wrong = await town.run(["ask", "beacon", "status"]);
  expect(wrong.code).toBe(3);
  expect(wrong.stderr).toMatch(/did you mean.*deacon-spx/);
});

test("S0-46 S0-53: over a named pipe", async () => {
  town = new TownUnderTest();
  town.plan(plan(`exec sh ${place("agent.sh", FIFO_AGENT)}`, "fifo"));
  await town.ok("up");
  for (let n = 0; n < 3; n++)
    expect(await town.json("ask", "deacon", "status")).toMatchObject({ answer: "fifo agent here", route: "fifo" });
});

test("S0-47: a reader that is dead or has stopped never blocks the one who asks", async () => {
  town = new TownUnderTest();
  town.plan(plan("exec sleep 3600", "fifo"));
  await town.ok("up");
  const startedMs = Date.now();
  const dead = await town.run(["ask", "deacon", "status"]);
  expect(dead.code).toBe(6);
  expect(dead.stderr).toMatch(/does not read its FIFO/);
  expect(Date.now() - startedMs).toBeLessThan(10_000);
  // Opened and never read: the pipe fills, and the writer is told instead of waiting.
  const fifo = join(town.stateFolder, "fifo", "deacon-spx");
  const sleeper = spawn("sh", ["-c", `exec 3<>'${fifo}'; sleep 60`], { stdio: "ignore" });
  const asked = await Promise.all(
    Array.from({ length: 40 }, () => town.run(["ask", "deacon", "x".repeat(3_000), "--timeout", "2s"])),
  );
  expect(asked.some((each) => /full|stopped/.test(each.stderr))).toBe(true);
  expect((await town.json("status")).sessions[0].state).toBe("running");
  sleeper.kill("SIGKILL");
}, 60_000);

test("S0-46 S0-49, lesson 9 10: typed into the pane as a last resort; not while its pane is in copy mode or a dialog is open", async () => {
  town = new TownUnderTest();
  town.plan(plan(`exec sh ${place("agent.sh", KEYS_AGENT)}`, "keys"));
  await town.ok("up");
  expect(await town.json("ask", "deacon", "status")).toMatchObject({
    answer: "keys agent heard: status",
    route: "keys",
  });
  const pane = town.tmux("list-panes", "-t", "=agents-spx:", "-F", "#{pane_id}").trim();
  town.tmux("copy-mode", "-t", pane);
  const inCopyMode = await town.run(["ask", "deacon", "status"]);
  expect(inCopyMode.code).toBe(4);
  expect(inCopyMode.stderr).toMatch(/copy mode/);
  town.tmux("send-keys", "-t", pane, "-X", "cancel");
  town.tmux("send-keys", "-t", pane, "-l", "Do you want to continue? (y/n)");
  town.tmux("send-keys", "-t", pane, "Enter");
  await until(() => /keys agent heard: Do you want/.test(town.capture(pane)), "the dialog on the screen");
  const dialog = await town.run(["ask", "deacon", "status"]);
  expect(dialog.code).toBe(4);
  expect(dialog.stderr).toMatch(/yes or no/);
});

test("S0-49, lesson 18: nothing is typed while a person is typing there", async () => {
  town = new TownUnderTest();
  town.plan(plan(`exec sh ${place("agent.sh", KEYS_AGENT)}`, "keys"));
  await town.ok("up");
  const person = spawn("script", ["-qfc", `tmux -L ${town.socket} attach -t =agents-spx`, "/dev/null"], {
    env: town.env,
    stdio: ["pipe", "pipe", "ignore"],
  });
  person.stdout.resume();
  await until(() => town.tmux("list-clients").includes("agents-spx"), "the person");
  person.stdin.write("half a li");
  await until(() => town.capture("=agents-spx:").includes("half a li"), "the half-typed line");
  const refused = await town.run(["ask", "deacon", "status"]);
  expect(refused.code).toBe(4);
  expect(refused.stderr).toMatch(/a person is typing/);
  expect(town.capture("=agents-spx:")).not.toContain("status");
  person.kill("SIGKILL");
});

test("S0-48: over an external broker", async () => {
  const server = spawn("nats-server", ["-a", "127.0.0.1", "-p", "0", "--ports_file_dir", "/tmp"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  server.stderr.on("data", (chunk: Buffer) => (log += chunk.toString("utf8")));
  try {
    const port = (
      await until(() => /Listening for client connections on 127\.0\.0\.1:(\d+)/.exec(log), "nats-server")
    )[1];
    const { connect } = await import("@nats-io/transport-node");
    const agent = await connect({ servers: `nats://127.0.0.1:${port}` });
    town = new TownUnderTest();
    town.plan(plan("exec sleep 3600", "broker", `broker: "nats://127.0.0.1:${port}"\n`));
    await town.ok("up");
    const subscription = agent.subscribe(`bosun.${town.town}.ask.deacon-spx`, {
      callback: (_error, message) => {
        message.respond(`from the broker: ${(message.json() as { text: string }).text}`);
      },
    });
    expect(await town.json("ask", "deacon", "status")).toMatchObject({
      answer: "from the broker: status",
      route: "broker",
    });
    subscription.unsubscribe();
    await agent.close();
  } finally {
    server.kill("SIGKILL");
  }
});

test("S0-24: route explain names every hop of a line and of a question", async () => {
  town = new TownUnderTest(plan("exec sleep 3600", "fifo"));
  await town.ok("up");
  const line = await town.json("route", "explain", "spx");
  expect(line.hops.map((hop: { to: string }) => hop.to).join(" ")).toMatch(/coordinator rooms\.db spx .*view/);
  const question = await town.json("route", "explain", "deacon");
  expect(question.hops.map((hop: { from: string; to: string }) => `${hop.from}→${hop.to}`)).toEqual([
    "you→coordinator",
    "coordinator→deacon-spx",
    "deacon-spx→coordinator",
    "coordinator→you",
  ]);
});

test("S4-41: mail for a person shows in their command pane as it comes, as a signal", async () => {
  town = new TownUnderTest();
  town.plan(plan("exec sleep 3600"));
  await town.ok("up");
  const pane = town
    .panes("#{pane_id} #{session_name}:#{pane_title}")
    .split("\n")
    .find((line) => line.endsWith("command"))!
    .split(" ")[0]!;
  await until(() => town.capture(pane).includes("/help"), "the command pane's prompt");
  await until(async () => {
    await town.ok("send", "steve", "gamma wall at 505", "look at the book", "--type", "notification");
    return town.capture(pane).includes("[COLLABORATION] gamma wall at 505");
  }, "the signal");
  expect(town.capture(pane)).toMatch(/📢 .* → steve : \[COLLABORATION\] gamma wall at 505/);
  expect(town.capture(pane)).not.toContain("look at the book");
});

test("S0-04: an agent in one room writes to an agent in another; it is in that inbox, from whom it says", async () => {
  town = new TownUnderTest();
  town.plan(
    plan("exec sleep 3600").replace(
      "users:",
      `  agents-qqq:
    about: Agents of QQQ
    room: qqq
    windows: [ { name: agents, panes: [ { agent: { id: deacon-qqq, type: narrator }, run: "exec sleep 3600" } ] } ]
users:`,
    ),
  );
  await town.ok("up");
  const tokenOf = (session: string): string => {
    const pid = town.tmux("list-panes", "-t", `=${session}:`, "-F", "#{pane_pid}").trim();
    return /BOSUN_TOKEN_FILE=([^\0]+)/.exec(readFileSync(`/proc/${pid}/environ`, "utf8"))![1]!;
  };
  const sent = await town.run(["send", "deacon-qqq", "wall", "gamma wall at 505", "--json"], {
    env: { BOSUN_TOKEN_FILE: tokenOf("agents-spx") },
  });
  expect(sent.code).toBe(0);
  const inbox = JSON.parse(
    (await town.run(["inbox", "--bodies", "--json"], { env: { BOSUN_TOKEN_FILE: tokenOf("agents-qqq") } })).stdout,
  );
  expect(inbox.messages).toEqual([
    expect.objectContaining({
      id: JSON.parse(sent.stdout).id,
      from: "deacon-spx",
      to: "deacon-qqq",
      subject: "wall",
      body: "gamma wall at 505",
    }),
  ]);
  const unknown = await town.run(["send", "nobody-here", "s", "b"]);
  expect(unknown.code).toBe(3);
});

test("S0-55: Gas Town mail is reported as unsupported, with what to do instead", async () => {
  town = new TownUnderTest("version: 1\nsessions: {}\n");
  const ran = await town.run(["import", "beads", "whatever"]);
  expect(ran.code).toBe(2);
  expect(ran.stderr).toMatch(/Gas Town mail and nudges cannot be imported/);
  expect(execFileSync("ls", [town.folder], { encoding: "utf8" })).not.toMatch(/state/);
});
