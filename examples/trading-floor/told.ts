/** What an agent has to say about one bar. */
export interface Told {
  msg: string;
  level?: "debug" | "info" | "warn" | "alert";
  type?: string;
  tags: string[];
}

/**
 * A narrator is a function of the series and a place in it, nothing else: told twice, it says the same. That is what lets an
 * agent be killed, start again at any bar, and repeat nobody's lines.
 */
export interface Narrator {
  /** Lines for bar number `bar`; most bars give none or one. */
  tell(bar: number): Told[];
  /** One line about where things stand. */
  status(bar: number): string;
  /** The figures behind the latest judgement. */
  why(bar: number): string;
}

/** `1234.5` as `1,234.50`. By hand: a locale costs every agent 1.5 MB. */
export function price(value: number): string {
  return value.toFixed(2).replace(/\B(?=(\d{3})+\.)/g, ",");
}

/** `0.0123` as `+1.2 %`; what rounds to nothing has no sign. */
export function signed(share: number): string {
  const size = Math.abs(share * 100).toFixed(1);
  return `${size === "0.0" ? "" : share < 0 ? "−" : "+"}${size} %`;
}

export function percent(share: number, places = 1): string {
  return `${(share * 100).toFixed(places)} %`;
}
