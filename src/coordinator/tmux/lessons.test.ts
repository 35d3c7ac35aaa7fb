import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

/**
 * What goes wrong when programs drive tmux, as numbered by those who collected it: 1 to 70 from the field, 2.1 to 2.9 measured
 * on tmux 3.3a. Each is either shown by a test whose title says `lesson N`, or cannot happen here, for the reason given.
 */
const BY_CONSTRUCTION: Record<string, string> = {
  "1": "Enter is a command of its own, sent after the paste has been answered and a pause",
  "2": "an ask by keys is answered by what the pane then shows; without an answer it is a TIMEOUT, never an ok",
  "3": "Escape is never sent",
  "4": "Escape is never sent; a program in another mode is asked over its socket or FIFO",
  "5": "Escape is never sent",
  "6": "one coordinator per town types, and it is held by a lock",
  "7": "the lock is asked for without waiting; whoever does not get it connects to the one who has it",
  "8": "nothing is typed into a starting program: its command is the pane's process",
  "14": "paste-buffer -p brackets where the program asked for it; several lines are sent to nobody else",
  "16": "typed questions are one short line",
  "17": "a question longer than a line discipline takes is not typed: a FIFO or socket carries it",
  "23": "targets are ids, or =NAME: right behind the birth; words.ts refuses the rest",
  "24": "answers are judged by content: an empty listing is not an answer",
  "28": "not seen on 3.3a; the start is one command list all the same",
  "32": "CLAUDECODE is not in the list of what a server started by us inherits",
  "33": "windows of agents have a fixed size from birth; nothing waits for a first client",
  "34": "resize-window is wanted here: it fixes the size, per window",
  "36": "no hooks are set; stop ends processes and then the session",
  "37": "no hooks are set",
  "39": "the coordinator is nobody's child in tmux, and a tree that is ended never holds it",
  "42": "a process is its number and its start time (process-tree.ts)",
  "43": "nothing is ever ended for being silent",
  "45": "who lives in a pane is declared, and marked on the pane; the process name is only shown",
  "46": "prompts are not recognised by this room",
  "47": "idleness is not judged by this room",
  "48": "questions do not wait for a turn: they are pushed, or refused with the reason",
  "49": "TMUX_PANE is not used; panes are asked for by id",
  "50": "every call names its server with -L, the default one too, and TMUX is not passed on",
  "51": "the socket is named, never given as a path",
  "52": "attach inside the same server is switch-client; inside another it is refused with the command to type",
  "53": "attach becomes tmux with execve; nothing stays between the terminal and it",
  "56": "no key is bound",
  "58": "a pane belongs to one session by its mark; output is routed by pane id",
  "59": "nothing of ours is shown in the status line",
  "60": "a folder that does not exist is refused before tmux is asked (birth.ts)",
  "62": "the mouse option is not touched",
  "67": "a dialog on the screen refuses typed text; states of agents are another room's",
  "68": "what a room wants of a pane is heard as bytes, not captured",
  "69": "attach looks at the server first and takes the session's id",
  "70": "keys are never spelled as CR; only the name Enter is sent",
};

const ROOT = resolve(import.meta.dirname, "../../..");
const files = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(ROOT, folder, name));

test("every lesson is shown by a test or cannot happen, and none is claimed twice", () => {
  const tests = [...files("src"), ...files("test")].filter(
    (name) => name.endsWith(".test.ts") && name !== import.meta.filename,
  );
  const titles = tests.flatMap((name) => readFileSync(name, "utf8").match(/"[^"\n]*lesson \d[^"\n]*"/g) ?? []);
  const shown = new Set(
    titles.flatMap((title) =>
      [...title.matchAll(/lesson ((?:\d+(?:\.\d+)? ?)+)/g)].flatMap((match) => match[1]!.trim().split(" ")),
    ),
  );
  const all = [
    ...Array.from({ length: 70 }, (_, n) => String(n + 1)),
    ...Array.from({ length: 9 }, (_, n) => `2.${n + 1}`),
  ];
  expect(all.filter((lesson) => !shown.has(lesson) && !(lesson in BY_CONSTRUCTION))).toEqual([]);
  expect(all.filter((lesson) => shown.has(lesson) && lesson in BY_CONSTRUCTION)).toEqual([]);
});

test("only this room runs tmux; the one exception becomes it, for a person who attaches", () => {
  const runners = files("src").filter(
    (name) =>
      !name.endsWith(".test.ts") &&
      /(?:spawn|spawnSync|execFile|execFileSync|execve)\(\s*"?(?:tmux|program)/.test(readFileSync(name, "utf8")),
  );
  expect(runners.map((name) => relative(ROOT, name)).sort()).toEqual([
    "src/cli/commands/session.ts",
    "src/coordinator/tmux/control-client.ts",
    "src/coordinator/tmux/fork.ts",
  ]);
});

test("the only key that is sent is Enter, or those a person types; and no key is bound", () => {
  const text = files("src/coordinator/tmux")
    .filter((name) => !name.endsWith(".test.ts"))
    .map((name) => readFileSync(name, "utf8"))
    .join("\n");
  const sent = [...text.matchAll(/\[\s*"send-keys"[^\]]*\]/g)].map((match) => match[0]);
  expect(sent.length).toBeGreaterThan(0);
  for (const command of sent) expect(command).toMatch(/"Enter"\s*\]$|"-H", \.\.\.hex\]$/);
  expect(text).not.toMatch(/"bind-key"|"unbind-key"|"set-hook"/);
});
