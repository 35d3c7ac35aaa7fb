import fc from "fast-check";
import { expect, test } from "vitest";
import { hookSettingsOf } from "./hooks.ts";
import { withEntry, withoutEntry } from "./jsonc.ts";
import { serverSettings } from "./servers.ts";
import { withoutTable, withTable } from "./toml.ts";

const SERVER = { command: "/n", args: ["b", "mcp"] };

test("comments, order, indentation and trailing commas of a JSON file stay; only our entry comes and goes", () => {
  const before = `// mine\n{\n    "z": 1, /* one */\n    "mcp": {\n        "x": {"url": "a//b}{"}, // theirs\n    },\n}\n`;
  const after = withEntry(before, ["mcp", "bosun"], SERVER)!;
  for (const line of before.trim().split("\n")) expect(after).toContain(line);
  expect(withEntry(after, ["mcp", "bosun"], SERVER)).toBe(after);
  expect(withoutEntry(after, ["mcp", "bosun"])).toBe(before);
});

test("whatever JSON object it is, it holds the same and our server besides", () => {
  const settings = fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true });
  fc.assert(
    fc.property(settings, fc.option(settings), fc.constantFrom(0, 2, "\t"), (root, servers, indent) => {
      const { mcp: _, ...others } = root;
      const whole: Record<string, unknown> = servers ? { ...others, mcp: servers } : others;
      const text = JSON.stringify(whole, null, indent);
      const read = JSON.parse(text) as Record<string, object>;
      const after = withEntry(text, ["mcp", "bosun"], SERVER)!;
      expect(JSON.parse(after)).toEqual({ ...read, mcp: { ...read.mcp, bosun: SERVER } });
    }),
    { numRuns: 500, seed: 5 },
  );
});

test("a file that is not understood is left alone", () => {
  for (const text of ["[]", "{", '{"a"', '{"mcp": 3}', "{a: 1}"])
    expect(withEntry(text, ["mcp", "b"], SERVER), text).toBeNull();
  expect(withTable("mcp_servers = { x = 1 }\n", "mcp_servers", "bosun", SERVER)).toBeNull();
});

test("a table is put behind a TOML file, written anew where it stands, and taken out", () => {
  const before = 'model = "o9" # mine\n\n[mcp_servers.other]\ncommand = "x"\n';
  const after = withTable(before, "mcp_servers", "bosun", SERVER)!;
  expect(after).toBe(`${before}\n[mcp_servers.bosun]\ncommand = "/n"\nargs = ["b","mcp"]\n`);
  expect(withTable(after, "mcp_servers", "bosun", SERVER)).toBe(after);
  expect(withoutTable(after, "mcp_servers", "bosun")).toBe(before);
  const between = `${after}\n[mcp_servers.bosun.env]\nA = "1"\n\n[tui]\nx = 1\n`;
  expect(withoutTable(between, "mcp_servers", "bosun")).toBe(`${before}[tui]\nx = 1\n`);
});

test("each agent's snippet can be put and taken", () => {
  for (const agent of serverSettings("/n", ["mcp"])) {
    const made = agent.put("")!;
    expect(agent.put(made), agent.name).toBe(made);
    expect(agent.take(made), agent.name).not.toContain("bosun");
  }
});

test("hooks come beside those that are there, once, and go alone", () => {
  for (const agent of hookSettingsOf(["/n o", "/b.js", "hook"])) {
    const fresh = agent.put("")!;
    expect(fresh, agent.name).toContain("hook");
    expect(agent.put(fresh), agent.name).toBe(fresh);
    if (agent.name === "opencode") continue;
    const [event] = Object.keys((JSON.parse(fresh) as { hooks: object }).hooks);
    const before = `{\n  // mine\n  "hooks": {\n    "${event}": [\n      { "command": "theirs" }, // keep\n    ]\n  },\n  "z": 1\n}\n`;
    const after = agent.put(before)!;
    for (const line of before.trim().split("\n")) expect(after).toContain(line);
    expect(after.match(new RegExp(`hook ${agent.name}`, "g"))).toHaveLength(
      Object.keys((JSON.parse(fresh) as { hooks: object }).hooks).length,
    );
    expect(agent.put(after), agent.name).toBe(after);
    expect(agent.take(after), agent.name).toBe(before);
    expect(agent.put("[1]"), agent.name).toBeNull();
    expect(agent.put('{"hooks": 3}'), agent.name).toBeNull();
  }
});
