/** What each kind of agent says about bar `at` of a series, or null. Pure: the same prices give the same words. */
export const NARRATORS = { deacon, butterfly, gamma };

const percent = (share) => `${share >= 0 ? "+" : ""}${(share * 100).toFixed(1)} %`;
const money = (value) => value.toFixed(value < 100 ? 2 : 1);

function deacon({ bars }, at) {
  const { when, close } = bars[at];
  const before = bars[at - 1]?.close ?? close;
  const past = bars.slice(0, at + 1).map((bar) => bar.close);
  const peak = Math.max(...past);
  const change = close / before - 1;
  const fall = close / peak - 1;
  if (at > 20 && close === peak)
    return { msg: `${when}  ${money(close)}, a new high; ${percent(change)} on the bar`, tags: ["high"] };
  if (at > 20 && close === Math.min(...past))
    return {
      msg: `${when}  ${money(close)}, the lowest so far; ${percent(fall)} from the peak`,
      tags: ["low"],
      level: "warn",
    };
  if (Math.abs(change) > 0.08)
    return {
      msg: `${when}  ${money(close)}, ${percent(change)} at once`,
      tags: ["move"],
      level: Math.abs(change) > 0.2 ? "alert" : "warn",
    };
  if (at % 2 === 0)
    return {
      msg: `${when}  ${money(close)}, ${percent(change)}; ${fall === 0 ? "at the peak" : `${percent(fall)} from the peak`}`,
    };
  return null;
}

/** Standard deviation of the last `count` returns, per year; null while there are too few. */
function realised({ bars, perYear }, at, count) {
  if (at < count) return null;
  const returns = bars
    .slice(at - count + 1, at + 1)
    .map((bar, index) => Math.log(bar.close / bars[at - count + index].close));
  const mean = returns.reduce((sum, value) => sum + value, 0) / count;
  return Math.sqrt((returns.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1)) * perYear);
}

/** A butterfly around the price, three strikes wide, 30 days out, by Black and Scholes at zero interest. */
function butterfly(series, at) {
  if (at % 4 !== 0) return null;
  const volatility = realised(series, at, 12);
  if (!volatility) return null;
  const { close } = series.bars[at];
  const step = niceStep(close * 0.015);
  const body = Math.round(close / step) * step;
  const [low, high] = [body - step, body + step];
  const cost = call(close, low, volatility) - 2 * call(close, body, volatility) + call(close, high, volatility);
  if (cost <= 0.01) return null;
  const ratio = (step - cost) / cost;
  return {
    msg: `${money(low)}/${money(body)}/${money(high)} for ${cost.toFixed(2)}, pays ${ratio.toFixed(1)} to 1 at ${money(body)} (vol ${percent(volatility).slice(1)})`,
    type: "signal",
    tags: ["butterfly"],
  };
}

/** 1, 2, 2.5 or 5 times a power of ten, the nearest below. */
function niceStep(wanted) {
  const power = 10 ** Math.floor(Math.log10(wanted));
  return power * [5, 2.5, 2, 1].find((nice) => nice * power <= wanted);
}

const DAYS = 30 / 365;

function call(spot, strike, volatility) {
  const spread = volatility * Math.sqrt(DAYS);
  const d = (Math.log(spot / strike) + spread ** 2 / 2) / spread;
  return spot * normal(d) - strike * normal(d - spread);
}

/** Abramowitz and Stegun 26.2.17, good to seven digits. */
function normal(x) {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const tail =
    (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) *
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return x >= 0 ? 1 - tail : tail;
}

/** Short against long volatility: calm below 0.8, wild above 1.25, and told when it crosses. */
function gamma(series, at) {
  const regime = (bar) => {
    const [short, long] = [realised(series, bar, 6), realised(series, bar, 18)];
    if (!short || !long) return null;
    return { name: short / long > 1.25 ? "wild" : short / long < 0.8 ? "calm" : "even", short, long };
  };
  const now = regime(at);
  const before = regime(at - 1);
  if (!now || !before) return null;
  if (now.name !== before.name) {
    const loud = now.name === "wild" && now.short > 0.4;
    return {
      msg: `volatility turns ${now.name}: ${percent(now.short).slice(1)} now, ${percent(now.long).slice(1)} before`,
      tags: ["gamma"],
      level: loud ? "alert" : "info",
    };
  }
  return at % 9 === 0 ? { msg: `volatility ${now.name} at ${percent(now.short).slice(1)}`, tags: ["gamma"] } : null;
}
