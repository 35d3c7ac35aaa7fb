/** Longer than any key or name; comparing takes the product of both lengths, and words come from outside. */
const MOST_CHARACTERS = 64;
const MOST_CANDIDATES = 500;

/**
 * For "did you mean": the candidate at most two edits from `word` (insert, delete, replace, swap neighbours), or one it begins;
 * null when none is near. Letter case does not count.
 */
export function nearest(word: string, candidates: readonly string[]): string | null {
  if (word.length > MOST_CHARACTERS) return null;
  let best: string | null = null;
  let bestEdits = 3;
  for (const candidate of candidates.slice(0, MOST_CANDIDATES)) {
    const edits = editsBetween(word.toLowerCase(), candidate.toLowerCase());
    if (edits < bestEdits && edits < Math.max(word.length, candidate.length) - 1) {
      best = candidate;
      bestEdits = edits;
    }
  }
  if (best !== null || word.length < 2) return best;
  return candidates.find((candidate) => candidate.startsWith(word)) ?? null;
}

function editsBetween(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let older: number[] = [];
  let old = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const now = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let edits = Math.min(old[j]! + 1, now[j - 1]! + 1, old[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits = Math.min(edits, older[j - 2]! + 1);
      now.push(edits);
    }
    older = old;
    old = now;
  }
  return old[b.length]!;
}
