import { LEVELS, type Line, type LineFilter } from "../../protocol/room.ts";

/** Whether a line is wanted. Each given field must match; inside a field any value is enough. */
export function matches(line: Line, filter: LineFilter | undefined): boolean {
  if (!filter) return true;
  if (
    filter.agent &&
    !filter.agent.some(
      (agent) => line.from === agent || line.from.startsWith(`${agent}-`) || line.from.startsWith(`${agent}_`),
    )
  )
    return false;
  if (filter.tag && !filter.tag.some((tag) => line.tags.includes(tag))) return false;
  if (filter.type && !filter.type.includes(line.type)) return false;
  if (filter.level && LEVELS.indexOf(line.level) < LEVELS.indexOf(filter.level)) return false;
  return true;
}
