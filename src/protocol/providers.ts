import { BosunError } from "./error.ts";

/** Where the conversation of a session stands, in the town's state folder. */
export function chatFile(stateFolder: string, session: string): string {
  return `${stateFolder}/chats/${session.replaceAll("/", "_")}.jsonl`;
}

/** Where a provider's key is kept when the environment has none, in bosun's own folder. */
export function keyFile(home: string, provider: string): string {
  return `${home}/keys/${provider}`;
}

/** Variables in which the makers' own programs look for their key, and where one gets it. */
export const KEYED_PROVIDERS: Readonly<Record<string, { variables: readonly string[]; at: string }>> = {
  anthropic: { variables: ["ANTHROPIC_API_KEY"], at: "https://console.anthropic.com/settings/keys" },
  openai: { variables: ["OPENAI_API_KEY"], at: "https://platform.openai.com/api-keys" },
  google: { variables: ["GOOGLE_GENERATIVE_AI_API_KEY", "GEMINI_API_KEY"], at: "https://aistudio.google.com/apikey" },
};

/** Where Ollama listens unless OLLAMA_HOST says otherwise. */
const OLLAMA = "http://127.0.0.1:11434";

export function providerOf({ model }: { model: string }): string {
  return model.slice(0, model.indexOf("/"));
}

/** The address that is asked, where it is not the provider's own. */
export function endpointOf(
  spec: { model: string; base_url?: string | undefined },
  env: Record<string, string | undefined>,
): string | undefined {
  if (spec.base_url !== undefined || providerOf(spec) !== "ollama") return spec.base_url;
  const host = env.OLLAMA_HOST || OLLAMA;
  return `${host.includes("://") ? host : `http://${host}`}/v1`;
}

/** The key for a provider without a known one: MY_HOST_API_KEY for `my-host`. */
export function keyVariables(provider: string): readonly string[] {
  return KEYED_PROVIDERS[provider]?.variables ?? [`${provider.toUpperCase().replace(/[^A-Z0-9]/g, "_")}_API_KEY`];
}

/** Two ways on for somebody without a key. */
export function missingKey(provider: string, home: string): BosunError {
  return new BosunError({
    code: "NOT_FOUND",
    what: `there is no key for ${provider}`,
    why: `neither ${keyVariables(provider).join(" nor ")} is set, nor is one kept in ${keyFile(home, provider)}`,
    fix: `get one at ${KEYED_PROVIDERS[provider]?.at ?? provider}, then: bosun chat key ${provider}\nor use a model on this machine: ollama serve; bosun chat new --model ollama/llama3.1`,
  });
}
