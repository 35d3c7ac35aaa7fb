/** Values for placeholders: `{ instrument: "SPX", town: "moo" }`. */
export type Values = Readonly<Record<string, string>>;

const PLACEHOLDER = /<([a-z][a-z0-9_]*)(\|lower|\|upper)?>/g;

/** `<x>`, `<x|lower>`, `<x|upper>` filled wherever text stands; unknown ones stay, they may be the shell's. */
export function fill<T>(value: T, values: Values): T {
  if (typeof value === "string") {
    return value.replace(PLACEHOLDER, (whole, name: string, change: string | undefined) => {
      const given = values[name];
      if (given === undefined) return whole;
      return change === "|lower" ? given.toLowerCase() : change === "|upper" ? given.toUpperCase() : given;
    }) as T;
  }
  if (Array.isArray(value)) return value.map((each) => fill(each, values)) as T;
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [fill(key, values), fill(inner, values)]),
    ) as T;
  }
  return value;
}

/** One set of values per combination, in order; one empty set when there is nothing to multiply. */
export function combinations(each: Record<string, (string | number)[]> | undefined): Values[] {
  return Object.entries(each ?? {}).reduce<Values[]>(
    (sets, [name, values]) => sets.flatMap((set) => values.map((value) => ({ ...set, [name]: String(value) }))),
    [{}],
  );
}

/** Placeholders nobody fills. */
export function unfilled(text: string): string[] {
  return [...text.matchAll(PLACEHOLDER)].map((match) => match[0]);
}
