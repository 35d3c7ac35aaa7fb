import { readFileSync } from "node:fs";
import type { LanguageModel } from "ai";
import type { ChatSpec } from "../protocol/chat.ts";
import { endpointOf, KEYED_PROVIDERS, keyFile, keyVariables, missingKey, providerOf } from "../protocol/providers.ts";

/**
 * The model that `spec` names, with its provider loaded only now. Throws NOT_FOUND without key or endpoint, with the two ways to
 * get one.
 */
export async function modelOf(
  spec: ChatSpec,
  home: string,
  env: Record<string, string | undefined>,
): Promise<LanguageModel> {
  const provider = providerOf(spec);
  const name = spec.model.slice(provider.length + 1);
  const baseURL = endpointOf(spec, env);
  const apiKey = keyOf(provider, home, env);
  if (Object.hasOwn(KEYED_PROVIDERS, provider) && apiKey === undefined) throw missingKey(provider, home);
  const given = { ...(apiKey !== undefined && { apiKey }), ...(baseURL !== undefined && { baseURL }) };
  switch (provider) {
    case "anthropic":
      return (await import("@ai-sdk/anthropic")).createAnthropic(given)(name);
    case "openai":
      return (await import("@ai-sdk/openai")).createOpenAI(given)(name);
    case "google":
      return (await import("@ai-sdk/google")).createGoogle(given)(name);
    default: {
      const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
      return createOpenAICompatible({ name: provider, ...given, baseURL: baseURL!, includeUsage: true })(name);
    }
  }
}

/** From the environment, else from the file that `bosun chat key` has written. */
function keyOf(provider: string, home: string, env: Record<string, string | undefined>): string | undefined {
  const given = keyVariables(provider).flatMap((name) => env[name] || [])[0];
  if (given !== undefined) return given;
  try {
    return readFileSync(keyFile(home, provider), "utf8").trim() || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
