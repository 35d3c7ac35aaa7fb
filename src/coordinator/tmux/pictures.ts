import type { PaneId, Picture, WantedPicture } from "./port.ts";
import { argumentsOf, type Command, target } from "./words.ts";

/** tmux refuses a client's arguments above 16,384 bytes ("command too long"); the flags before them and our last command take some. */
const MOST_BYTES = 14_000;

const SGR = /\x1b\[([\d;:]*)m/g;

/** tmux runs one list of commands in one go: all answers are of one moment. `mark` is a word nobody can know. */
export function pictureCommands(wanted: readonly WantedPicture[], mark: string): Command[] {
  return wanted.flatMap(({ pane, above }): Command[] => {
    const here = target("pane", pane);
    const told = `${mark} #{pane_id} #{cursor_x} #{cursor_y} #{alternate_on} #{pane_height}`;
    return [
      ["display-message", "-p", "-t", here, told],
      ["capture-pane", "-p", "-e", ...(above === 0 ? [] : ["-S", String(-above)]), "-t", here],
    ];
  });
}

/** As many at a time as fit into one list. */
export function portionsOf(wanted: readonly WantedPicture[], mark: string): WantedPicture[][] {
  const portions: WantedPicture[][] = [];
  let bytes = MOST_BYTES;
  for (const each of wanted) {
    const more = argumentsOf(pictureCommands([each], mark)).reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 2);
    bytes += more;
    if (bytes > MOST_BYTES) {
      portions.push([]);
      bytes = more;
    }
    portions.at(-1)!.push(each);
  }
  return portions;
}

/** What the commands above printed. */
export function picturesOf(text: string, mark: string): Map<PaneId, Picture> {
  return new Map(
    text
      .split(`${mark} `)
      .slice(1)
      .map((part) => {
        const [first, ...rows] = part.replace(/\n$/, "").split("\n");
        const [pane, x, y, alternate, height] = first!.split(" ");
        const above = rows.slice(0, Math.max(0, rows.length - Number(height)));
        const lines = rows.slice(above.length);
        // Colours go on from row to row: the screen begins with those of the row above it.
        if (lines.length > 0) lines[0] = `${openColours(above)}${lines[0]}`;
        const picture: Picture = {
          lines,
          above: above.map((row) => row.replace(SGR, "")),
          cursor: { x: Number(x), y: Number(y) },
          alternate: alternate === "1",
        };
        return [pane as PaneId, picture] as const;
      }),
  );
}

/** The sequences that are in force behind these rows. */
function openColours(rows: readonly string[]): string {
  let open = "";
  for (const row of rows)
    for (const [sequence, codes = ""] of row.matchAll(SGR))
      open = codes === "" || codes === "0" ? "" : codes.startsWith("0;") ? sequence : open + sequence;
  return open;
}
