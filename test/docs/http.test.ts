import { execFile, spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TownUnderTest, until } from "../e2e/town-under-test.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PAGE = readFileSync(join(ROOT, "docs/http.md"), "utf8");
const blocks = (language: string): string[] =>
  [...PAGE.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map((block) => block[1]!);

const town = new TownUnderTest("version: 1\nrooms: { spx: {} }\nsessions: {}\n");

beforeAll(async () => {
  await town.ok("up");
  mkdirSync(join(town.folder, "bin"));
  const bosun = join(town.folder, "bin/bosun");
  writeFileSync(bosun, `#!/bin/sh\nexec ${process.execPath} ${join(ROOT, "dist/bosun.js")} "$@"\n`);
  chmodSync(bosun, 0o755);
});

afterAll(() => town.close());

function shell(script: string): Promise<string> {
  const env = { ...town.env, PATH: `${join(town.folder, "bin")}:${town.env.PATH}` };
  return new Promise((done, fail) =>
    execFile("bash", ["-euo", "pipefail", "-c", script], { env, cwd: town.folder }, (error, stdout, stderr) =>
      error ? fail(new Error(`${error.message}\n${stderr}`)) : done(stdout),
    ),
  );
}

test("the curl lines of docs/http.md work as pasted", async () => {
  const lines = blocks("sh")[0]!.replaceAll("\\\n", "").trim().split("\n");
  const [first, ...asks] = lines;
  const script = [first!, ...asks.map((line) => `${line}; echo`)].join("\n");
  const answers = (await shell(script)).trim().split("\n");
  const documents = answers.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(documents.filter((document) => "code" in document)).toEqual([]);
  expect(documents).toMatchObject([
    { town: town.town },
    { sessions: [] },
    { agent: { session_id: "dev-001" } },
    { recipients: ["dev-001"] },
    { messages: [{ subject: "hello", body: "from curl" }] },
  ]);
});

test("the WebSocket program of docs/http.md shows mail as it comes, also after the connection was lost", async () => {
  const folder = join(town.folder, "program");
  mkdirSync(folder);
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "watch.mjs"), blocks("js")[0]!);
  const socket = (await town.json("status")).socket as string;
  const child = spawn(process.execPath, [join(folder, "watch.mjs")], { env: { ...town.env, BOSUN_SOCKET: socket } });
  try {
    let shown = "";
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (chunk: string) => {
      shown += chunk;
    });
    const send = (subject: string) =>
      shell(
        `curl -sS --unix-socket ${socket} --json '{"to":["${userInfo().username}"],"subject":"${subject}","body":"b"}' http://bosun/v1/message.send`,
      );
    // Until the program has begun to listen, what it is sent is not new to it.
    await until(async () => {
      await send("early");
      return shown.includes("early");
    }, "the program is listening");
    await town.ok("stop");
    await town.ok("status");
    await send("after the restart");
    await until(() => shown.includes("after the restart"), "the program has come back");
    expect(shown.split("after the restart")).toHaveLength(2);
  } finally {
    child.kill("SIGKILL");
  }
});
