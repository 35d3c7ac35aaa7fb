import { BosunError } from "../../protocol/error.ts";

/** One tmux command as plain words: nothing is quoted, nothing is expanded yet. */
export type Command = readonly string[];

/**
 * A word for a line of the control protocol. Inside double quotes tmux's parser still sees `\`, `"`, `$` and a leading `~`;
 * a line feed would end the command and begin another (it killed a foreign session in a test), so control characters go as
 * octal. `;`, `#` and braces mean nothing inside quotes.
 */
export function quote(word: string): string {
  if (/^[A-Za-z0-9_@%=:.,/+-]+$/.test(word) && !word.startsWith("%")) return word;
  let quoted = "";
  for (const character of word) {
    const code = character.codePointAt(0)!;
    if (code < 0x20 || code === 0x7f) quoted += `\\${code.toString(8).padStart(3, "0")}`;
    else if ('\\"$~'.includes(character)) quoted += `\\${character}`;
    else quoted += character;
  }
  return `"${quoted}"`;
}

export function controlLine(commands: readonly Command[]): string {
  return `${commands.map((command) => command.map(quote).join(" ")).join(" ; ")}\n`;
}

/** The same commands as arguments of one `tmux` process: there, a word that ends in `;` would end the command. */
export function argumentsOf(commands: readonly Command[]): string[] {
  return commands.flatMap((command, index) => [
    ...(index === 0 ? [] : [";"]),
    ...command.map((word) => (word.endsWith(";") ? `${word.slice(0, -1)}\\;` : word)),
  ]);
}

/**
 * Text for an argument that tmux expands as a format (`-s -n -c -T`, rename-*): `#(…)` there runs a shell command. `##` is a
 * plain `#`. Control characters are refused: no name or folder of ours has them.
 */
export function literal(text: string, what: string): string {
  if (/[\x00-\x1f\x7f]/.test(text))
    throw new BosunError({
      code: "BAD_NAME",
      what: `${what} holds a control character`,
      why: "tmux would change it without a word",
    });
  return text.replaceAll("#", "##");
}

const SESSION_NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,127}$/;

/** A session name exactly as tmux will keep it. */
export function sessionName(name: string): string {
  if (SESSION_NAME.test(name)) return name;
  throw new BosunError({
    code: "BAD_NAME",
    what: `"${name.slice(0, 80)}" cannot be a tmux session's name`,
    why: "letters, digits, _ and -, not beginning with -; tmux would change or misread the rest",
  });
}

const IDS = { session: /^\$\d+$/, window: /^@\d+$/, pane: /^%\d+$/ };

/** A target is an id; anything else would be matched by beginning or pattern. */
export function target(kind: keyof typeof IDS, id: string): string {
  if (IDS[kind].test(id)) return id;
  throw new BosunError({ code: "FAILED", what: `"${id}" is not a tmux ${kind} id` });
}
