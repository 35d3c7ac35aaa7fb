import { BosunError } from "./error.ts";
import { ID_PATTERN } from "./id.ts";

/** What decided the town's name; `status` prints it. */
export type TownSource = "flag" | "environment" | "plan" | "GT_ROOT" | "folder";

/**
 * Which town is meant: a flag, then `GT_TOWN_NAME` or `BOSUN_TOWN`, then the plan's `town:`, then the last part of `GT_ROOT`,
 * then that of the folder the plan was found in. Throws USAGE when what decides cannot be a name.
 */
export function discoverTown(given: {
  flag: string | null;
  env: Record<string, string | undefined>;
  planTown: string | null;
  root: string;
}): { town: string; from: TownSource } {
  const lastPart = (path: string): string => path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  const candidates: [string | null | undefined, TownSource][] = [
    [given.flag, "flag"],
    [given.env.GT_TOWN_NAME || given.env.BOSUN_TOWN, "environment"],
    [given.planTown, "plan"],
    [given.env.GT_ROOT && lastPart(given.env.GT_ROOT), "GT_ROOT"],
    [lastPart(given.root), "folder"],
  ];
  const [town, from] = (candidates.find(([name]) => name) ?? ["", "folder"]) as [string, TownSource];
  if (town !== undefined && ID_PATTERN.test(town)) return { town, from };
  throw new BosunError({
    code: "USAGE",
    what: `"${town ?? ""}" cannot be a town's name`,
    why: `it comes from ${from ?? "nowhere"}; a name is letters, digits, _ . and -, at most 64, not starting with - or .`,
    fix: "say another with --town NAME, or town: NAME in the floor plan",
  });
}

/**
 * The plan's `town:` without reading YAML: the line at the left edge. The command line finds the coordinator's socket by it;
 * the coordinator reads the plan properly.
 */
export function peekTown(text: string): string | null {
  for (const line of text.slice(0, 262_144).split(/\r\n|\r|\n/)) {
    const rest = /^\ufeff?(?:town|"town"|'town')[ \t]*:(?=[ \t])(.*)$/.exec(line)?.[1]?.trim();
    if (rest === undefined) continue;
    const quoted = /^(?:"([^"]*)"|'([^']*)')/.exec(rest);
    const town = quoted ? (quoted[1] ?? quoted[2] ?? "") : (rest.split(/(?:^|[ \t])#/, 1)[0] ?? "").trim();
    return town && !town.includes("<") ? town : null;
  }
  return null;
}
