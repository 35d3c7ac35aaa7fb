import type { FaceParts, HttpFace } from "../coordinator/server/face.ts";
import { openHttp } from "../coordinator/server/http.ts";

/** What the coordinator loads when the first HTTP request comes: HTTP, WebSocket, metrics. */
export function openFace(parts: Omit<FaceParts, "mcp">): Promise<HttpFace> {
  return openHttp(parts);
}
