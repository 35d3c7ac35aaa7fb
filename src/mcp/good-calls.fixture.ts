/** One good call of each of the sixteen, in an order in which each finds what it needs. */
export const GOOD_CALLS: [string, Record<string, unknown>][] = [
  ["session_open", { name: "Dev", capabilities: ["python"] }],
  ["session_status", { status: "working", task: "parser", progress: 40 }],
  ["session_list", { capability: "python" }],
  ["message_send", { to: ["dev-001"], subject: "Hello", body: "line one\nline two", ack: true, data: { n: 1 } }],
  ["inbox_read", { bodies: true }],
  ["message_ack", { ids: ["m1"], outcome: "done" }],
  ["thread_read", { thread: "m1" }],
  ["search", { query: "line" }],
  ["memory_put", { key: "db/port", value: 5432 }],
  ["memory_get", { key: "db/" }],
  ["feed_post", { text: "on it" }],
  ["feed_read", {}],
  ["ask", { to: "deacon", command: "status" }],
  ["handoff", { action: "offer", to: "dev-002", task: "t1", state: "half done" }],
  ["lease", { action: "acquire", names: ["a.ts"] }],
  ["session_close", { summary: "done", next: "rest", todos: ["x"], facts: { "api/base": "/v2" } }],
];
