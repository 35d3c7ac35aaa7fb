import fc from "fast-check";
import { beforeEach, expect, test } from "vitest";
import { Crew } from "./crew.fixture.ts";
import { GOOD_CALLS } from "./good-calls.fixture.ts";
import { PROFILES, type Profile, runTool, toolList } from "./tools.ts";

/** What two hosts of 2026 give tools before they begin to leave some out. */
const MAX_LIST_BYTES = 9_216;

let crew: Crew;
beforeEach(() => {
  crew = new Crew();
});

const run = async (name: string, args: unknown, profile: Profile = "full") =>
  (await runTool(name, args, crew, profile))!;

test("sixteen tools in 9 KB, in the same order every time; seven in the core; nine in the original", () => {
  const list = toolList("full");
  expect(Buffer.byteLength(JSON.stringify({ tools: list }))).toBeLessThanOrEqual(MAX_LIST_BYTES);
  expect(JSON.stringify(toolList("full"))).toBe(JSON.stringify(list));
  expect(list.map((each) => each.name).sort()).toEqual(GOOD_CALLS.map(([name]) => name).sort());
  expect([toolList("core").length, toolList("original").length]).toEqual([7, 9]);
});

test("each tool says all four hints, and refuses fields it does not know", () => {
  for (const profile of Object.keys(PROFILES) as Profile[]) {
    for (const { name, annotations, inputSchema } of toolList(profile)) {
      expect(
        Object.values(annotations).map((hint) => typeof hint),
        name,
      ).toEqual(Array(4).fill("boolean"));
      expect(inputSchema, name).toMatchObject({ type: "object", additionalProperties: false });
    }
  }
  const reading = toolList("full").filter((each) => each.annotations.readOnlyHint);
  expect(reading.map((each) => each.name)).toEqual([
    "session_list",
    "thread_read",
    "search",
    "memory_get",
    "feed_read",
  ]);
  const destroying = toolList("full").filter((each) => each.annotations.destructiveHint);
  expect(destroying.map((each) => each.name)).toEqual(["memory_put"]);
});

test("every tool works; the text holds every fact of the structured answer", async () => {
  for (const [name, args] of GOOD_CALLS) {
    const result = await run(name, args);
    expect(result.isError, `${name}: ${result.content[0]!.text}`).toBeUndefined();
    const bare = (value: string): string => value.replaceAll(/[\s"]|\\n/g, "");
    for (const leaf of leavesOf({ ...result.structuredContent, mail: null })) {
      if (leaf !== null) expect(bare(result.content[0]!.text), name).toContain(bare(String(leaf)));
    }
  }
  expect(crew.memory.get("handoff/dev-001")).toMatchObject({
    type: "context",
    value: { summary: "done", next: "rest" },
  });
  expect(crew.memory.get("api/base")).toMatchObject({ type: "fact", value: "/v2" });
});

function leavesOf(value: unknown): unknown[] {
  if (typeof value !== "object" || value === null) return [value];
  return Object.values(value).flatMap(leavesOf);
}

test("bodies come only on request, and input is never given back", async () => {
  const body = "a body nobody asked for";
  const sent = await run("message_send", { to: ["dev-001"], subject: "s", body });
  const listed = await run("inbox_read", {});
  expect(JSON.stringify([sent, listed])).not.toContain(body);
  expect(JSON.stringify(await run("inbox_read", { bodies: true }))).toContain(body);
});

test("unread mail is told once a minute, and never by inbox_read", async () => {
  await run("message_send", { to: ["dev-001"], subject: "s", body: "b" });
  const told = (await run("session_list", {})).content[0]!.text;
  crew.mailShownAtMs = 0;
  expect((await run("inbox_read", {})).content[0]!.text).not.toContain("[mail:");
  const again = await run("session_list", {});
  expect(again.content[0]!.text).toMatch(/\n\[mail: 1 unread, 0 urgent\]$/);
  expect(again.structuredContent.mail).toEqual({ unread: 1, urgent: 0 });
  expect((await run("session_list", {})).content[0]!.text).not.toContain("[mail:");
  expect(told).not.toContain("[mail:");
});

test("a refusal says what to call next", async () => {
  await run("memory_put", { key: "k", value: 1 });
  const late = await run("memory_put", { key: "k", value: 2, if_rev: 77 });
  expect(late).toMatchObject({ isError: true, structuredContent: { error: "CONFLICT" } });
  expect(late.content[0]!.text).toContain("next: call memory_get");
  const wrong = await run("message_send", { to: "dev-001" });
  expect(wrong.content[0]!.text).toContain("call message_send again; its fields are to, subject, body, [type]");
  expect((await run("inbox_read", { cursor: "soon" })).content[0]!.text).toContain("leave cursor away");
  expect((await run("handoff", { action: "accept" })).content[0]!.text).toContain("needs id");
});

test("a lease somebody has, and an answer that takes longer, are answers and no errors", async () => {
  await run("lease", { action: "acquire", names: ["src/*"] });
  const second = await run("lease", { action: "acquire", names: ["src/*"] });
  expect(second.isError).toBeUndefined();
  expect(second.structuredContent).toMatchObject({ held: [], conflicts: [{ name: "src/*", holder: "dev-001" }] });
  expect((await run("ask", { to: "slow", command: "x" })).structuredContent).toMatchObject({ state: "pending" });
});

test("names of both sets take both forms of arguments", async () => {
  await run("memory_put", { key: "k", value: null });
  await run("memory_put", { key: "k", value: [1] });
  expect((await run("memory_get", { key: "k" })).structuredContent).toMatchObject({
    items: [{ key: "k", value: [1] }],
  });
  expect((await run("memory_get", { key: "k" }, "original")).structuredContent).toEqual({
    found: true,
    key: "k",
    value: [1],
  });
  expect((await run("memory_get", { key: "k", history: true }, "original")).structuredContent).toMatchObject({
    items: [{}],
  });
  expect((await run("session_list", { include_offline: true })).structuredContent).toMatchObject({ count: 1 });
  expect((await run("session_list", { query: "dev" }, "original")).structuredContent).not.toHaveProperty("count");
});

test("3,000 calls of any shape: no crash, errors only as results, what was accepted is there", async () => {
  const names = [...new Set(Object.values(PROFILES).flatMap((tools) => tools.map((each) => each.name)))];
  const good = fc.constantFrom(...GOOD_CALLS).map(([name, args]) => ({ name, args: args as unknown }));
  const bent = fc
    .tuple(fc.constantFrom(...GOOD_CALLS), fc.string(), fc.jsonValue())
    .map(([[name, args], field, value]) => ({ name, args: { ...args, [field || "to"]: value } as unknown }));
  const wild = fc.record({
    name: fc.constantFrom(...names),
    args: fc.oneof(fc.jsonValue(), fc.dictionary(fc.string(), fc.jsonValue())),
  });
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(fc.oneof(good, bent, wild), async ({ name, args }) => {
      const before = { messages: crew.messages.length, lines: crew.lines.length };
      const result = await run(name, args);
      expect(result.structuredContent.error).not.toBe("FAILED");
      if (result.isError) return;
      accepted += 1;
      if (name === "message_send") expect(crew.messages).toHaveLength(before.messages + 1);
      if (name === "feed_post") expect(crew.lines).toHaveLength(before.lines + 1);
      const { key, value } = (args ?? {}) as { key?: string; value?: unknown };
      if (name === "memory_put" && value !== null) expect(crew.memory.get(key!)).toMatchObject({ key });
    }),
    { numRuns: 3_000, seed: 20_261_121 },
  );
  expect(accepted).toBeGreaterThan(500);
});

test("a name nobody knows is no tool", async () => {
  expect(await runTool("rm", {}, crew, "full")).toBeNull();
});
