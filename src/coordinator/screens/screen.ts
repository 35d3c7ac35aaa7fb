import xterm, { type IBufferCell, type Terminal as XTerm } from "@xterm/headless";
import { sgrOf } from "./sgr.ts";

/** Lines above the screen that the emulator keeps: enough to scroll back a little; the rest is in the buffer. */
const SCROLLBACK = 200;

/** What a program said by other means than its screen. */
export interface Signals {
  bells: number;
  /** OSC 9 and OSC 777: a notification, newest last, at most ten. */
  notices: string[];
  title: string;
  /** OSC 133: `prompt` a shell waits at its prompt, `running` a command runs, with its exit code once it ended. */
  prompt: "prompt" | "running" | null;
  exit: number | null;
}

/** The picture on one terminal, kept by a real emulator from the bytes that the program writes. */
export class Screen {
  readonly #terminal: XTerm;
  readonly signals: Signals = { bells: 0, notices: [], title: "", prompt: null, exit: null };

  constructor(columns: number, rows: number) {
    this.#terminal = new xterm.Terminal({
      cols: columns,
      rows,
      scrollback: SCROLLBACK,
      allowProposedApi: true,
      logLevel: "off",
    });
    const { parser } = this.#terminal;
    this.#terminal.onBell(() => {
      this.signals.bells += 1;
    });
    this.#terminal.onTitleChange((title) => {
      this.signals.title = title;
    });
    parser.registerOscHandler(9, (text) => this.#notice(/^4;/.test(text) ? null : text));
    parser.registerOscHandler(777, (text) => this.#notice(/^notify;/.test(text) ? text.slice(7) : null));
    parser.registerOscHandler(133, (text) => this.#prompt(text));
  }

  get columns(): number {
    return this.#terminal.cols;
  }

  get rows(): number {
    return this.#terminal.rows;
  }

  get cursor(): { x: number; y: number } {
    const { cursorX, cursorY } = this.#terminal.buffer.active;
    return { x: cursorX, y: cursorY };
  }

  /** A program that draws the whole screen itself has asked for the other buffer. */
  get fullScreen(): boolean {
    return this.#terminal.buffer.active.type === "alternate";
  }

  /** Resolves when the bytes are on the screen. */
  feed(bytes: Uint8Array | string): Promise<void> {
    return new Promise((resolve) => this.#terminal.write(bytes, resolve));
  }

  resize(columns: number, rows: number): void {
    if (columns !== this.columns || rows !== this.rows) this.#terminal.resize(columns, rows);
  }

  /** Rows of plain text from the top of the screen, without spaces at their ends. */
  text(): string[] {
    const { active } = this.#terminal.buffer;
    return Array.from({ length: this.rows }, (_, y) =>
      (active.getLine(active.baseY + y)?.translateToString(true) ?? "").trimEnd(),
    );
  }

  /** The same with colours, as SGR sequences; each row begins and ends without any. */
  painted(): string[] {
    const { active } = this.#terminal.buffer;
    let cell: IBufferCell | undefined;
    return Array.from({ length: this.rows }, (_, y) => {
      const line = active.getLine(active.baseY + y);
      if (!line) return "";
      let painted = "";
      let before = "";
      let blank = 0;
      for (let x = 0; x < line.length; x++) {
        cell = line.getCell(x, cell);
        if (!cell || cell.getWidth() === 0) continue;
        const now = sgrOf(cell);
        const characters = cell.getChars() || " ";
        // Spaces at a row's end are left away unless they have a colour.
        if (characters === " " && now === "") {
          blank += 1;
          continue;
        }
        if (blank > 0) {
          painted += `${before === "" ? "" : "\x1b[m"}${" ".repeat(blank)}`;
          before = "";
          blank = 0;
        }
        if (now !== before) painted += now === "" ? "\x1b[m" : `\x1b[0;${now}m`;
        before = now;
        painted += characters;
      }
      return before === "" ? painted : `${painted}\x1b[m`;
    });
  }

  /** Whether a cell is painted otherwise than plain text: a hint that a program shows where nothing is typed yet. */
  isHint(x: number, y: number): boolean {
    const { active } = this.#terminal.buffer;
    const cell = active.getLine(active.baseY + y)?.getCell(x);
    return cell !== undefined && (cell.isDim() !== 0 || !cell.isFgDefault() || cell.isInverse() !== 0);
  }

  close(): void {
    this.#terminal.dispose();
  }

  #notice(text: string | null): boolean {
    if (text !== null) this.signals.notices = [...this.signals.notices, text.slice(0, 500)].slice(-10);
    return true;
  }

  #prompt(text: string): boolean {
    const [mark, value] = text.split(";");
    if (mark === "A" || mark === "B") this.signals.prompt = "prompt";
    if (mark === "C") this.signals.prompt = "running";
    if (mark === "D") {
      this.signals.prompt = "prompt";
      this.signals.exit = value === undefined || value === "" ? null : Number(value);
    }
    return true;
  }
}
