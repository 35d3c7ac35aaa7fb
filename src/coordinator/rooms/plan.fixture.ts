import type { PlanRoom } from "../../protocol/plan.ts";

export function planRoom(id: string, more: Partial<PlanRoom> = {}): PlanRoom {
  return { id, about: "", keep: { ageMs: null, count: null }, jsonl: null, sources: [], private: null, ...more };
}

export function jsonl(path: string, rotateBytes = 1e9): PlanRoom["jsonl"] {
  return { path, rotateBytes, rotateKeep: 20 };
}
