import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");

interface Locked {
  version?: string;
  dev?: boolean;
  hasInstallScript?: boolean;
  dependencies?: Record<string, string>;
}

test("nothing that is shipped runs a script when it is installed", () => {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, Locked>;
  };
  const own = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
    scripts: Record<string, string>;
  };
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const locked = packages[`node_modules/${name}`];
    expect(locked, name).toBeDefined();
    for (const next of Object.keys(locked!.dependencies ?? {})) visit(next);
  };
  for (const name of Object.keys(own.dependencies)) visit(name);
  expect(seen).toContain("zod");
  expect([...seen].filter((name) => packages[`node_modules/${name}`]!.hasInstallScript)).toEqual([]);
  expect(Object.keys(own.scripts).filter((name) => /^(pre|post)?install$/.test(name))).toEqual([]);
});

test("the packed package holds the program, its types, the schema and the presets, and runs", () => {
  const folder = mkdtempSync(join(tmpdir(), "bosun-pack-"));
  try {
    const [packed] = JSON.parse(
      execFileSync("npm", ["pack", "--json", "--pack-destination", folder], {
        cwd: ROOT,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }),
    ) as { filename: string }[];
    execFileSync("tar", ["-xzf", join(folder, packed!.filename), "-C", folder]);
    const root = join(folder, "package");
    for (const file of [
      "dist/bosun.js",
      "dist/cli.js",
      "dist/coordinator.js",
      "dist/daemon.js",
      "dist/http.js",
      "dist/plan.js",
      "dist/types/client/index.d.ts",
      "dist/types/protocol/index.d.ts",
      "schema/floorplan.schema.json",
      "presets/floor.yaml",
      "profiles/generic.yaml",
      "LICENSE",
    ]) {
      expect(existsSync(join(root, file)), file).toBe(true);
    }
    const bosun = (...args: string[]): string =>
      execFileSync(process.execPath, [join(root, "dist/bosun.js"), ...args], { cwd: folder, encoding: "utf8" });
    expect(bosun("--version").trim()).toMatch(/^\d+\.\d+\.\d+$/);
    bosun("init", "--preset", "solo");
    expect(bosun("check")).toMatch(/is right/);
    writeFileSync(join(folder, "floorplan.yaml"), "version: 3\n");
    expect(() => bosun("check")).toThrow();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);

/** Without a network where the kernel lets us take it away; else with one that nothing can reach. */
function offline(): string[] {
  try {
    execFileSync("unshare", ["-rn", "true"], { stdio: "ignore" });
    return ["unshare", "-rn"];
  } catch {
    return ["env", "http_proxy=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9"];
  }
}

test("S4-05: one command installs the package; afterwards it works without a network", () => {
  const folder = mkdtempSync(join(tmpdir(), "bosun-install-"));
  const env = {
    ...process.env,
    BOSUN_HOME: join(folder, "state"),
    BOSUN_TOWN: `install${process.pid}`,
    BOSUN_TMUX_SOCKET: `bosun-test-install-${process.pid}`,
  };
  const [first, ...before] = [...offline(), join(folder, "bin/bosun")];
  const bosun = (...args: string[]): string =>
    execFileSync(first!, [...before, ...args], {
      cwd: folder,
      encoding: "utf8",
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
  try {
    const [packed] = JSON.parse(
      execFileSync("npm", ["pack", "--json", "--pack-destination", folder], {
        cwd: ROOT,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }),
    ) as { filename: string }[];
    execFileSync(
      "npm",
      ["install", "--global", "--prefix", folder, "--prefer-offline", join(folder, packed!.filename)],
      {
        stdio: "ignore",
      },
    );
    expect(bosun("register", "cece-001", "Cece", "Claude")).toContain("✅ Registered session: cece-001");
    expect(bosun("memory-set", "cece-001", "k", "v")).toContain("Stored");
    expect(bosun("list")).toContain("cece-001");
  } finally {
    bosun("stop");
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}, 120_000);
