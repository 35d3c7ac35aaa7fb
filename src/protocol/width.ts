/** Terminal cells that `text` takes: East Asian wide and emoji 2, combining marks and joiners 0, everything else 1. */
export function displayWidth(text: string): number {
  if (PRINTABLE_ASCII.test(text)) return text.length;
  let cells = 0;
  for (const { segment } of graphemes().segment(text)) cells += clusterWidth(segment);
  return cells;
}

/** `text` in exactly `cells` cells: padded with spaces, or cut at a character's edge with `…` as the last cell. */
export function cut(text: string, cells: number): string {
  const width = displayWidth(text);
  if (width <= cells) return text + " ".repeat(cells - width);
  if (cells < 1) return "";
  let kept = "";
  let used = 0;
  for (const { segment } of graphemes().segment(text)) {
    const next = clusterWidth(segment);
    if (used + next > cells - 1) break;
    kept += segment;
    used += next;
  }
  return `${kept}…${" ".repeat(cells - 1 - used)}`;
}

/** `text` padded to at least `cells` cells, never cut. */
export function pad(text: string, cells: number): string {
  const missing = cells - displayWidth(text);
  return missing > 0 ? text + " ".repeat(missing) : text;
}

const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;
const EMOJI = /\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f|\p{Regional_Indicator}{2}|[0-9#*]\ufe0f?\u20e3/u;
const ZERO = /^[\p{Mark}\p{Cf}\p{Cc}]+$/u;

let segmenter: Intl.Segmenter | undefined;
function graphemes(): Intl.Segmenter {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" });
  return segmenter;
}

function clusterWidth(cluster: string): number {
  if (EMOJI.test(cluster)) return 2;
  if (ZERO.test(cluster)) return 0;
  return isWide(cluster.codePointAt(0)!) ? 2 : 1;
}

/** First and last code point of the blocks that Unicode's EastAsianWidth calls W or F, neighbours joined. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe10, 0xfe19],
  [0xfe30, 0xfe6f],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x16fe0, 0x18cff],
  [0x1aff0, 0x1b2ff],
  [0x20000, 0x3fffd],
];

function isWide(codePoint: number): boolean {
  return codePoint >= 0x1100 && WIDE.some(([first, last]) => codePoint >= first && codePoint <= last);
}
