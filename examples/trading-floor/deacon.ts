import type { Series } from "./series.ts";
import { type Narrator, percent, price, signed, type Told } from "./told.ts";

/** Falls from the peak worth a word, and how loud. A fifth down is what the press calls a bear market. */
const FALLS: { share: number; level: "warn" | "alert" }[] = [
  { share: 0.1, level: "warn" },
  { share: 0.2, level: "alert" },
  { share: 0.3, level: "warn" },
  { share: 0.4, level: "alert" },
  { share: 0.5, level: "alert" },
  { share: 0.6, level: "alert" },
  { share: 0.75, level: "alert" },
  { share: 0.9, level: "alert" },
];

/** Marks of a volatility that people remember days by. */
const FEARS = [15, 20, 25, 30, 40, 50, 60, 80];

/** A quiet market is still heard from after so many bars, so that silence means trouble. */
const LONGEST_SILENCE_BARS = 3;

/** Tells opens and closes, gaps, highs and lows, trends and falls of one instrument. */
export function deacon(series: Series): Narrator {
  const bars = series.bars;
  const year = series.unit === "day" ? 252 : 12;
  const [fast, slow] = series.unit === "day" ? [50, 200] : [3, 12];
  const move = (bar: number): number => (bar === 0 ? 0 : bars[bar]!.close / bars[bar - 1]!.close - 1);
  const quiet = series.kind === "volatility" ? 0.03 : series.unit === "day" ? 0.006 : 0.03;

  function streak(bar: number): number {
    const sign = Math.sign(move(bar));
    let length = 0;
    for (let i = bar; i > 0 && sign !== 0 && Math.sign(move(i)) === sign; i--) length++;
    return length * sign;
  }

  function headline(bar: number): string {
    const { date, close } = bars[bar]!;
    const change = move(bar);
    const verb =
      Math.abs(change) < quiet
        ? "holds at"
        : Math.abs(change) > quiet * 4
          ? change > 0
            ? "jumps to"
            : "drops to"
          : change > 0
            ? "rises to"
            : "slips to";
    return `${date}  ${series.instrument} ${verb} ${price(close)} (${signed(change)})`;
  }

  /** Remarks on a bar, the weightiest first. */
  function remarks(bar: number): string[] {
    const found: string[] = [];
    const { open, high, low, close } = bars[bar]!;
    const change = move(bar);
    const past = bars.slice(Math.max(0, bar - year), bar);
    const span = past.length >= year ? (series.unit === "day" ? "in a year" : "in twelve months") : "so far";
    if (past.length >= 10) {
      const moves = past.map((_, index) => Math.abs(move(bar - past.length + index)));
      if (Math.abs(change) > quiet && Math.abs(change) > Math.max(...moves)) found.push(`the largest move ${span}`);
      if (close > Math.max(...past.map((one) => one.close))) found.push(`highest close ${span}`);
      if (close < Math.min(...past.map((one) => one.close))) found.push(`lowest close ${span}`);
    }
    const run = streak(bar);
    if (Math.abs(run) >= 5) found.push(`${Math.abs(run)} ${series.unit}s ${run > 0 ? "up" : "down"} in a row`);
    const before = bars[bar - 1];
    if (series.hasRange && before) {
      const gap = open / before.close - 1;
      if (Math.abs(gap) > quiet && (open > before.high || open < before.low))
        found.push(`opened with a gap of ${signed(gap)}`);
      const width = (high - low) / close;
      if (width > quiet * 5) found.push(`a range of ${percent(width)} between ${price(low)} and ${price(high)}`);
    }
    return found;
  }

  function average(bar: number, window: number): number | null {
    if (bar + 1 < window) return null;
    let sum = 0;
    for (let i = bar - window + 1; i <= bar; i++) sum += bars[i]!.close;
    return sum / window;
  }

  /** 1 when the fast average stands above the slow one, −1 below, 0 while unknown. */
  function trend(bar: number): number {
    const [short, long] = [average(bar, fast), average(bar, slow)];
    return short === null || long === null ? 0 : Math.sign(short - long);
  }

  function fall(bar: number): { peak: number; peakAt: number; share: number; deepest: number } {
    let peakAt = 0;
    for (let i = 0; i <= bar; i++) if (bars[i]!.close >= bars[peakAt]!.close) peakAt = i;
    const peak = bars[peakAt]!.close;
    let deepest = 0;
    for (let i = peakAt; i < bar; i++) deepest = Math.max(deepest, 1 - bars[i]!.close / peak);
    return { peak, peakAt, share: 1 - bars[bar]!.close / peak, deepest };
  }

  function fallTold(bar: number): Told[] {
    const { peak, peakAt, share, deepest } = fall(bar);
    const step = FALLS.findLast((each) => share >= each.share);
    if (!step || deepest >= step.share) return [];
    const from = `${price(peak)} of ${bars[peakAt]!.date}`;
    const msg = `${series.instrument} is ${percent(share)} below its peak, ${from}: the first time past ${percent(step.share, 0)} in this fall`;
    return [{ msg, level: step.level, type: step.level === "alert" ? "alert" : "narrative", tags: ["drawdown"] }];
  }

  function fearTold(bar: number): Told[] {
    if (bar === 0) return [];
    const [before, now] = [bars[bar - 1]!.close, bars[bar]!.close];
    const mark = now > before ? FEARS.findLast((each) => before < each && now >= each) : undefined;
    if (mark === undefined || mark < 30) return [];
    const msg = `${series.instrument} crosses ${mark}: now ${price(now)}`;
    return [{ msg, level: mark >= 40 ? "alert" : "warn", type: mark >= 40 ? "alert" : "narrative", tags: ["fear"] }];
  }

  function trendTold(bar: number): Told[] {
    if (bar === 0) return [];
    const [before, now] = [trend(bar - 1), trend(bar)];
    if (before === 0 || now === 0 || before === now) return [];
    const side = now > 0 ? "above" : "below";
    const msg = `${series.instrument} turns ${now > 0 ? "up" : "down"}: its ${fast}-${series.unit} average crosses ${side} the ${slow}-${series.unit} average`;
    return [{ msg, level: "warn", tags: ["trend"] }];
  }

  function worthALine(bar: number): boolean {
    return bar === 0 || Math.abs(move(bar)) >= quiet || remarks(bar).length > 0 || bar % LONGEST_SILENCE_BARS === 0;
  }

  return {
    tell(bar) {
      const lines: Told[] = [];
      if (bar === 0) {
        const msg = `${bars[0]!.date}  the tape of ${series.instrument} begins at ${price(bars[0]!.close)}: ${series.about}, ${bars.length} ${series.unit}s`;
        return [{ msg, tags: ["open"] }];
      }
      if (worthALine(bar)) {
        const notes = remarks(bar).slice(0, 2);
        lines.push({
          msg: [headline(bar), ...notes].join(", "),
          tags: notes.length > 0 ? ["close", "notable"] : ["close"],
        });
      }
      lines.push(...(series.kind === "price" ? [...trendTold(bar), ...fallTold(bar)] : fearTold(bar)));
      if (bar === bars.length - 1)
        lines.push({ msg: `the tape of ${series.instrument} ends; it starts again from the beginning`, tags: ["end"] });
      return lines;
    },
    status(bar) {
      const way = trend(bar) > 0 ? "up" : trend(bar) < 0 ? "down" : "not known yet";
      const { share } = fall(bar);
      const fallen = share === 0 ? ", at its peak" : `, ${percent(share)} below its peak`;
      const below = series.kind === "price" ? fallen : "";
      return `${headline(bar)}; trend ${way}${below}; ${series.unit} ${bar + 1} of ${bars.length}`;
    },
    why(bar) {
      const [short, long] = [average(bar, fast), average(bar, slow)];
      const averages =
        short === null || long === null
          ? `no trend before ${slow} ${series.unit}s`
          : `${fast}-${series.unit} average ${price(short)}, ${slow}-${series.unit} average ${price(long)}`;
      return [averages, ...remarks(bar)].join("; ");
    },
  };
}
