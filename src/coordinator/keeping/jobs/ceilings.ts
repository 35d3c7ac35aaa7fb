import type { PlanJob } from "../../../protocol/plan.ts";
import type { Bench, Work } from "./work.ts";

/** At this share of a ceiling somebody is told, before the closing begins. */
const NOTICE_SHARE = 0.8;

/** While a session nears its ceiling, the handshake is brought up to date at each further share. */
const UPDATE_STEP = 0.05;

/**
 * Watches how near a session is to its ceilings, by the count and by what its own screen warns of, and has what is known
 * written into the handshake before the end.
 */
export function ceilings(job: PlanJob, { displays, alerts, chapters }: Bench, say: (line: string) => void): Work {
  const pattern = new RegExp(job.pattern, "u");
  let shown = "";
  let updated: { number: number; share: number } | null = null;
  let warned = "";
  return {
    async run() {
      const standing = chapters.standing(job.target);
      if (!standing) return { exit: 0, said: `${job.target} is in no chapter` };
      const { series, number, phase, nearest } = standing;
      const warning = warningOn(displays.displayOf(job.target, null)?.screen.text() ?? [], pattern);
      if (warning?.turns) await chapters.counted(job.target, warning.turns);
      const { share } = chapters.standing(job.target) ?? standing;
      const said = `${series} #${number} ${phase}, ${Math.round(share * 100)} % of its ${nearest ?? "ceilings (it has none)"}`;
      if (said !== shown) say(said);
      shown = said;
      const near = share >= NOTICE_SHARE || (warning !== null && warning.line !== warned);
      if (warning) warned = warning.line;
      if (!near) return { exit: 0, said };
      alerts.raise("P4", `ceiling ${series}#${number}`, `${said}${warning ? `: ${warning.line}` : ""}`);
      const due = updated?.number !== number || share - updated.share >= UPDATE_STEP;
      if (job.handshake && due) {
        updated = { number, share };
        await chapters.update(
          job.target,
          warning ? `its screen says: ${warning.line}` : `it is at ${Math.round(share * 100)} % of its ${nearest}`,
        );
        say(`the handshake of ${series} is up to date`);
      }
      return { exit: 0, said };
    },
    close() {},
  };
}

function warningOn(rows: readonly string[], pattern: RegExp): { line: string; turns: number | null } | null {
  for (const row of rows.toReversed()) {
    const found = pattern.exec(row);
    if (found) return { line: row.trim(), turns: Number(found.groups?.turns) || null };
  }
  return null;
}
