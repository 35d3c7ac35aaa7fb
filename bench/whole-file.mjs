/**
 * How the system that the hub replaces keeps its records: three JSON documents, each read whole, changed and written whole
 * for every command; who has been silent for 300 s is looked for on every read, and the file is written again three times
 * when anybody has. `node whole-file.mjs FOLDER list|register|memory-set|send [ID]`
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const STALE_MS = 300_000;
const KEPT_MESSAGES = 100;

const [folder, command, id = "x"] = process.argv.slice(2);
const files = {
  sessions: join(folder, "active_sessions.json"),
  messages: join(folder, "recent_messages.json"),
  entries: join(folder, "memory.json"),
};
const load = (what) => JSON.parse(readFileSync(files[what], "utf8"))[what];
const save = (what, records) =>
  writeFileSync(files[what], JSON.stringify({ [what]: records, updated_at: new Date().toISOString() }, null, 2));

function sessionsNow() {
  const sessions = load("sessions");
  const stale = Object.values(sessions).filter((each) => Date.now() - Date.parse(each.last_ping) > STALE_MS);
  for (const each of stale) each.status = "offline";
  for (let times = 0; stale.length > 0 && times < 3; times++) save("sessions", sessions);
  return sessions;
}

const at = new Date().toISOString();
if (command === "list") {
  const lines = Object.values(sessionsNow()).map(
    (each) => `${each.session_id.padEnd(20)} ${each.agent_name.padEnd(15)} ${each.status}`,
  );
  process.stdout.write(`${lines.join("\n")}\n`);
} else if (command === "register") {
  const sessions = sessionsNow();
  sessions[id] = {
    session_id: id,
    agent_name: id,
    agent_type: "script",
    status: "active",
    started_at: at,
    last_ping: at,
  };
  save("sessions", sessions);
} else if (command === "memory-set") {
  const entries = load("entries");
  entries[id] = {
    entry_id: id,
    type: "note",
    key: id,
    value: "v",
    session_id: "s",
    timestamp: at,
    ttl: null,
    tags: [],
  };
  save("entries", entries);
} else if (command === "send") {
  sessionsNow();
  const messages = load("messages");
  messages.push({
    message_id: id,
    type: "notification",
    from_session: "s",
    to_session: "t",
    subject: id,
    timestamp: at,
  });
  save("messages", messages.slice(-KEPT_MESSAGES));
}
