import type { Answer } from "../../client/operations.gen.ts";
import { jobsOf, type Plan } from "../../protocol/plan.ts";
import { sanitise } from "../../protocol/text.ts";
import { usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, textOf } from "../command.ts";
import { checkProof } from "../proof.ts";
import { clockText, sinceText } from "../time.ts";

const viewOpen: Command = {
  name: "view open",
  args: "USER",
  group: "session",
  ops: ["view.open"],
  examples: ["bosun view open steve"],
  async run(invocation) {
    const [user] = invocation.args;
    if (user === undefined) throw usage("view open needs a user of the floor plan", viewOpen);
    const connection = await invocation.connect();
    const view = await connection.call("view.open", { user });
    if (invocation.out.wish.json) invocation.out.json(view);
    else invocation.out.line(`${view.name} ${view.created ? "started" : "runs"} · bosun attach ${view.name}`);
    return 0;
  },
};

const viewLs: Command = {
  name: "view ls",
  aliases: ["views"],
  group: "session",
  ops: ["view.list"],
  async run(invocation) {
    const connection = await invocation.connect();
    const answer = await connection.call("view.list", {});
    if (invocation.out.wish.json) invocation.out.json(answer, "views");
    else {
      invocation.out.table(
        [
          { title: "USER" },
          { title: "VIEW" },
          { title: "STATE" },
          { title: "HERE", align: "right" },
          { title: "WINDOWS", flexible: true },
          { title: "SHARED", flexible: true },
        ],
        answer.views.map((view) => [
          view.user,
          view.name,
          view.state,
          String(view.attached),
          view.windows.join(" "),
          view.shared.map((share) => `${share.window} with ${share.with.join(", ")}`).join("; "),
        ]),
      );
    }
    return 0;
  },
};

const share: Command = {
  name: "share",
  args: "NAME[:WINDOW]",
  group: "session",
  ops: ["view.share"],
  flags: {
    with: { value: "USER", about: "whose view it is shown in" },
    index: { value: "N", about: "window number there (default 9, or the next free)" },
    mode: { value: "MODE", about: "link: the same window; replicate: a copy of its bytes" },
  },
  examples: ["bosun share agents-spx --with steve"],
  async run(invocation) {
    const [source, user] = sharedWith(invocation, share);
    const index = textOf(invocation, "index");
    const mode = textOf(invocation, "mode") as "link" | "replicate" | undefined;
    const connection = await invocation.connect();
    const shared = await connection.call("view.share", {
      source,
      with: user,
      ...(index && { index: Number(index) }),
      ...(mode && { mode }),
    });
    if (invocation.out.wish.json) invocation.out.json(shared);
    else
      invocation.out.line(
        `${source} is window ${shared.index} of ${shared.view} · seen in ${shared.present.join(", ")}`,
      );
    return 0;
  },
};

const unshare: Command = {
  name: "unshare",
  args: "NAME[:WINDOW]",
  group: "session",
  ops: ["view.unshare"],
  flags: { with: { value: "USER", about: "whose view it leaves" } },
  examples: ["bosun unshare agents-spx --with steve"],
  async run(invocation) {
    const [source, user] = sharedWith(invocation, unshare);
    const connection = await invocation.connect();
    const done = await connection.call("view.unshare", { source, with: user });
    if (invocation.out.wish.json) invocation.out.json(done);
    else invocation.out.line(`${source} is no longer in the view of ${user}; it goes on where it was`);
    return 0;
  },
};

function sharedWith(invocation: Invocation, command: Command): [string, string] {
  const user = textOf(invocation, "with") ?? invocation.args[1];
  const [source] = invocation.args;
  if (source === undefined || user === undefined)
    throw usage(`${command.name} needs a session and --with USER`, command);
  return [source, user];
}

type Entry = { seq: number; at: string; actor: string; type: string } & Record<string, unknown>;

const events: Command = {
  name: "events",
  aliases: ["audit tail"],
  group: "keep",
  ops: ["event.list"],
  flags: {
    follow: { short: "f", about: "go on with what happens" },
    last: { short: "n", value: "N", about: "the newest N (default 100)" },
    after: { value: "SEQ", about: "only entries behind this number" },
    session: { value: "NAME", about: "of one session, by plan id" },
  },
  async run(invocation) {
    const { out } = invocation;
    const last = textOf(invocation, "last");
    const after = textOf(invocation, "after");
    const session = textOf(invocation, "session");
    const input = {
      ...(last && { last: Number(last) }),
      ...(after && { after: Number(after) }),
      ...(session && { session }),
      ...(isSet(invocation, "follow") && { follow: true }),
    };
    const show = (entry: Entry): void => {
      if (out.wish.json) out.write(`${JSON.stringify(entry)}\n`);
      else out.line(entryText(entry));
    };
    const connection = await invocation.connect();
    if (!isSet(invocation, "follow")) {
      const answer = await connection.call("event.list", input);
      if (out.wish.json) out.json(answer, "events");
      else for (const entry of answer.events) show(entry as Entry);
      return 0;
    }
    const stream = await connection.stream("event.list", input, (entry) => show(entry as Entry));
    for (const entry of stream.ok.events) show(entry as Entry);
    await stream.ended;
    return 0;
  },
};

function entryText({ seq, at, actor, type, hash: _hash, ...data }: Entry): string {
  const facts = Object.entries(data)
    .filter(([key, value]) => value !== null && value !== "" && !["text", "body"].includes(key))
    .map(([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`);
  return sanitise(
    `${String(seq).padStart(5)}  ${clockText(new Date(at))}  ${type.padEnd(19)} ${actor.padEnd(16)} ${facts.join(" ")}`,
  ).slice(0, 240);
}

const auditVerify: Command = {
  name: "audit verify",
  anywhere: true,
  group: "keep",
  ops: ["audit.verify"],
  flags: {
    proof: { value: "FILE", about: "check a proof instead; needs no town" },
    key: { value: "FILE", about: "with --proof: the public key one trusts" },
  },
  examples: ["bosun audit verify", "bosun audit verify --proof entry-17.json --key floor.pub.pem"],
  async run(invocation) {
    const proof = textOf(invocation, "proof");
    if (proof !== undefined) return verifyProof(invocation, proof, textOf(invocation, "key"));
    const connection = await invocation.connect();
    const verdict = await connection.call("audit.verify", {});
    if (invocation.out.wish.json) invocation.out.json(verdict);
    else if (verdict.ok)
      invocation.out.line(
        `unbroken: ${verdict.entries} entries, ${verdict.checkpoints} signed checkpoints, head ${verdict.head.slice(0, 16)}…`,
      );
    else
      invocation.out.complain(
        `broken${verdict.firstBad === null ? "" : ` at entry ${verdict.firstBad}`}: ${verdict.why}`,
      );
    return verdict.ok ? 0 : 1;
  },
};

function verifyProof({ out }: Invocation, file: string, keyFile: string | undefined): number {
  const { readFileSync } = process.getBuiltinModule("node:fs");
  const key = keyFile === undefined ? null : readFileSync(keyFile, "utf8");
  const checked = checkProof(readFileSync(file, "utf8"), key);
  if (out.wish.json) out.json(checked);
  else if (checked.ok) {
    out.line(`proven: entry ${checked.seq} is one of the ${checked.size} that ${checked.origin} signed`);
    if (key === null) out.say("signed by the key in the proof itself; --key FILE checks against one you trust");
  } else out.complain(`not proven: ${checked.why}`);
  return checked.ok ? 0 : 1;
}

const auditProve: Command = {
  name: "audit prove",
  anywhere: true,
  args: "ID",
  group: "keep",
  ops: ["audit.prove"],
  examples: ["bosun audit prove 17 > entry-17.json && bosun audit verify --proof entry-17.json"],
  async run(invocation) {
    const [id] = invocation.args;
    if (id === undefined)
      throw usage("audit prove needs the number of an entry, or the id of a message or value", auditProve);
    const connection = await invocation.connect();
    const proof = await connection.call("audit.prove", { id });
    const { out } = invocation;
    if (out.wish.fields) out.json(proof);
    // A proof is for a file, and for programs: it is JSON in any case.
    else out.write(`${JSON.stringify(proof, null, out.wish.json ? 0 : 2)}\n`);
    return 0;
  },
};

const rebuild: Command = {
  name: "rebuild",
  anywhere: true,
  group: "keep",
  ops: ["log.rebuild"],
  async run(invocation) {
    const connection = await invocation.connect();
    const done = await connection.call("log.rebuild", {});
    if (invocation.out.wish.json) invocation.out.json(done);
    else
      invocation.out.line(
        done.equal
          ? `${done.entries} entries replayed; the views were right`
          : `${done.entries} entries replayed; mended: ${done.differing.join(", ")}`,
      );
    return 0;
  },
};

type PlanAnswer = Answer<"plan.show">;

const planShow: Command = {
  name: "plan show",
  group: "plan",
  ops: ["plan.show"],
  async run(invocation) {
    const connection = await invocation.connect();
    const { plan } = invocation.place();
    const answer = await connection.call("plan.show", plan ? { file: plan } : {});
    if (invocation.out.wish.json) invocation.out.json(answer);
    else printPlan(invocation, answer);
    return 0;
  },
};

function printPlan({ out }: Invocation, answer: PlanAnswer): void {
  const plan = answer.plan as Plan;
  out.line(`${plan.town} · ${plan.file} · names ${plan.names.preset} · tmux ${plan.tmux.socket}`);
  for (const [key, value] of Object.entries(plan.about)) out.line(`  ${key.padEnd(9)} ${sanitise(value)}`);
  const heading = (text: string): void => out.line(`\n${out.style(text, "bold")}`);
  heading("Rooms");
  for (const room of plan.rooms)
    out.line(
      `  ${room.id.padEnd(18)} ${sanitise(room.about)}${room.private ? `  (private: ${room.private.join(", ")})` : ""}${room.jsonl ? `  → ${room.jsonl.path}` : ""}`,
    );
  heading("Sessions");
  for (const session of plan.sessions) {
    out.line(
      `  ${session.name}${session.id === session.name ? "" : `  (${session.id})`}${session.role ? `  ${session.role}` : ""}`,
    );
    out.line(`    for       ${sanitise(session.about) || "(nobody wrote it down: add about:)"}`);
    const { meaning, lifecycle, created, registry, feeds, naming_exception } = session.documented;
    if (meaning) out.line(`    means     ${sanitise(meaning)}`);
    if (naming_exception) out.line(`    named so  ${sanitise(naming_exception)}`);
    if (created) {
      const said = Object.entries(created).map(([key, value]) => `${key} ${String(value)}`);
      out.line(`    created   ${sanitise(said.join(", "))}`);
    }
    if (registry) out.line(`    registry  ${sanitise(registry)}`);
    if (feeds) out.line(`    feeds     ${sanitise(feeds.join(", "))}`);
    const traits = [
      ...(lifecycle ? [lifecycle] : []),
      `starts ${session.start === "boot" ? "with up" : session.start}`,
      `restart ${session.restart.policy}`,
      ...(session.headless ? ["headless"] : []),
      ...(session.protect ? ["protected"] : []),
    ];
    out.line(`    life      ${traits.join(", ")}`);
    if (session.room) out.line(`    feeds     room ${session.room}`);
    if (session.after.length > 0) out.line(`    after     ${session.after.join(", ")}`);
    for (const window of session.windows)
      out.line(`    window    ${window.name}: ${window.panes.map((pane) => pane.agent?.id ?? pane.title).join(", ")}`);
  }
  heading("People");
  for (const user of plan.users) out.line(`  ${user.id.padEnd(18)} ${user.role}${user.view ? "" : "  (no view)"}`);
  heading("History");
  for (const row of answer.amendments as {
    revision: number;
    at: string;
    by: string;
    about: Record<string, string>;
  }[]) {
    out.line(
      `  rev ${row.revision}  ${sinceText(row.at, Date.now())} ago  by ${row.by}${row.about.because ? `  because ${sanitise(row.about.because)}` : ""}`,
    );
  }
}

/** What stands on what, what feeds what, who narrates where, which job watches whom. */
interface Edge {
  from: string;
  to: string;
  kind: "after" | "needs" | "feeds" | "room" | "watches" | "hands over";
}

function edgesOf(plan: Plan): Edge[] {
  return [
    ...plan.sessions.flatMap((session) => [
      ...session.after.map(
        (to): Edge => ({ from: session.id, to, kind: session.needs.includes(to) ? "needs" : "after" }),
      ),
      ...(session.documented.feeds ?? []).map((to): Edge => ({ from: session.id, to, kind: "feeds" })),
      ...(session.room === null ? [] : [{ from: session.id, to: `room ${session.room}`, kind: "room" as const }]),
      ...(session.chapter
        ? [{ from: session.id, to: `series ${session.chapter.series}`, kind: "hands over" as const }]
        : []),
    ]),
    ...jobsOf(plan).flatMap((job): Edge[] =>
      job.kind === "do"
        ? []
        : [{ from: job.id, to: job.kind === "channel" ? `channel ${job.target}` : job.target, kind: "watches" }],
    ),
  ];
}

const planGraph: Command = {
  name: "plan graph",
  group: "plan",
  ops: ["plan.show"],
  summary: "What stands on what, what feeds what: as text, JSON, or for Graphviz",
  flags: { dot: { about: "for Graphviz: bosun plan graph --dot | dot -Tsvg" } },
  examples: ["bosun plan graph", "bosun plan graph --dot"],
  async run(invocation) {
    const { out } = invocation;
    const connection = await invocation.connect();
    const { plan: file } = invocation.place();
    const answer = await connection.call("plan.show", file ? { file } : {});
    const edges = edgesOf(answer.plan as Plan);
    if (out.wish.json) out.json({ edges }, "edges");
    else if (isSet(invocation, "dot")) {
      const quoted = (text: string): string => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
      out.line("digraph plan {");
      for (const { from, to, kind } of edges) out.line(`  ${quoted(from)} -> ${quoted(to)} [label=${quoted(kind)}];`);
      out.line("}");
    } else for (const { from, to, kind } of edges) out.line(sanitise(`${from}  ─${kind}→  ${to}`));
    return 0;
  },
};

export const KEEP_COMMANDS = [
  planShow,
  planGraph,
  viewOpen,
  viewLs,
  share,
  unshare,
  events,
  auditVerify,
  auditProve,
  rebuild,
];
