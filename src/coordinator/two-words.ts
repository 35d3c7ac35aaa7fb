const ADJECTIVES = [
  "amber",
  "bold",
  "brisk",
  "calm",
  "clear",
  "crisp",
  "deep",
  "eager",
  "fair",
  "fleet",
  "fresh",
  "glad",
];
const MORE = ["keen", "lucid", "mild", "neat", "prime", "quick", "quiet", "sharp", "spare", "swift", "vivid", "warm"];
const NOUNS = [
  "anchor",
  "beacon",
  "bell",
  "bow",
  "buoy",
  "cable",
  "chart",
  "compass",
  "deck",
  "dock",
  "flag",
  "galley",
];
const OTHERS = [
  "harbor",
  "helm",
  "hull",
  "keel",
  "lantern",
  "mast",
  "oar",
  "rudder",
  "sail",
  "sextant",
  "tide",
  "wake",
];

/** A name nobody uses yet: adjective and noun, in an order `random` (0 to 1) begins; with a number once all are used. */
export function twoWords(taken: ReadonlySet<string>, random: () => number = Math.random): string {
  const adjectives = [...ADJECTIVES, ...MORE];
  const nouns = [...NOUNS, ...OTHERS];
  const all = adjectives.length * nouns.length;
  const start = Math.floor(random() * all);
  for (let n = 0; ; n++) {
    const place = (start + n) % all;
    const words = `${adjectives[Math.floor(place / nouns.length)]}-${nouns[place % nouns.length]}`;
    const name = n < all ? words : `${words}-${Math.floor(n / all) + 1}`;
    if (!taken.has(name)) return name;
  }
}
