/** Values for placeholders: `{ instrument: "SPX", town: "moo" }`. */
export type Values = Readonly<Record<string, string>>;

const PLACEHOLDER = /<([a-z][a-z0-9_]*)(\|lower|\|upper)?>/g;

/** `<x>`, `<x|lower>`, `<x|upper>` filled wherever text stands; unknown ones stay, they may be the shell's. */
export function fill<T>(value: T, values: Values): T {
  if (typeof value === "string") {
    return value.replace(PLACEHOLDER, (whole, name: string, change: string | undefined) => {
      // `<constructor>` is a placeholder nobody fills, not what every object inherits.
      const given = Object.hasOwn(values, name) ? values[name] : undefined;
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

/** How many sets `combinations` gives. */
export function copiesOf(each: Record<string, (string | number)[]> | undefined): number {
  return Object.values(each ?? {}).reduce((product, values) => product * values.length, 1);
}

/** Placeholders nobody fills. */
export function unfilled(text: string): string[] {
  return [...text.matchAll(PLACEHOLDER)].map((match) => match[0]);
}

/** `<instrument|lowr>`: a known word with a change that is none; null when all are well written. */
export function wrongChange(value: unknown, names: readonly string[]): string | null {
  if (typeof value === "string") {
    const found = [...value.matchAll(/<([a-z][a-z0-9_]*)\s*[|:]\s*([A-Za-z]*)>/g)];
    const wrong = found.find(([whole, name]) => names.includes(name!) && !/^<\w+\|(lower|upper)>$/.test(whole));
    return wrong?.[0] ?? null;
  }
  if (typeof value !== "object" || value === null) return null;
  for (const inner of Object.entries(value).flat()) {
    const wrong = wrongChange(inner, names);
    if (wrong) return wrong;
  }
  return null;
}
