import { statfsSync } from "node:fs";

/** Shares of a disk: the ship's own (SHIPBOOT, phase 0). Above the second nothing is started. */
export const DISK_WARNS = 0.9;
export const DISK_STOPS = 0.95;

/** The share of the disk under a folder that is used, 0 to 1. */
export function diskUsed(folder: string): number {
  const { blocks, bavail } = statfsSync(folder);
  return blocks === 0 ? 0 : 1 - bavail / blocks;
}
