import { gammaOf } from "./black-scholes.ts";
import { realisedVolatility, type Series } from "./series.ts";
import { type Narrator, percent, type Told } from "./told.ts";

const REGIMES = ["calm", "normal", "tense", "storm"] as const;
type Regime = (typeof REGIMES)[number];

/** Where a regime begins, as shares of the past readings that lie below. */
const BEGINS = [0, 0.3, 0.75, 0.95];

/** A regime is left only when the rank has come back by this much, so that it does not flicker at a border. */
const STICKY = 0.07;

/**
 * Watches realised volatility, the weather that gamma lives in: tells when its regime flips, and now and then what the gamma
 * of an at-the-money option with a month to run would be. There is no open interest in the data, so it says nothing about
 * what dealers hold.
 */
export function gamma(series: Series): Narrator {
  const daily = series.unit === "day";
  const window = series.bars.length < 60 ? 5 : daily ? 10 : 4;
  const memory = daily ? 504 : 60;
  /** Readings needed before a rank means anything. */
  const least = series.bars.length < 60 ? 10 : daily ? 60 : 12;
  const every = daily ? 5 : 3;
  const readings = series.bars.map((_, bar) => realisedVolatility(series, bar, window));
  const regimes: (Regime | null)[] = [];
  for (const bar of series.bars.keys()) regimes.push(regimeAt(bar, regimes.at(-1) ?? null));

  function rankAt(bar: number): number | null {
    const now = readings[bar];
    const past = readings.slice(Math.max(0, bar - memory), bar).filter((reading) => reading !== null);
    if (now === null || now === undefined || past.length < least) return null;
    return past.filter((reading) => reading < now).length / past.length;
  }

  function regimeAt(bar: number, before: Regime | null): Regime | null {
    const rank = rankAt(bar);
    if (rank === null) return null;
    const now = BEGINS.findLastIndex((begin) => rank >= begin);
    if (before === null) return REGIMES[now]!;
    const was = REGIMES.indexOf(before);
    const falling = now < was && rank < BEGINS[was]! - STICKY;
    return now > was || falling ? REGIMES[now]! : before;
  }

  function lastFlip(bar: number): number | null {
    for (let i = bar; i > 0; i--) if (regimes[i - 1] && regimes[i] !== regimes[i - 1]) return i;
    return null;
  }

  function reading(bar: number): string {
    const volatility = readings[bar]!;
    const spot = series.bars[bar]!.close;
    const perPercent = (gammaOf({ spot, strike: spot, volatility, years: 1 / 12 }) * spot) / 100;
    return `realised volatility ${percent(volatility)}, an at-the-money month's delta moves ${perPercent.toFixed(2)} per 1 %`;
  }

  return {
    tell(bar) {
      const { date } = series.bars[bar]!;
      if (bar === 0) return [{ msg: `measuring ${series.instrument} over ${window} ${series.unit}s`, tags: ["gamma"] }];
      const [before, now] = [regimes[bar - 1], regimes[bar]];
      if (before && now && before !== now) {
        const storm = now === "storm";
        const told: Told = {
          msg: `${date}  ${series.instrument} goes from ${before} to ${now}: ${reading(bar)}`,
          level: storm ? "alert" : "warn",
          type: storm ? "alert" : "signal",
          tags: ["gamma", "regime", now],
        };
        return [told];
      }
      if (bar % every !== 0 || !readings[bar]) return [];
      return [{ msg: `${date}  ${series.instrument} ${now ?? "unranked"}: ${reading(bar)}`, tags: ["gamma"] }];
    },
    status(bar) {
      const now = regimes[bar];
      if (!now) return `${series.instrument}: too few prices for a regime yet`;
      const since = lastFlip(bar);
      return `${series.instrument} is ${now}${since === null ? "" : ` since ${series.bars[since]!.date}`}; ${reading(bar)}`;
    },
    why(bar) {
      const rank = rankAt(bar);
      if (rank === null) return `a regime needs ${least} earlier readings`;
      return `${window}-${series.unit} realised volatility ${percent(readings[bar]!)} is above ${percent(rank, 0)} of the last ${Math.min(bar, memory)} readings; calm below 30 %, tense from 75 %, storm from 95 %`;
    },
  };
}
