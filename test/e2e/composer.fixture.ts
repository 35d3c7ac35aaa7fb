/**
 * `node composer.fixture.ts FILE`: a program with a composer like an agent's. Draws `❯ ` and what is typed; Enter submits it as
 * one JSON line in FILE and works for a moment; bracketed pastes are taken whole.
 */
import { appendFileSync } from "node:fs";

const file = process.argv[2]!;
let typed = "";
/** Characters behind the cursor. */
let behind = 0;
let pasting = false;

function draw(): void {
  const back = behind > 0 ? `\x1b[${behind}D` : "";
  process.stdout.write(`\x1b[2J\x1b[H${"─".repeat(40)}\r\n❯ ${typed.replaceAll("\n", "\r\n  ")}${back}`);
}

process.stdin.setRawMode(true);
process.stdin.setEncoding("utf8");
process.stdout.write("\x1b[?2004h");
draw();
process.stdin.on("data", (text: string) => {
  for (const piece of text.match(/\x1b\[20[01]~|\x1b\[(?:[CD]|3~)|[\s\S]/gu) ?? []) {
    if (piece === "\x1b[200~") pasting = true;
    else if (piece === "\x1b[201~") pasting = false;
    else if (piece === "\x03") process.exit(0);
    else if (piece === "\x15") typed = "";
    else if (piece === "\x1b[D") behind = Math.min([...typed].length, behind + 1);
    else if (piece === "\x1b[C") behind = Math.max(0, behind - 1);
    else if (piece === "\x01") behind = [...typed].length;
    else if (piece === "\x05") behind = 0;
    else if (piece === "\x1b[3~") {
      typed = [...typed].toSpliced([...typed].length - behind, behind > 0 ? 1 : 0).join("");
      behind = Math.max(0, behind - 1);
    } else if (piece === "\x7f") {
      const at = [...typed].length - behind;
      typed = [...typed].toSpliced(Math.max(0, at - 1), at > 0 ? 1 : 0).join("");
    } else if ((piece === "\r" || piece === "\n") && !pasting) {
      if (typed !== "") appendFileSync(file, `${JSON.stringify(typed)}\n`);
      typed = "";
      behind = 0;
    } else typed = [...typed].toSpliced([...typed].length - behind, 0, piece === "\r" ? "\n" : piece).join("");
  }
  draw();
});
