import type { FaceParts, HttpFace } from "../coordinator/server/face.ts";
import { openHttp } from "../coordinator/server/http.ts";
import { mcpOverHttp } from "../mcp/http.ts";

/** What the coordinator loads when the first HTTP request comes: HTTP, WebSocket, MCP, metrics. */
export function openFace(parts: Omit<FaceParts, "mcp">): Promise<HttpFace> {
  return openHttp({ ...parts, mcp: mcpOverHttp(parts.version) });
}
