import { isMap, parseDocument } from "yaml";

/** The text of a floor plan with one more session; comments, order and everything else stay. Null when it holds no map of sessions. */
export function withSession(text: string, id: string, entry: Record<string, unknown>): string | null {
  const document = parseDocument(text);
  if (document.errors.length > 0 || !isMap(document.contents)) return null;
  const sessions = document.get("sessions");
  if (sessions !== undefined && sessions !== null && !isMap(sessions)) return null;
  document.setIn(["sessions", id], document.createNode(entry));
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}
