/** The line somebody types, with what they typed before. */
export class LineEditor {
  text = "";
  cursor = 0;
  readonly #before: string[] = [];
  #at = 0;

  insert(text: string): void {
    this.text = this.text.slice(0, this.cursor) + text + this.text.slice(this.cursor);
    this.cursor += text.length;
  }

  set(text: string): void {
    this.text = text;
    this.cursor = text.length;
  }

  /** The line as it is; the editor is empty afterwards. */
  take(): string {
    const { text } = this;
    if (text.trim() !== "" && this.#before.at(-1) !== text) this.#before.push(text);
    this.#at = this.#before.length;
    this.set("");
    return text;
  }

  /** True when the key was one of editing. */
  key(key: string): boolean {
    const { text, cursor } = this;
    const set = (next: string, at: number): true => {
      this.text = next;
      this.cursor = at;
      return true;
    };
    switch (key) {
      case "left":
        return set(text, Math.max(0, cursor - 1));
      case "right":
        return set(text, Math.min(text.length, cursor + 1));
      case "home":
      case "ctrl-a":
        return set(text, 0);
      case "end":
      case "ctrl-e":
        return set(text, text.length);
      case "backspace":
        return set(text.slice(0, Math.max(0, cursor - 1)) + text.slice(cursor), Math.max(0, cursor - 1));
      case "delete":
        return set(text.slice(0, cursor) + text.slice(cursor + 1), cursor);
      case "ctrl-u":
        return set(text.slice(cursor), 0);
      case "ctrl-k":
        return set(text.slice(0, cursor), cursor);
      case "ctrl-w": {
        const kept = text.slice(0, cursor).replace(/\S+\s*$/, "");
        return set(kept + text.slice(cursor), kept.length);
      }
      case "up":
      case "down": {
        this.#at = Math.max(0, Math.min(this.#before.length, this.#at + (key === "up" ? -1 : 1)));
        this.set(this.#before[this.#at] ?? "");
        return true;
      }
      default:
        return false;
    }
  }
}
