/**
 * `node composer.fixture.ts FILE`: a program with a composer like an agent's. Draws `❯ ` and what is typed; Enter submits it as
 * one JSON line in FILE and works for a moment; bracketed pastes are taken whole.
 */
import { appendFileSync } from "node:fs";

const file = process.argv[2]!;
let typed = "";
let pasting = false;

function draw(): void {
  process.stdout.write(`\x1b[2J\x1b[H${"─".repeat(40)}\r\n❯ ${typed.replaceAll("\n", "\r\n  ")}`);
}

process.stdin.setRawMode(true);
process.stdin.setEncoding("utf8");
process.stdout.write("\x1b[?2004h");
draw();
process.stdin.on("data", (text: string) => {
  for (const piece of text.match(/\x1b\[20[01]~|[\s\S]/gu) ?? []) {
    if (piece === "\x1b[200~") pasting = true;
    else if (piece === "\x1b[201~") pasting = false;
    else if (piece === "\x03") process.exit(0);
    else if (piece === "\x15") typed = "";
    else if ((piece === "\r" || piece === "\n") && !pasting) {
      if (typed !== "") appendFileSync(file, `${JSON.stringify(typed)}\n`);
      typed = "";
    } else typed += piece === "\r" ? "\n" : piece;
  }
  draw();
});
