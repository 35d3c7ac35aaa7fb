/**
 * Black–Scholes with no interest and no dividends: all this floor needs, and all it claims. Prices are in the unit of `spot`,
 * volatility is annualised (0.2 = 20 %), time is in years.
 */
export interface Option {
  spot: number;
  strike: number;
  volatility: number;
  years: number;
}

export function callPrice({ spot, strike, volatility, years }: Option): number {
  const spread = volatility * Math.sqrt(years);
  const d1 = Math.log(spot / strike) / spread + spread / 2;
  return spot * normalBelow(d1) - strike * normalBelow(d1 - spread);
}

/** Change of the delta per point of the underlying. */
export function gammaOf({ spot, strike, volatility, years }: Option): number {
  const spread = volatility * Math.sqrt(years);
  const d1 = Math.log(spot / strike) / spread + spread / 2;
  return Math.exp(-(d1 ** 2) / 2) / Math.sqrt(2 * Math.PI) / (spot * spread);
}

/** Probability that the underlying ends below `strike`. */
export function chanceBelow({ spot, strike, volatility, years }: Option): number {
  const spread = volatility * Math.sqrt(years);
  return normalBelow(Math.log(strike / spot) / spread + spread / 2);
}

export interface Butterfly {
  /** Strikes are `centre − wing`, twice `centre`, `centre + wing`. */
  centre: number;
  wing: number;
  /** What it costs, and so the most it can lose. */
  debit: number;
  /** The most it can gain, exactly at the centre. */
  gain: number;
  /** Probability of ending between the two break-even points. */
  chance: number;
}

/** A long call butterfly; `option.strike` is the centre. */
export function butterflyOf(option: Option, wing: number): Butterfly {
  const at = (strike: number): number => callPrice({ ...option, strike });
  const debit = at(option.strike - wing) - 2 * at(option.strike) + at(option.strike + wing);
  const below = (strike: number): number => chanceBelow({ ...option, strike });
  const reach = wing - debit;
  return {
    centre: option.strike,
    wing,
    debit,
    gain: wing - debit,
    chance: below(option.strike + reach) - below(option.strike - reach),
  };
}

/** What a butterfly pays when the underlying ends at `spot`, its cost not taken off. */
export function payoff({ centre, wing }: Butterfly, spot: number): number {
  return Math.max(0, wing - Math.abs(spot - centre));
}

/** Abramowitz and Stegun 26.2.17: within 7.5e-8 of the normal distribution. */
function normalBelow(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = (Math.exp(-(x ** 2) / 2) / Math.sqrt(2 * Math.PI)) * poly;
  return x >= 0 ? 1 - tail : tail;
}
