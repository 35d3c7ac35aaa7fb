import { mkdirSync, mkdtempSync, realpathSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A new folder below the system's own for such things, by its real path. The caller removes it. */
export function temporaryFolder(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), "bosun-gastown-")));
}

/** Writes files and folders (null) by their paths under `root`; an object is written as JSON. */
export function writeTown(root: string, parts: Record<string, string | object | null>): void {
  for (const [path, content] of Object.entries(parts)) {
    const target = join(root, path);
    mkdirSync(content === null ? target : dirname(target), { recursive: true });
    if (content !== null)
      writeFileSync(target, typeof content === "string" ? content : JSON.stringify(content, null, 2));
  }
}

/** Two rigs as Gas Town lays them out, the second with a prefix that is not `gt`; every session runs `sleep`. */
export const SMALL_TOWN: Record<string, string | object | null> = {
  "mayor/town.json": { type: "town", version: 2, name: "gt11", owner: "steve@example.org" },
  "mayor/rigs.json": {
    version: 1,
    rigs: {
      gastown: { git_url: "https://github.com/someone/gastown", beads: { repo: "local", prefix: "gt" } },
      beads: { git_url: "git@example.org:someone/beads.git", beads: { prefix: "bd" } },
    },
  },
  "settings/config.json": { default_agent: "sleeper", agents: { sleeper: { command: "sleep", args: ["900"] } } },
  deacon: null,
  "gastown/witness": null,
  "gastown/refinery/rig": null,
  "gastown/crew/max": null,
  "gastown/crew/slack_decisions": null,
  "gastown/polecats/alpha/gastown": null,
  "beads/witness": null,
  "beads/crew/max": null,
};
