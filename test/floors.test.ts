import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

/** A room may import itself and these. Rooms of one floor never import each other. */
const MAY_IMPORT: Record<string, string[]> = {
  protocol: [],
  client: ["protocol"],
  cli: ["protocol", "client"],
  terminal: ["protocol"],
  console: ["protocol", "client", "terminal"],
  chat: ["protocol", "client", "terminal"],
  mcp: ["protocol", "client"],
  "coordinator/log": ["protocol"],
  "coordinator/tmux": ["protocol"],
  "coordinator/sessions": ["protocol", "coordinator/log", "coordinator/tmux"],
  "coordinator/registry": ["protocol", "coordinator/log", "coordinator/sessions"],
  "coordinator/plan": ["protocol", "coordinator/tmux", "coordinator/sessions"],
  "coordinator/ghosts": ["protocol", "coordinator/log", "coordinator/tmux"],
  "coordinator/messages": ["protocol", "coordinator/log", "coordinator/sessions", "coordinator/registry"],
  "coordinator/tasks": ["protocol", "coordinator/log"],
  "coordinator/memory": ["protocol", "coordinator/log"],
  "coordinator/rooms": ["protocol", "coordinator/log"],
  "coordinator/search": ["protocol", "coordinator/log"],
  "coordinator/harness": ["protocol"],
  "coordinator/screens": ["protocol", "coordinator/tmux"],
  "coordinator/chapters": ["protocol", "coordinator/log"],
  "coordinator/alerts": ["protocol", "coordinator/log"],
  coordinator: [
    "protocol",
    "coordinator/log",
    "coordinator/tmux",
    "coordinator/sessions",
    "coordinator/plan",
    "coordinator/ghosts",
    "coordinator/messages",
    "coordinator/tasks",
    "coordinator/memory",
    "coordinator/rooms",
    "coordinator/registry",
    "coordinator/search",
    "coordinator/harness",
    "coordinator/screens",
    "coordinator/chapters",
    "coordinator/alerts",
  ],
  "coordinator/keeping": [
    "protocol",
    "coordinator",
    "coordinator/log",
    "coordinator/tmux",
    "coordinator/sessions",
    "coordinator/plan",
    "coordinator/ghosts",
    "coordinator/chapters",
    "coordinator/alerts",
    "coordinator/harness",
    "coordinator/screens",
  ],
  "coordinator/server": ["protocol", "coordinator"],
};

const SRC = resolve(import.meta.dirname, "../src");

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .map((name) => join(folder, name));
}

/** Longest room name that holds the file: `coordinator/plan`, `cli`, … */
function roomOf(file: string): string {
  const folder = dirname(relative(SRC, file));
  const words = folder.split("/");
  for (let count = words.length; count > 0; count--) {
    const room = words.slice(0, count).join("/");
    if (room in MAY_IMPORT || room === "main") return room;
  }
  return folder;
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) => resolve(dirname(file), match[1]!));
}

test("every import goes down its own wing or into the corridor", () => {
  const wrong = files(SRC).flatMap((file) => {
    const room = roomOf(file);
    if (room === "main") return [];
    return importsOf(file)
      .map((target) => ({ target, to: roomOf(target) }))
      .filter(({ to }) => to !== room && !(MAY_IMPORT[room] ?? []).includes(to))
      .map(
        ({ target }) =>
          `${relative(SRC, file)} imports ${relative(SRC, target)}: ${room} may import ${MAY_IMPORT[room]?.join(", ") || "nothing"}`,
      );
  });
  expect(wrong).toEqual([]);
});

test("no circle of imports, types included", () => {
  const graph = new Map(files(SRC).map((file) => [file, importsOf(file)]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: string[]): void => {
    if (path.includes(file))
      circles.push([...path.slice(path.indexOf(file)), file].map((name) => relative(SRC, name)).join(" → "));
    else if (!done.has(file)) {
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    }
  };
  for (const file of graph.keys()) visit(file, []);
  expect(circles).toEqual([]);
});

test("only its own room runs tmux, holds SQL or opens ports", () => {
  const rules: [RegExp, RegExp][] = [
    [/node:sqlite/, /^coordinator\/log\/|^coordinator\/lock\.ts$|^coordinator\/\w+\/(projection|store)\.ts$|^main\//],
    [/createServer\(/, /^coordinator\/server\/|^main\//],
    [/@nats-io/, /^coordinator\/log\/nats|^coordinator\/server\/|^main\//],
  ];
  const wrong = files(SRC).flatMap((file) => {
    const name = relative(SRC, file);
    const text = readFileSync(file, "utf8");
    return rules
      .filter(([marker, home]) => marker.test(text) && !home.test(name))
      .map(([marker]) => `${name}: ${marker}`);
  });
  expect(wrong).toEqual([]);
});
