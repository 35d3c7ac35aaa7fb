import type { PaneId, Picture, WantedPicture } from "./port.ts";
import { type Command, target } from "./words.ts";

/** tmux runs one list of commands in one go: all answers are of one moment. `mark` is a word nobody can know. */
export function pictureCommands(wanted: readonly WantedPicture[], mark: string): Command[] {
  return wanted.flatMap(({ pane, above }): Command[] => {
    const here = target("pane", pane);
    return [
      ["display-message", "-p", "-t", here, `${mark} #{pane_id} #{cursor_x} #{cursor_y} #{alternate_on}`],
      ["capture-pane", "-p", "-e", "-t", here],
      // Without attributes: they go on from line to line, and the screen's own must not begin in the middle.
      ...(above === 0
        ? []
        : ([
            ["display-message", "-p", "-t", here, `${mark} above`],
            ["capture-pane", "-p", "-S", String(-above), "-t", here],
          ] satisfies Command[])),
    ];
  });
}

/** What the commands above printed. */
export function picturesOf(text: string, mark: string): Map<PaneId, Picture> {
  const pictures = new Map<PaneId, Picture>();
  let last: Picture | null = null;
  for (const part of text.split(`${mark} `).slice(1)) {
    const [first, ...lines] = part.replace(/\n$/, "").split("\n");
    if (first === "above") {
      if (last) last.above = lines.slice(0, -last.lines.length);
      continue;
    }
    const [pane, x, y, alternate] = first!.split(" ");
    last = { lines, above: [], cursor: { x: Number(x), y: Number(y) }, alternate: alternate === "1" };
    pictures.set(pane as PaneId, last);
  }
  return pictures;
}
