import { type Butterfly, butterflyOf, payoff } from "./black-scholes.ts";
import { realisedVolatility, type Series } from "./series.ts";
import { type Narrator, percent, price, signed, type Told } from "./told.ts";

/** One month: the usual listed expiry, and one bar of the monthly series. */
const YEARS = 1 / 12;

/**
 * Looks for butterfly spreads around the last price. Each is priced with Black–Scholes from realised volatility (no option
 * prices are in the data), held for a month, and its outcome told.
 */
export function butterfly(series: Series): Narrator {
  const daily = series.unit === "day";
  const window = series.bars.length < 60 ? 10 : daily ? 20 : 6;
  const every = daily ? 4 : 2;
  const held = daily ? 21 : 1;

  /** Three centres by two wings; the one with the best expected gain for its cost, given even chances, comes first. */
  function candidates(bar: number): Butterfly[] {
    const volatility = realisedVolatility(series, bar, window);
    if (volatility === null || volatility === 0) return [];
    const spot = series.bars[bar]!.close;
    const step = niceStep(spot * volatility * Math.sqrt(YEARS) * 0.5);
    const middle = Math.max(Math.round(spot / step), 3) * step;
    return [-step, 0, step]
      .flatMap((shift) => [step, 2 * step].map((wing) => ({ strike: middle + shift, wing })))
      .filter(({ strike, wing }) => strike - wing > 0)
      .map(({ strike, wing }) => butterflyOf({ spot, strike, volatility, years: YEARS }, wing))
      .filter((one) => one.debit > 0 && one.chance > 0.25)
      .toSorted((a, b) => b.gain / b.debit - a.gain / a.debit);
  }

  function proposed(bar: number): boolean {
    return bar >= window && (bar - window) % every === 0;
  }

  /** The latest bar up to `bar` at which a spread was proposed. */
  function latest(bar: number): { at: number; best: Butterfly } | null {
    const at = bar < window ? -1 : bar - ((bar - window) % every);
    const [best] = at < 0 ? [] : candidates(at);
    return best ? { at, best } : null;
  }

  function name({ centre, wing }: Butterfly): string {
    return [centre - wing, centre, centre + wing].map(strikeText).join("/");
  }

  function propose(bar: number): Told[] {
    const [best, ...others] = candidates(bar);
    if (!best) return [];
    const asIf = series.kind === "volatility" ? " (as if it could be bought)" : "";
    const msg = `${series.bars[bar]!.date}  ${series.instrument} ${name(best)} call fly${asIf} for ${price(best.debit)}: gains up to ${price(best.gain)}, ${(best.gain / best.debit).toFixed(1)} to 1, in profit with ${percent(best.chance, 0)}; ${others.length} others fit`;
    return [{ msg, type: "signal", tags: ["butterfly", "candidate"] }];
  }

  function settle(bar: number): Told[] {
    const opened = bar - held;
    if (opened < 0 || !proposed(opened)) return [];
    const [best] = candidates(opened);
    if (!best) return [];
    const result = payoff(best, series.bars[bar]!.close) - best.debit;
    const share = result / best.debit;
    const msg = `${series.bars[bar]!.date}  the ${name(best)} fly of ${series.bars[opened]!.date} ends ${signed(share)} (${result < 0 ? "−" : "+"}${price(Math.abs(result))}), ${series.instrument} at ${price(series.bars[bar]!.close)}`;
    return [{ msg, level: share > 1.5 ? "warn" : "info", type: "signal", tags: ["butterfly", "outcome"] }];
  }

  return {
    tell(bar) {
      if (bar < window) {
        if (bar > 0) return [];
        const msg = `looking for butterflies on ${series.instrument}; the first after ${window} ${series.unit}s of prices`;
        return [{ msg, tags: ["butterfly"] }];
      }
      return [...settle(bar), ...(proposed(bar) ? propose(bar) : [])];
    },
    status(bar) {
      const found = latest(bar);
      if (!found) return `no candidate yet on ${series.instrument}`;
      return `${series.instrument}: latest candidate ${name(found.best)} of ${series.bars[found.at]!.date}, cost ${price(found.best.debit)}`;
    },
    why(bar) {
      const found = latest(bar);
      if (!found) return `realised volatility needs ${window} ${series.unit}s of prices`;
      const volatility = realisedVolatility(series, found.at, window)!;
      return `spot ${price(series.bars[found.at]!.close)}, realised volatility ${percent(volatility)} over ${window} ${series.unit}s, one month to run, no interest; of ${candidates(found.at).length} spreads that end in profit with more than 25 %, ${name(found.best)} gains most for its cost`;
    },
  };
}

/** 1, 2, 2.5 or 5 times a power of ten: distances that strikes are listed at. */
function niceStep(wanted: number): number {
  const power = 10 ** Math.floor(Math.log10(wanted));
  return power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= wanted)!;
}

function strikeText(strike: number): string {
  return String(Math.round(strike * 100) / 100);
}
