import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// The package exports only its index; the data files lie beside the folder that holds it.
const DATA = join(dirname(fileURLToPath(import.meta.resolve("vega-datasets"))), "../data");
const read = (name) => readFileSync(join(DATA, name), "utf8");
const rows = (name) =>
  read(name)
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(","));
const month = (text) => new Date(`${text} UTC`).toISOString().slice(0, 7);

/** Monthly closes of one share, 2000 to 2010. */
const share = (symbol) =>
  rows("stocks.csv")
    .filter(([name]) => name === symbol)
    .map(([, date, price]) => ({ when: month(date), close: Number(price) }));

/** What each instrument is; all prices stand in the npm package vega-datasets, nothing is invented. */
const SERIES = {
  SPX: {
    about: "S&P 500, daily, 2000 to 2020",
    perYear: 252,
    read: () => rows("sp500-2000.csv").map(([when, , , , close]) => ({ when, close: Number(close) })),
  },
  SPM: {
    about: "S&P 500, monthly, 2000 to 2010",
    perYear: 12,
    read: () => rows("sp500.csv").map(([date, price]) => ({ when: month(date), close: Number(price) })),
  },
  VIX: {
    about: "CBOE volatility index, daily, summer 2009",
    perYear: 252,
    read: () => JSON.parse(read("ohlc.json")).map(({ date, close }) => ({ when: date, close })),
  },
  AAPL: { about: "Apple, monthly, 2000 to 2010", perYear: 12, read: () => share("AAPL") },
  AMZN: { about: "Amazon, monthly, 2000 to 2010", perYear: 12, read: () => share("AMZN") },
  GOOG: { about: "Google, monthly, 2004 to 2010", perYear: 12, read: () => share("GOOG") },
  IBM: { about: "IBM, monthly, 2000 to 2010", perYear: 12, read: () => share("IBM") },
  MSFT: { about: "Microsoft, monthly, 2000 to 2010", perYear: 12, read: () => share("MSFT") },
  TECH: { about: "the five shares, one fifth each from August 2004, start = 100", perYear: 12, read: basket },
};

function basket() {
  const shares = ["AAPL", "AMZN", "GOOG", "IBM", "MSFT"].map(
    (symbol) => new Map(share(symbol).map((bar) => [bar.when, bar.close])),
  );
  const months = [...shares[2].keys()];
  const start = months[0];
  return months.map((when) => ({
    when,
    close: shares.reduce((sum, prices) => sum + (prices.get(when) / prices.get(start)) * 20, 0),
  }));
}

/** `{ about, perYear, bars: [{ when, close }] }`; throws for a name that is not one of the nine. */
export function prices(instrument) {
  const series = SERIES[instrument];
  if (!series) throw new Error(`no prices for ${instrument}; there are ${Object.keys(SERIES).join(", ")}`);
  return { about: series.about, perYear: series.perYear, bars: series.read() };
}
