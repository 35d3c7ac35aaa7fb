import {
  aboutImport,
  asProcess,
  type DraftSession,
  type Dropped,
  freeId,
  type Imported,
  idFrom,
  writePlan,
} from "./draft.ts";

/** What foreman gives the first process as PORT; each further one gets 100 more. Apps are written for these numbers. */
const FIRST_PORT = 5000;
const PORTS_APART = 100;

/**
 * A Procfile as a floor plan: one session per process, restarted when it fails. Never throws: a line that is no
 * `name: command` is listed.
 */
export function importProcfile(text: string, file: string): Imported {
  const dropped: Dropped[] = [];
  const sessions: Record<string, DraftSession> = {};
  text.split(/\r?\n/).forEach((whole, at) => {
    const line = at + 1;
    const content = whole.trim();
    if (content === "" || content.startsWith("#")) return;
    const match = /^([^\s:]+):\s*(\S.*)$/.exec(content);
    if (!match) {
      dropped.push({ key: content.slice(0, 60), line, why: "it is not of the form `name: command`" });
      return;
    }
    const [, name = "", command = ""] = match;
    const id = freeId(idFrom(name, `process-${line}`), new Set(Object.keys(sessions)));
    if (id !== name) dropped.push({ key: name, line, why: `this name cannot be used; the session is called ${id}` });
    sessions[id] = {
      about: aboutImport(file),
      env: { PORT: String(FIRST_PORT + PORTS_APART * Object.keys(sessions).length) },
      restart: "on-failure",
      run: asProcess(command),
    };
  });
  return writePlan({ kind: "Procfile", file, socket: null, sessions }, dropped);
}
