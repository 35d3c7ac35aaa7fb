import type { Answer } from "../../client/operations.gen.ts";
import { BosunError } from "../../protocol/error.ts";
import { sanitise } from "../../protocol/text.ts";
import { stdinText, usage } from "../arguments.ts";
import { type Command, type Invocation, isSet, listOf, textOf } from "../command.ts";
import { sinceText } from "../time.ts";

type Chapter = Answer<"chapter.show">["chapter"];

const session = { value: "NAME", about: "default: the session you run in" };

const books: Command = {
  name: "books",
  aliases: ["book ls", "series ls"],
  args: "[SERIES]",
  group: "book",
  ops: ["chapter.list"],
  flags: { limit: { short: "n", value: "N" } },
  examples: ["bosun books", "bosun books sisters -n 20"],
  async run({ out, args, connect, flags }) {
    const answer = await (await connect()).call("chapter.list", {
      ...(args[0] !== undefined && { series: args[0] }),
      ...(typeof flags.limit === "string" && { limit: Number(flags.limit) }),
    });
    if (out.wish.json) {
      out.json(answer, "series");
      return 0;
    }
    if (answer.series.length === 0)
      out.say("no session has had a chapter yet: chapter: { minutes: 60 } in the floor plan");
    out.table(
      [
        { title: "BOOK" },
        { title: "PHASE" },
        { title: "OPENED" },
        { title: "USED", align: "right" },
        { title: "END", whenSaid: true },
        { title: "HEADING", flexible: true },
      ],
      answer.series.flatMap((series) =>
        series.chapters.map((chapter) => [
          `${series.series}#${chapter.number}`,
          `${chapter.phase}${chapter.blind ? " (blind)" : ""}`,
          sinceText(chapter.opened, Date.now()),
          chapter.nearest === null ? "" : `${Math.round(chapter.share * 100)} %`,
          chapter.burned ? `burned: ${chapter.end_reason}` : (chapter.end_reason ?? ""),
          sanitise(chapter.heading ?? ""),
        ]),
      ),
    );
    for (const series of answer.series) {
      if (series.closed !== null) out.say(`${series.series} was ended ${sinceText(series.closed, Date.now())} ago`);
      else if (series.stale) out.say(`the handshake of ${series.series} is stale: no closing has written it for long`);
    }
    return 0;
  },
};

const bookShow: Command = {
  name: "book show",
  args: "[SERIES[#N]]",
  group: "book",
  ops: ["chapter.show"],
  examples: ["bosun book show sisters", "bosun book show sisters#3"],
  async run({ out, args, connect }) {
    const answer = await (await connect()).call("chapter.show", seriesAndNumber(args[0]));
    if (out.wish.json) out.json(answer);
    else {
      print(out, answer.chapter);
      if (answer.handoff)
        out.say(`its handoff: bosun handoff show ${answer.chapter.series} --version ${answer.handoff.version}`);
    }
    return 0;
  },
};

function print(out: Invocation["out"], chapter: Chapter): void {
  const used = Object.entries(chapter.ceilings).flatMap(([name, most]) =>
    most === null ? [] : [`${chapter.counted[name as keyof Chapter["counted"]]} of ${most} ${name}`],
  );
  const end = chapter.closed
    ? `, ended ${sinceText(chapter.closed, Date.now())} ago (${chapter.end_reason}${chapter.burned ? ", burned" : ""}), written by ${chapter.written_by}`
    : "";
  out.line(`${chapter.series} #${chapter.number} · ${chapter.phase}${chapter.blind ? ", blind" : ""}${end}`);
  out.line(`  heading   ${sanitise(chapter.heading ?? "none")}`);
  out.line(`  session   ${chapter.session}, opened ${sinceText(chapter.opened, Date.now())} ago`);
  if (used.length > 0)
    out.line(`  used      ${used.join(", ")} (${Math.round(chapter.share * 100)} % of its ${chapter.nearest})`);
  const read = chapter.acknowledged
    ? `read by ${chapter.acknowledged.by}${chapter.acknowledged.forced ? " (forced)" : ""}`
    : "not read yet";
  out.line(
    `  handed    ${chapter.previous === null ? "nothing: the first" : `${chapter.previous.slice(0, 12)}, ${read}`}`,
  );
  for (const note of chapter.progress) out.line(`  progress  ${sanitise(note.text)}`);
}

const brief: Command = {
  name: "brief",
  aliases: ["book brief"],
  args: "[NAME]",
  group: "book",
  ops: ["chapter.brief"],
  examples: ["bosun brief"],
  async run({ out, args, connect }) {
    const answer = await (await connect()).call("chapter.brief", {
      ...(args[0] !== undefined && { session: args[0] }),
    });
    if (out.wish.json) out.json(answer);
    else out.lines(sanitise(answer.text).split("\n"));
    return 0;
  },
};

const acknowledge: Command = {
  name: "book ack",
  aliases: ["handoff ack"],
  args: "[NAME]",
  group: "book",
  ops: ["chapter.acknowledge"],
  flags: {
    digest: { value: "DIGEST" },
    force: {},
    because: { value: "WHY" },
  },
  examples: ["bosun book ack", 'bosun book ack sisters --force --because "read on paper"'],
  async run(invocation) {
    const digest = textOf(invocation, "digest");
    const { chapter } = await (await invocation.connect()).call("chapter.acknowledge", {
      ...of(invocation),
      ...(digest !== undefined && { digest }),
      ...forced(invocation),
    });
    return told(invocation, chapter, "its handoff is read");
  },
};

const heading: Command = {
  name: "heading",
  aliases: ["book heading"],
  args: "TEXT",
  group: "book",
  ops: ["chapter.head"],
  flags: { session, because: { value: "WHY" } },
  examples: [
    'bosun heading "Make the importer idempotent"',
    'bosun heading "Fix mail" --session sisters --because "more urgent"',
  ],
  async run(invocation) {
    const text = invocation.args.join(" ");
    if (text.trim() === "") throw usage("heading needs a text", heading, 'bosun heading "the one thing"');
    const because = textOf(invocation, "because");
    const { chapter } = await (await invocation.connect()).call("chapter.head", {
      ...named(invocation),
      heading: text,
      ...(because !== undefined && { because }),
    });
    return told(invocation, chapter, `heading: ${sanitise(chapter.heading ?? "")}`);
  },
};

const work: Command = {
  name: "book work",
  args: "[NAME]",
  group: "book",
  ops: ["chapter.work"],
  flags: { force: {}, because: { value: "WHY" } },
  async run(invocation) {
    const { chapter } = await (await invocation.connect()).call("chapter.work", {
      ...of(invocation),
      ...forced(invocation),
    });
    return told(invocation, chapter, "it works");
  },
};

const progress: Command = {
  name: "book progress",
  aliases: ["book report"],
  args: "[TEXT]",
  group: "book",
  ops: ["chapter.note"],
  flags: { session, turns: { value: "N" }, tokens: { value: "N" } },
  examples: ['bosun book progress "the parser reads all samples"', "bosun book report --turns 12 --tokens 48000"],
  async run(invocation) {
    const text = invocation.args.join(" ").trim();
    const turns = textOf(invocation, "turns");
    const tokens = textOf(invocation, "tokens");
    if (text === "" && turns === undefined && tokens === undefined)
      throw usage("book progress needs a text, --turns or --tokens", progress, 'bosun book progress "what was done"');
    const { chapter } = await (await invocation.connect()).call("chapter.note", {
      ...named(invocation),
      ...(text !== "" && { text }),
      ...(turns !== undefined && { turns: Number(turns) }),
      ...(tokens !== undefined && { tokens: Number(tokens) }),
    });
    return told(invocation, chapter, "noted");
  },
};

const extend: Command = {
  name: "book extend",
  args: "[NAME]",
  group: "book",
  ops: ["chapter.extend"],
  flags: {
    minutes: { value: "N", about: "so many more" },
    turns: { value: "N", about: "so many more" },
    because: { value: "WHY" },
  },
  examples: ['bosun book extend sisters --minutes 15 --because "almost there"'],
  async run(invocation) {
    const because = textOf(invocation, "because");
    if (because === undefined)
      throw usage("book extend needs a reason", extend, '--because "why"; it stands in the log');
    const minutes = textOf(invocation, "minutes");
    const turns = textOf(invocation, "turns");
    const { chapter } = await (await invocation.connect()).call("chapter.extend", {
      ...of(invocation),
      because,
      ...(minutes !== undefined && { minutes: Number(minutes) }),
      ...(turns !== undefined && { turns: Number(turns) }),
    });
    return told(invocation, chapter, "extended");
  },
};

const LISTS = {
  built: "what was built",
  broken: "what was broken",
  open: "what was left open",
  decision: "a decision, and why",
  question: "an open question",
  read: "what to read first next time",
  next: "what to pick up next time",
  discovery: "what is new and stays true; goes into shared memory",
  contradiction: "who said what, and what speaks against it",
  gap: "what is missing, and where it may be found",
} as const;
const FIELD = {
  decision: "decisions",
  question: "questions",
  next: "pickup",
  discovery: "discoveries",
  contradiction: "contradictions",
  gap: "gaps",
} as const;

/** `handoff write` writes a version; `book close`, and `--close`, end the chapter with it. */
function writing(name: string, closes: boolean, aliases: string[], examples: string[]): Command {
  return {
    name,
    aliases,
    args: "[NAME] [-]",
    group: "book",
    ops: ["handoff.write"],
    ...(closes && { summary: "End this chapter with its handoff; repeated, it changes nothing" }),
    flags: {
      summary: { value: "TEXT" },
      ...Object.fromEntries(Object.entries(LISTS).map(([flag, about]) => [flag, { value: "TEXT", many: true, about }])),
      pending: { value: "TEXT|STATE|OWNER", many: true, about: "an item of the series: open, doing, blocked or done" },
      ...(!closes && { close: {} }),
    },
    examples,
    async run(invocation) {
      const [name] = invocation.args.filter((word) => word !== "-");
      const given = invocation.args.includes("-") ? partsFrom(await stdinText()) : {};
      const summary = textOf(invocation, "summary");
      const lists = Object.keys(LISTS).flatMap((flag) => {
        const values = listOf(invocation, flag);
        return values.length > 0 ? [[FIELD[flag as keyof typeof FIELD] ?? flag, values] as const] : [];
      });
      const pending = listOf(invocation, "pending").map(pendingOf);
      const done = (await (
        await invocation.connect()
      ).call("handoff.write", {
        ...given,
        ...(name !== undefined && { session: name }),
        ...(summary !== undefined && { summary }),
        ...Object.fromEntries(lists),
        ...(pending.length > 0 && { pending }),
        ...((closes || isSet(invocation, "close")) && { close: true }),
      })) as Answer<"handoff.write">;
      const { out } = invocation;
      if (out.wish.json) out.json(done);
      else {
        const what = done.duplicate ? "the same was there already" : `its handoff is ${done.digest.slice(0, 12)}`;
        out.line(`✓ ${done.series} #${done.number} ${done.closed ? "is closed" : "goes on"}; ${what}: ${done.file}`);
        for (const key of done.discoveries) out.line(`  fact ${key}`);
        for (const warning of done.warnings) out.say(`! ${sanitise(warning)}`);
      }
      return 0;
    },
  };
}

function partsFrom(text: string): Record<string, unknown> {
  try {
    const parts: unknown = JSON.parse(text);
    if (typeof parts === "object" && parts !== null && !Array.isArray(parts)) return parts as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new BosunError({
    code: "USAGE",
    what: "what stands on the input is no JSON object",
    fix: '{"summary": "…", "built": ["…"], "pending": [{"text": "…", "state": "open", "owner": "…"}]}',
  });
}

function pendingOf(text: string): { text: string; state?: "open" | "doing" | "blocked" | "done"; owner?: string } {
  const [item = "", state, owner] = text.split("|").map((part) => part.trim());
  return {
    text: item,
    ...(state && { state: state as "open" }),
    ...(owner && { owner }),
  };
}

const handoffShow: Command = {
  name: "handoff show",
  aliases: ["handoff"],
  args: "[SERIES]",
  group: "book",
  ops: ["handoff.show"],
  flags: { version: { value: "N" } },
  examples: ["bosun handoff show sisters", "bosun handoff show sisters --version 3 > HANDSHAKE.md"],
  async run(invocation) {
    const version = textOf(invocation, "version");
    const answer = await (await invocation.connect()).call("handoff.show", {
      ...(invocation.args[0] !== undefined && { series: invocation.args[0] }),
      ...(version !== undefined && { version: Number(version) }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else invocation.out.lines(sanitise(answer.handoff.text).split("\n"));
    return 0;
  },
};

const handoffLint: Command = {
  name: "handoff lint",
  args: "[SERIES|-]",
  group: "book",
  ops: ["handoff.lint"],
  examples: ["bosun handoff lint sisters", "bosun handoff lint - < HANDSHAKE.md"],
  async run({ out, args, connect }) {
    const text = args[0] === "-" ? await stdinText() : undefined;
    const { mistakes } = await (await connect()).call("handoff.lint", {
      ...(text !== undefined && { text }),
      ...(args[0] !== undefined && text === undefined && { series: args[0] }),
    });
    if (out.wish.json) out.json({ mistakes });
    else if (mistakes.length === 0) out.line("✓ every section is there, in order; every item has a state and an owner");
    else for (const each of mistakes) out.line(`${each.line}: ${sanitise(each.what)}   ${sanitise(each.fix)}`);
    return mistakes.length === 0 ? 0 : 1;
  },
};

const handoffDiff: Command = {
  name: "handoff diff",
  args: "[SERIES]",
  group: "book",
  ops: ["handoff.diff"],
  flags: { from: { value: "N" }, to: { value: "N" } },
  async run(invocation) {
    const from = textOf(invocation, "from");
    const to = textOf(invocation, "to");
    const answer = await (await invocation.connect()).call("handoff.diff", {
      ...(invocation.args[0] !== undefined && { series: invocation.args[0] }),
      ...(from !== undefined && { from: Number(from) }),
      ...(to !== undefined && { to: Number(to) }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else {
      invocation.out.say(`version ${answer.from} → ${answer.to}`);
      for (const line of answer.lines) invocation.out.line(sanitise(line));
    }
    return 0;
  },
};

const seriesVerify: Command = {
  name: "series verify",
  aliases: ["book verify"],
  args: "SERIES",
  group: "book",
  ops: ["series.verify"],
  examples: ["bosun series verify sisters"],
  async run({ out, args, connect }) {
    const [series] = args;
    if (series === undefined) throw usage("series verify needs a series", seriesVerify, "bosun books");
    const answer = await (await connect()).call("series.verify", { series });
    if (out.wish.json) out.json(answer);
    else {
      if (answer.ok) out.line(`✓ unbroken: ${answer.versions} versions, ${answer.chapters} chapters`);
      else for (const each of answer.broken) out.complain(each);
      if (answer.burned.length > 0) out.line(`  burned          ${answer.burned.map((n) => `#${n}`).join(", ")}`);
      if (answer.blind.length > 0) out.line(`  blind           ${answer.blind.map((n) => `#${n}`).join(", ")}`);
      for (const each of answer.gaps) out.line(`  gap             ${sanitise(each)}`);
      for (const each of answer.contradictions) out.line(`  contradiction   ${sanitise(each)}`);
    }
    return answer.ok ? 0 : 1;
  },
};

const seriesClose: Command = {
  name: "series close",
  args: "SERIES",
  group: "book",
  ops: ["series.close"],
  flags: { because: { value: "WHY", about: "why; it stands in the log" }, reopen: { about: "it goes on after all" } },
  examples: ['bosun series close sisters --because "the story is told"'],
  async run(invocation) {
    const [series] = invocation.args;
    const because = textOf(invocation, "because");
    if (series === undefined || because === undefined)
      throw usage("series close needs a series and a reason", seriesClose, '--because "why"');
    const answer = await (await invocation.connect()).call("series.close", {
      series,
      because,
      ...(isSet(invocation, "reopen") && { reopen: true }),
    });
    if (invocation.out.wish.json) invocation.out.json(answer);
    else invocation.out.line(answer.closed ? `✓ ${series} is ended: no chapter follows` : `✓ ${series} goes on`);
    return 0;
  },
};

function seriesAndNumber(text: string | undefined): { series?: string; number?: number } {
  if (text === undefined) return {};
  const [, series = text, number] = /^(.+)#(\d+)$/.exec(text) ?? [];
  return { series, ...(number !== undefined && { number: Number(number) }) };
}

function of(invocation: Invocation): { session?: string } {
  const [name] = invocation.args;
  return name === undefined ? {} : { session: name };
}

function named(invocation: Invocation): { session?: string } {
  const name = textOf(invocation, "session");
  return name === undefined ? {} : { session: name };
}

function forced(invocation: Invocation): { force?: true; because?: string } {
  const because = textOf(invocation, "because");
  return { ...(isSet(invocation, "force") && { force: true as const }), ...(because !== undefined && { because }) };
}

function told({ out }: Invocation, chapter: Chapter, what: string): number {
  if (out.wish.json) out.json({ chapter });
  else out.line(`✓ ${chapter.series} #${chapter.number} (${chapter.phase}): ${what}`);
  return 0;
}

export const BOOK_COMMANDS = [
  books,
  bookShow,
  brief,
  acknowledge,
  heading,
  work,
  progress,
  extend,
  writing(
    "handoff write",
    false,
    [],
    ['bosun handoff write --summary "Half way" --open "the tests"', "bosun handoff write --close - < handoff.json"],
  ),
  writing(
    "book close",
    true,
    ["consolidate"],
    ['bosun book close --summary "Importer done" --built importer --next "wire it up" --pending "docs|open|sisters"'],
  ),
  handoffShow,
  handoffLint,
  handoffDiff,
  seriesVerify,
  seriesClose,
];
