/** Null when the address answers with 2xx or 3xx within that time; else what is wrong. Never rejects. */
export async function answers(url: string, timeoutMs: number): Promise<string | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), redirect: "manual" });
    await response.body?.cancel();
    return response.status < 400 ? null : `${url} answers with ${response.status}`;
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code;
    return `${url}: ${cause ?? (error instanceof Error ? error.message : String(error))}`;
  }
}
