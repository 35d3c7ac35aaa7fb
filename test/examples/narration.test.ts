import { describe, expect, test } from "vitest";
import { butterflyOf, callPrice, payoff } from "../../examples/trading-floor/black-scholes.ts";
import { butterfly } from "../../examples/trading-floor/butterfly.ts";
import { deacon } from "../../examples/trading-floor/deacon.ts";
import { gamma } from "../../examples/trading-floor/gamma.ts";
import { INSTRUMENTS, loadSeries } from "../../examples/trading-floor/series.ts";

const NARRATORS = { deacon, butterfly, gamma };

function barOf(instrument: string, date: string): number {
  return loadSeries(instrument).bars.findIndex((bar) => bar.date === date);
}

describe.each(INSTRUMENTS)("%s", (instrument) => {
  const series = loadSeries(instrument);

  test("the series is whole: prices above nothing, dates in order", () => {
    const wrong = series.bars.filter(
      ({ date, open, high, low, close }, index) =>
        !(low > 0 && low <= Math.min(open, close) && high >= Math.max(open, close)) ||
        (index > 0 && date <= series.bars[index - 1]!.date),
    );
    expect(wrong).toEqual([]);
    expect(series.bars.length).toBeGreaterThan(40);
  });

  test.each(Object.entries(NARRATORS))("%s has something to say, and every figure in it is a number", (_, make) => {
    const narrator = make(series);
    const upTo = Math.min(series.bars.length, 700);
    const lines = Array.from({ length: upTo }, (_, bar) => narrator.tell(bar)).flat();
    const asked = Array.from({ length: upTo }, (_, bar) => [narrator.status(bar), narrator.why(bar)]).flat();
    const broken = [...lines.map((line) => line.msg), ...asked].filter((text) =>
      /NaN|undefined|Infinity|null/.test(text),
    );
    expect(broken).toEqual([]);
    expect(lines.length).toBeGreaterThan(10);
  });

  test.each(Object.entries(NARRATORS))(
    "%s started anew in the middle says what the old one would have said",
    (_, make) => {
      const [old, fresh] = [make(series), make(series)];
      const all = Array.from({ length: 40 }, (_, bar) => old.tell(bar));
      expect(Array.from({ length: 10 }, (_, step) => fresh.tell(30 + step))).toEqual(all.slice(30));
    },
  );
});

test("the great days of the index are told as what they were", () => {
  const told = (date: string): string =>
    deacon(loadSeries("SPX"))
      .tell(barOf("SPX", date))
      .map((line) => line.msg)
      .join(" | ");
  expect(told("2007-10-09")).toContain("rises to 1,565.15 (+0.8 %), highest close in a year");
  expect(told("2008-10-13")).toContain("jumps to 1,003.35 (+11.6 %), the largest move in a year");
  expect(told("2009-03-09")).toContain("676.53 (−1.0 %), lowest close in a year");
});

test("a fall is told once for each mark it passes, loudly from a fifth on", () => {
  const narrator = deacon(loadSeries("SPX"));
  const [from, to] = [barOf("SPX", "2007-10-09"), barOf("SPX", "2009-03-09")];
  const falls = Array.from({ length: to - from + 1 }, (_, step) => narrator.tell(from + step))
    .flat()
    .filter((line) => line.tags.includes("drawdown"));
  expect(falls.map((line) => [/past (\d+) %/.exec(line.msg)![1], line.level])).toEqual([
    ["10", "warn"],
    ["20", "alert"],
    ["30", "warn"],
    ["40", "alert"],
    ["50", "alert"],
  ]);
});

test("the autumn of 2008 is a storm, the summer of 2017 is calm", () => {
  const narrator = gamma(loadSeries("SPX"));
  expect(narrator.status(barOf("SPX", "2008-10-15"))).toContain("SPX is storm");
  expect(narrator.status(barOf("SPX", "2017-07-20"))).toContain("SPX is calm");
});

test("an option costs what the textbooks say", () => {
  expect(callPrice({ spot: 100, strike: 100, volatility: 0.2, years: 1 })).toBeCloseTo(7.9656, 4);
});

test("butterflies at every strike together cost what they certainly pay: one wing", () => {
  const [spot, wing] = [100, 5];
  const strikes = Array.from({ length: 200 }, (_, index) => (index + 2) * wing);
  const flies = strikes.map((strike) => butterflyOf({ spot, strike, volatility: 0.3, years: 1 / 12 }, wing));
  expect(flies.reduce((sum, fly) => sum + fly.debit, 0)).toBeCloseTo(wing, 3);
  expect(flies.reduce((sum, fly) => sum + payoff(fly, 103), 0)).toBeCloseTo(wing, 6);
});
