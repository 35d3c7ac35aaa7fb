import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** One trading day or month. Monthly series know only the close; there open, high and low equal it. */
export interface Bar {
  /** `2008-10-13`, or `2008-10` for a month. */
  date: string;
  open: number;
  high: number;
  low: number;
  close: number;
}

export interface Series {
  instrument: string;
  /** What the numbers are, for people. */
  about: string;
  /** A volatility is quoted in percent and has no drawdown worth telling. */
  kind: "price" | "volatility";
  unit: "day" | "month";
  /** False where every bar has only a close. */
  hasRange: boolean;
  bars: Bar[];
}

const STOCKS: Record<string, string> = {
  AAPL: "Apple",
  AMZN: "Amazon",
  GOOG: "Google",
  IBM: "IBM",
  MSFT: "Microsoft",
};

/** The nine instruments of the floor, every one a real series or derived from one by a rule that its `about` states. */
export const INSTRUMENTS = ["SPX", "SPM", "VIX", "AAPL", "AMZN", "GOOG", "IBM", "MSFT", "TECH"] as const;

/**
 * The series of an instrument, from the files of the package vega-datasets. Throws when the instrument is not one of the
 * nine, or the package is not installed.
 */
export function loadSeries(instrument: string): Series {
  const name = instrument.toUpperCase();
  if (name === "SPX")
    return { instrument: name, about: "S&P 500 index, daily", kind: "price", unit: "day", hasRange: true, bars: spx() };
  if (name === "VIX") {
    const bars = (JSON.parse(dataFile("ohlc.json")) as Bar[]).map(({ date, open, high, low, close }) => ({
      date,
      open,
      high,
      low,
      close,
    }));
    const about = "CBOE volatility index, daily, summer of 2009";
    return { instrument: name, about, kind: "volatility", unit: "day", hasRange: true, bars };
  }
  if (name === "SPM") {
    const bars = closesOnly(rows("sp500.csv").map(([date, price]) => ({ date: monthOf(date!), close: Number(price) })));
    return { instrument: name, about: "S&P 500 index, monthly", kind: "price", unit: "month", hasRange: false, bars };
  }
  if (name === "TECH") {
    const about = "equal-weight basket of AAPL AMZN GOOG IBM MSFT, monthly, 2004-08 = 100 (computed)";
    return { instrument: name, about, kind: "price", unit: "month", hasRange: false, bars: closesOnly(basket()) };
  }
  if (name in STOCKS) {
    const bars = closesOnly(stock(name));
    return { instrument: name, about: `${STOCKS[name]}, monthly`, kind: "price", unit: "month", hasRange: false, bars };
  }
  throw new Error(`there is no series for ${instrument}; the instruments are ${INSTRUMENTS.join(" ")}`);
}

const BARS_PER_YEAR = { day: 252, month: 12 };

/**
 * Annualised standard deviation of the log changes over the `window` bars that end at `bar`; null while there are too few.
 */
export function realisedVolatility(series: Series, bar: number, window: number): number | null {
  if (bar < window) return null;
  const changes: number[] = [];
  for (let i = bar - window + 1; i <= bar; i++)
    changes.push(Math.log(series.bars[i]!.close / series.bars[i - 1]!.close));
  const mean = changes.reduce((sum, change) => sum + change, 0) / window;
  const variance = changes.reduce((sum, change) => sum + (change - mean) ** 2, 0) / (window - 1);
  return Math.sqrt(variance * BARS_PER_YEAR[series.unit]);
}

interface Close {
  date: string;
  close: number;
}

function closesOnly(closes: Close[]): Bar[] {
  return closes.map(({ date, close }) => ({ date, open: close, high: close, low: close, close }));
}

function basket(): Close[] {
  const members = Object.keys(STOCKS).map((symbol) => new Map(stock(symbol).map((one) => [one.date, one.close])));
  const months = stock("GOOG").map((one) => one.date);
  const first = months[0]!;
  return months.map((date) => ({
    date,
    close: (100 * members.reduce((sum, prices) => sum + prices.get(date)! / prices.get(first)!, 0)) / members.length,
  }));
}

function spx(): Bar[] {
  return rows("sp500-2000.csv").map(([date, open, high, low, close]) => ({
    date: date!,
    open: Number(open),
    high: Number(high),
    low: Number(low),
    close: Number(close),
  }));
}

function stock(symbol: string): Close[] {
  return rows("stocks.csv")
    .filter((row) => row[0] === symbol)
    .map(([, date, price]) => ({ date: monthOf(date!), close: Number(price) }));
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** `Oct 1 2008` becomes `2008-10`. */
function monthOf(text: string): string {
  const [month, , year] = text.split(" ");
  return `${year}-${String(MONTHS.indexOf(month!) + 1).padStart(2, "0")}`;
}

function rows(file: string): string[][] {
  return dataFile(file)
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(","));
}

function dataFile(file: string): string {
  let entry: string;
  try {
    entry = import.meta.resolve("vega-datasets");
  } catch {
    throw new Error("the price series are not installed; run `npm install` in this folder");
  }
  return readFileSync(fileURLToPath(new URL(`../data/${file}`, entry)), "utf8");
}
