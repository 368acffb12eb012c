/**
 * npm run check [-- --fix]: everything that can be said about the code without running its tests. One line a step, the
 * step's own output where it failed. --fix formats first.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ensureDependencies, packagesWithSources, root } from "./setup.mjs";

const isFixing = process.argv.includes("--fix");
const wireGenerator = "packages/core/scripts/generate-wire.ts";

const tool = (file, ...args) => [join(root, "node_modules", file), ...args];
const typeScript = (file, ...args) => ["--import", "tsx", join(root, file), ...args];
const sources = packagesWithSources().map((folder) => `${folder}/src`);

ensureDependencies();

/** Each step: what it is, and the arguments for Node. */
const steps = [
  {
    name: isFixing ? "format (written)" : "format",
    args: tool("@biomejs/biome/bin/biome", "format", ...(isFixing ? ["--write"] : []), "."),
  },
  { name: "types", args: tool("typescript/bin/tsc", "-b") },
  { name: "lint", args: tool("oxlint/bin/oxlint", "--type-aware", "--deny-warnings") },
  {
    name: "import boundaries",
    args: tool("dependency-cruiser/bin/dependency-cruise.mjs", "--config", ".dependency-cruiser.mjs", ...sources),
  },
  { name: "tidy", args: typeScript("scripts/tidy.ts") },
];
if (existsSync(join(root, wireGenerator))) {
  steps.push({ name: "generated wire code is fresh", args: typeScript(wireGenerator, "--check") });
}

const failures = [];
for (const step of steps) {
  const start = process.hrtime.bigint();
  const result = spawnSync(process.execPath, step.args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
  const seconds = Number((process.hrtime.bigint() - start) / 1_000_000n) / 1000;
  console.log(`${result.status === 0 ? "ok  " : "FAIL"}  ${step.name} (${seconds.toFixed(1)} s)`);
  if (result.status === 0) continue;
  failures.push(step.name);
  console.log(`${result.stdout}${result.stderr}${result.error ?? ""}`.trimEnd());
}
console.log(failures.length === 0 ? "check: all is well" : `check: failed: ${failures.join(", ")}`);
process.exitCode = failures.length === 0 ? 0 : 1;
