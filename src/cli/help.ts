import { GLOBAL_FLAGS } from "./arguments.ts";
import type { Command, Flag } from "./command.ts";
import texts from "./operations.gen.json" with { type: "json" };

const TEXTS = texts as Record<string, { summary: string; fields: Record<string, string> }>;

const GROUPS: [Command["group"], string][] = [
  ["plan", "The floor plan"],
  ["look", "Look"],
  ["session", "Sessions and views"],
  ["room", "Rooms"],
  ["message", "Questions to agents"],
  ["agent", "The registry"],
  ["mail", "Mail and tasks"],
  ["memory", "Shared memory and leases"],
  ["book", "Chapters and handoffs"],
  ["keep", "Keep well"],
  ["shell", "More"],
];

export function summaryOf(command: Command): string {
  return command.summary ?? TEXTS[command.ops?.[0] ?? ""]?.summary ?? "";
}

export function overview(commands: readonly Command[], version: string): string[] {
  const lines = [
    `bosun ${version}: crews of agent sessions in tmux, from a floor plan`,
    "",
    "  bosun init && bosun up      begin          bosun COMMAND --help   one command",
    "  bosun demo                  look first     docs/                  guides",
  ];
  for (const [group, title] of GROUPS) {
    const shown = commands.filter((command) => command.group === group && !command.hidden);
    if (shown.length === 0) continue;
    lines.push("", title);
    for (const command of shown) {
      const call = `${command.name} ${command.args ?? ""}`.trim();
      const text = summaryOf(command);
      lines.push(`  ${call.padEnd(28)} ${text.length > 49 ? `${text.slice(0, 48)}…` : text}`);
    }
  }
  return [...lines, "", "Everywhere", ...flagLines(GLOBAL_FLAGS, null)];
}

export function helpOf(command: Command): string[] {
  const own = command.flags ?? {};
  return [
    `bosun ${command.name}${command.args ? ` ${command.args}` : ""}`,
    "",
    `  ${summaryOf(command)}`,
    ...(command.aliases ? [`  Also: ${command.aliases.map((alias) => `bosun ${alias}`).join(", ")}`] : []),
    ...(command.examples ? ["", "Examples", ...command.examples.map((example) => `  ${example}`)] : []),
    ...(Object.keys(own).length > 0 ? ["", "Flags", ...flagLines(own, command)] : []),
    "",
    "Everywhere",
    ...flagLines(GLOBAL_FLAGS, command),
  ];
}

function flagLines(flags: Record<string, Flag>, command: Command | null): string[] {
  return Object.entries(flags).map(([name, flag]) => {
    const taken =
      command?.flags &&
      flags === GLOBAL_FLAGS &&
      Object.values(command.flags).some((own) => own.short !== undefined && own.short === flag.short);
    const short = flag.short && !taken ? `-${flag.short}, ` : "    ";
    const value = flag.value ? (flag.optionalValue ? `[=${flag.value}]` : ` ${flag.value}`) : "";
    return `  ${`${short}--${name}${value}`.padEnd(28)} ${flag.about ?? fieldText(command, name)}`.trimEnd();
  });
}

/** A flag that is a field of the command's operation is described there. */
function fieldText(command: Command | null, flag: string): string {
  const field = flag.replace(/-([a-z])/g, (_whole, letter: string) => letter.toUpperCase());
  return TEXTS[command?.ops?.[0] ?? ""]?.fields[field] ?? "";
}

/** A script for the shell's completion: words of commands, and their flags. */
export function completion(shell: string, commands: readonly Command[]): string | null {
  const words = [
    ...new Set(commands.filter((command) => !command.hidden).map((command) => command.name.split(" ")[0]!)),
  ].join(" ");
  const flags = Object.keys(GLOBAL_FLAGS)
    .map((name) => `--${name}`)
    .join(" ");
  const sessions = "bosun ls --plain --quiet 2>/dev/null | tail -n +2 | cut -f1";
  switch (shell) {
    case "bash":
      return `_bosun() { local word="\${COMP_WORDS[COMP_CWORD]}"; if [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W "${words}" -- "$word")); elif [ "\${word#-}" != "$word" ]; then COMPREPLY=($(compgen -W "${flags}" -- "$word")); else COMPREPLY=($(compgen -W "$(${sessions})" -- "$word")); fi; }\ncomplete -F _bosun bosun\n`;
    case "zsh":
      return `#compdef bosun\n_bosun() { if (( CURRENT == 2 )); then compadd ${words}; elif [[ $PREFIX == -* ]]; then compadd -- ${flags}; else compadd -- \${(f)"$(${sessions})"}; fi }\ncompdef _bosun bosun\n`;
    case "fish":
      return `complete -c bosun -f -n __fish_use_subcommand -a "${words}"\ncomplete -c bosun -f -n "not __fish_use_subcommand" -a "(${sessions})"\n`;
    default:
      return null;
  }
}
