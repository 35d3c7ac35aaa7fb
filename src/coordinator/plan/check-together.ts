import { ID_PATTERN } from "../../protocol/id.ts";
import { findClashes, whyBadName } from "../../protocol/names.ts";
import { nearest } from "../../protocol/nearest.ts";
import type { PaneFace, PlanAgent, PlanRoom, PlanUser } from "../../protocol/plan.ts";
import { type Mistakes, type Path, show } from "./mistakes.ts";
import type { Placed } from "./session-entry.ts";

/** A room with the place in the file it came from. */
export interface PlacedRoom {
  room: PlanRoom;
  path: Path;
}

interface Parts {
  sessions: Placed[];
  rooms: PlacedRoom[];
  users: PlanUser[];
  groups: Record<string, string[]>;
  hosts: Record<string, unknown>;
}

/** What only shows when the parts of a plan are seen together. `after` of the sessions becomes ids. */
export function checkTogether(parts: Parts, mistakes: Mistakes): void {
  const find = finder(parts.sessions);
  checkIds(parts.sessions, mistakes);
  checkNames(parts.sessions, mistakes);
  checkFormerNames(parts.sessions, mistakes);
  checkOrder(parts.sessions, find, mistakes);
  checkSeries(parts.sessions, mistakes);
  checkRooms(parts, find, mistakes);
  checkAgents(parts, mistakes);
  checkMembers(parts, mistakes);
  checkHosts(parts, mistakes);
}

/** What two sessions wrote as one series, or into one file, would be nobody's story. */
function checkSeries(sessions: Placed[], mistakes: Mistakes): void {
  const told = new Map<string, string>();
  for (const { session, path } of sessions) {
    if (!session.chapter) continue;
    const { series, handshake } = session.chapter;
    for (const [key, what] of [
      [`series ${series}`, `the series ${series}`],
      ...(handshake === null ? [] : [[`file ${handshake}`, handshake]]),
    ] as [string, string][]) {
      const other = told.get(key);
      if (other !== undefined)
        mistakes.add(
          [...path, "chapter"],
          {
            what: `${other} and ${session.id} both write ${show(what)}`,
            why: "a series is the story of one session",
            fix: `chapter: { series: ${session.id.replaceAll("/", "-")} }, and a handshake of its own`,
          },
          "key",
        );
      else told.set(key, session.id);
    }
  }
}

/** A session that is found under such a name must be one session of the plan. */
function checkFormerNames(sessions: Placed[], mistakes: Mistakes): void {
  const owners = new Map(sessions.map(({ session }) => [session.name, session.id]));
  for (const { session, path } of sessions) {
    for (const name of session.was) {
      const owner = owners.get(name);
      if (owner !== undefined && owner !== session.id)
        mistakes.add([...path, "was"], {
          what: `${owner} and ${session.id} both have the name ${show(name)}`,
          why: "a session that runs under it could be either",
          fix: "take it out of one of them",
        });
      else owners.set(name, session.id);
    }
  }
}

type Find = (wanted: string, rig: string | null) => Placed | null;

/** By id, by tmux name, or as a sibling in the same rig. */
function finder(sessions: Placed[]): Find {
  const byName = new Map(sessions.map((placed) => [placed.session.name, placed]));
  const byId = new Map(sessions.map((placed) => [placed.session.id, placed]));
  return (wanted, rig) =>
    (rig === null ? null : byId.get(`${rig}/${wanted}`)) ?? byId.get(wanted) ?? byName.get(wanted) ?? null;
}

/** The first dozen, for a sentence. */
function some(words: Iterable<string>): string {
  const all = [...words];
  if (all.length === 0) return "none";
  return all.length > 12 ? `${all.slice(0, 12).join(", ")} and ${all.length - 12} more` : all.join(", ");
}

function checkIds(sessions: Placed[], mistakes: Mistakes): void {
  const byId = Map.groupBy(sessions, (placed) => placed.session.id);
  for (const [id, same] of byId) {
    const key = id.slice(id.indexOf("/") + 1);
    if (!ID_PATTERN.test(key) && !whyBadName(same[0]!.session.name))
      mistakes.add(
        same[0]!.path,
        {
          what: `${show(key)} cannot be a session's key`,
          why: "letters, digits, _ . and -, at most 64, not starting with - or .",
          fix: "call it by a plain word",
        },
        "key",
      );
    if (same.length > 1)
      mistakes.add(
        same[1]!.path,
        {
          what: `two sessions have the id ${show(id)}`,
          why: "an id is for one session",
          fix: "put a placeholder of each: into the key, or use another key",
        },
        "key",
      );
  }
}

function checkNames(sessions: Placed[], mistakes: Mistakes): void {
  const byId = new Map(sessions.map((placed) => [placed.session.id, placed]));
  const entries = sessions.map(({ session }) => ({ name: session.name, label: session.id }));
  for (const { name, labels } of findClashes(entries)) {
    const places = [...new Set(labels)].map((label) => byId.get(label)!);
    if (places.length < 2) continue;
    const both = places
      .slice(0, 3)
      .map(({ session: { id, at } }) => `${id} (${at.file ? `${at.file}, ` : ""}line ${at.line})`);
    mistakes.add(
      places[1]!.path,
      {
        what: `${both.join(" and ")} would both be the tmux session ${name}`,
        why: "tmux tells sessions apart by name, and turns . and : into _",
        fix: "give one another key, role or name",
      },
      "key",
    );
  }
  for (const { session, path } of sessions) {
    const why = whyBadName(session.name);
    if (why)
      mistakes.add(
        path,
        {
          what: `${show(session.name)} cannot be a session's name`,
          why,
          fix: "a name says who works there and what they do: clod_bridge, agents-spx",
        },
        "key",
      );
  }
}

function checkOrder(sessions: Placed[], find: Find, mistakes: Mistakes): void {
  for (const { session, path } of sessions) {
    session.after = session.after.flatMap((wanted) => {
      const found = find(wanted, session.rig);
      if (found) return [found.session.id];
      const near = nearest(
        wanted,
        sessions.map((other) => other.session.id),
      );
      mistakes.add([...path, "after"], {
        what: `${session.id} starts after ${show(wanted)}, and no session is called that`,
        why: `the sessions are ${some(sessions.map((other) => other.session.id))}`,
        fix: near ? `did you mean ${near}` : "take it out, or declare that session",
      });
      return [];
    });
  }
  const circle = circleIn(sessions);
  if (circle)
    mistakes.add([...circle[0]!.path, "after"], {
      what: `these wait for each other: ${some([...circle, circle[0]!].map(({ session }) => session.id)).replaceAll(", ", " → ")}`,
      why: "none of them could ever start",
      fix: "take one after: out",
    });
}

/** The first circle of `after`, in the order of waiting; null when there is none. Not recursive: chains may be long. */
function circleIn(sessions: Placed[]): Placed[] | null {
  const byId = new Map(sessions.map((placed) => [placed.session.id, placed]));
  const done = new Set<string>();
  for (const start of sessions) {
    const path: { placed: Placed; next: number }[] = [{ placed: start, next: 0 }];
    const open = new Set([start.session.id]);
    while (path.length > 0) {
      const top = path.at(-1)!;
      const { id, after } = top.placed.session;
      const wanted = done.has(id) ? undefined : after[top.next++];
      if (wanted === undefined) {
        done.add(id);
        open.delete(id);
        path.pop();
      } else if (open.has(wanted)) {
        const begin = path.findIndex(({ placed }) => placed.session.id === wanted);
        return path.slice(begin).map(({ placed }) => placed);
      } else if (!done.has(wanted)) {
        open.add(wanted);
        path.push({ placed: byId.get(wanted)!, next: 0 });
      }
    }
  }
  return null;
}

function checkRooms({ sessions, rooms }: Parts, find: Find, mistakes: Mistakes): void {
  const ids = new Set(rooms.map(({ room }) => room.id));
  const needs = (id: string, path: Path): void => {
    if (id === "*" || ids.has(id)) return;
    const near = nearest(id, [...ids]);
    mistakes.add(path, {
      what: `there is no room ${show(id)}`,
      why: `the rooms are ${some(ids)}`,
      fix: near ? `did you mean ${near}` : ID_PATTERN.test(id) ? `add ${id}: {} under rooms:` : "feed: spx",
    });
  };
  for (const { session, path, panePaths } of sessions) {
    if (session.room !== null) needs(session.room, [...path, "room"]);
    session.windows.forEach((window, w) => {
      window.panes.forEach(({ face }, p) => {
        if (face) checkFace(face, panePaths[w]![p]!, needs, find, session.rig, mistakes);
      });
    });
  }
  for (const { room, path } of rooms) {
    room.sources.forEach((source, index) => {
      const here = [...path, "sources", index];
      if (source.kind === "rooms") for (const id of source.rooms) needs(id, [...here, "rooms"]);
      if (source.kind === "pane") checkListening(room.id, source, here, sessions, find, mistakes);
    });
  }
}

function checkFace(
  face: PaneFace,
  path: Path,
  needs: (id: string, path: Path) => void,
  find: Find,
  rig: string | null,
  mistakes: Mistakes,
): void {
  if (face.kind === "feed") for (const id of face.rooms) needs(id, [...path, "feed"]);
  if (face.kind === "review") needs(face.room, [...path, "review"]);
  if (face.kind !== "link") return;
  const [wanted = "", window] = face.target.split(":");
  const target = find(wanted, rig)?.session;
  if (!target)
    mistakes.add([...path, "link"], {
      what: `there is no session ${show(wanted)} to look at`,
      why: "a link shows a session of this plan",
      fix: "link: SESSION or link: SESSION:WINDOW, as they stand under sessions:",
    });
  else if (
    window !== undefined &&
    !target.windows.some(({ name }, index) => name === window || String(index) === window)
  ) {
    const names = target.windows.map(({ name }) => name);
    const near = nearest(window, names);
    mistakes.add([...path, "link"], {
      what: `${target.id} has no window ${show(window)}`,
      why: `its windows are ${some(names)}`,
      fix: near ? `did you mean ${wanted}:${near}` : `link: ${wanted}`,
    });
  }
}

function checkListening(
  room: string,
  source: { session: string; agent: string | null },
  path: Path,
  sessions: Placed[],
  find: Find,
  mistakes: Mistakes,
): void {
  const target = find(source.session, null)?.session;
  const ids = sessions.map(({ session }) => session.id);
  if (!target) {
    const near = nearest(source.session, ids);
    mistakes.add([...path, "pane"], {
      what: `room ${room} listens to ${show(source.session)}, and no session is called that`,
      why: `the sessions are ${some(ids)}`,
      fix: near ? `did you mean ${near}` : "name a session as it stands under sessions:",
    });
    return;
  }
  source.session = target.id;
  const agents = sessions
    .filter(({ session }) => session === target)
    .flatMap(agentsIn)
    .map(({ agent }) => agent.id);
  if (source.agent === null || agents.includes(source.agent)) return;
  const near = nearest(source.agent, agents);
  mistakes.add([...path, "agent"], {
    what: `no agent ${show(source.agent)} lives in ${target.id}`,
    why: `its agents are ${some(agents)}`,
    fix: near ? `did you mean ${near}` : "take agent: out to hear every pane of the session",
  });
}

function checkAgents({ sessions, users }: Parts, mistakes: Mistakes): void {
  const seen = new Map<string, Placed>();
  const people = new Set(users.map((user) => user.id));
  for (const placed of sessions) {
    for (const { agent, path } of agentsIn(placed)) {
      const wrong = whyBadAgent(agent.id, seen.get(agent.id), placed, people);
      if (wrong) mistakes.add([...path, "agent", "id"], wrong);
      seen.set(agent.id, placed);
    }
  }
}

function agentsIn({ session, panePaths }: Placed): { agent: PlanAgent; path: Path }[] {
  return session.windows.flatMap((window, w) =>
    window.panes.flatMap(({ agent }, p) => (agent ? [{ agent, path: panePaths[w]![p]! }] : [])),
  );
}

function whyBadAgent(id: string, before: Placed | undefined, placed: Placed, people: ReadonlySet<string>) {
  if (!ID_PATTERN.test(id))
    return {
      what: `${show(id)} cannot be an agent's id`,
      why: "letters, digits, _ . and -, at most 64, and no unfilled <placeholder>",
      fix: "agent: { id: deacon-spx, type: narrator }",
    };
  if (before)
    return {
      what: `two agents are called ${id}: in ${before.session.id} (line ${before.session.at.line}) and in ${placed.session.id}`,
      why: "mail and questions go by this name",
      fix: "put <instrument> or a number into the id",
    };
  if (people.has(id))
    return {
      what: `${id} is an agent and a user`,
      why: "mail and questions go by this name",
      fix: "call the agent something else",
    };
  return null;
}

/** Members of groups and of private rooms: agents, users, sessions, or a group. */
function checkMembers({ sessions, rooms, users, groups }: Parts, mistakes: Mistakes): void {
  const known = new Set([
    ...users.map((user) => user.id),
    ...sessions.flatMap(agentsIn).map(({ agent }) => agent.id),
    ...Object.keys(groups),
    ...sessions.flatMap(({ session }) => (session.kind === "view" ? [] : [session.id])),
  ]);
  const check = (member: string, path: Path): void => {
    if (known.has(member)) return;
    const near = nearest(member, [...known]);
    mistakes.add(path, {
      what: `nobody is called ${show(member)}`,
      why: `members are agents, users, sessions and groups: ${some(known)}`,
      fix: near ? `did you mean ${near}` : "declare the agent or the user, or take the name out",
    });
  };
  for (const [group, members] of Object.entries(groups))
    members.forEach((member, index) => {
      check(member, ["groups", group, index]);
    });
  for (const { room, path } of rooms)
    room.private?.forEach((member, index) => {
      check(member, [...path, "private", index]);
    });
}

/** Machines may join later, so only a plan that lists some is held to its list. */
function checkHosts({ sessions, hosts }: Parts, mistakes: Mistakes): void {
  const known = Object.keys(hosts);
  if (known.length === 0) return;
  for (const { session, path } of sessions) {
    if (session.host === null || known.includes(session.host)) continue;
    const near = nearest(session.host, known);
    mistakes.add([...path, "host"], {
      what: `there is no host ${show(session.host)}`,
      why: `the hosts are ${some(known)}`,
      fix: near ? `did you mean ${near}` : `add ${session.host} under hosts:`,
    });
  }
}
