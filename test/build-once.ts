import { execFileSync } from "node:child_process";

/** The end-to-end tests run the bundles, so they are made once before anything else. */
export default function setup(): void {
  execFileSync(process.execPath, ["scripts/build.ts"], { stdio: "inherit" });
}
