import type { Finding } from "../../protocol/doctor.ts";

/** What a check says; with `fix`, how it is mended. */
export interface Found {
  level: Finding["level"];
  finding: string;
  consequence: string;
  remedy: string;
  fix?: () => void | Promise<void>;
}

export const problem = (finding: string, consequence: string, remedy: string): Found => ({
  level: "problem",
  finding,
  consequence,
  remedy,
});
export const warning = (finding: string, consequence: string, remedy: string): Found => ({
  level: "warning",
  finding,
  consequence,
  remedy,
});
export const note = (finding: string, consequence: string, remedy: string): Found => ({
  level: "note",
  finding,
  consequence,
  remedy,
});
