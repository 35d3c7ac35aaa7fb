/** `200ms`, `5s`, `10m`, `24h`, `30d` in milliseconds; null when it is not of that form. */
export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)$/.exec(text.trim());
  return match ? Number(match[1]) * DURATION_MS[match[2]!]! : null;
}

const DURATION_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** `10MB`, `512KB`, `1GB` or a number of bytes; null when it is not of that form. Powers of 1024. */
export function parseSize(text: string | number): number | null {
  if (typeof text === "number") return Number.isInteger(text) && text > 0 ? text : null;
  const match = /^(\d+(?:\.\d+)?)\s*([KMG]i?B|B)$/i.exec(text.trim());
  return match ? Math.round(Number(match[1]) * SIZE_BYTES[match[2]![0]!.toUpperCase()]!) : null;
}

const SIZE_BYTES: Record<string, number> = { B: 1, K: 1_024, M: 1_048_576, G: 1_073_741_824 };
