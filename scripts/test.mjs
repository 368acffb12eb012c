/**
 * npm test [-- <vitest arguments>]: installs and builds what is needed, runs the tests, and ends with the line
 * `N passed, N failed`. A test that was switched off counts as failed, unless a name filter (-t) left it out.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ensurePrograms } from "./debian.mjs";
import { build, cache, ensureDependencies, runTool } from "./setup.mjs";

const args = process.argv.slice(2);

/** What a run that left no report comes to. @type {{ passed: number, failed: number, skipped: string[] }} */
const noReport = { passed: 0, failed: 1, skipped: [] };

/** Counts what vitest reports; null when it left no report. */
function readCounts(file, isFiltered) {
  let report;
  try {
    report = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return null;
  }
  const counts = { ...noReport, failed: 0, skipped: [] };
  for (const suite of report.testResults) {
    const failedBefore = counts.failed;
    for (const test of suite.assertionResults) {
      if (test.status === "passed") counts.passed += 1;
      else if (test.status === "failed") counts.failed += 1;
      else if (!isFiltered) counts.skipped.push(test.fullName);
    }
    // A file that fails as a whole (it does not load, a hook throws) is one failure.
    if (suite.status === "failed" && counts.failed === failedBefore) counts.failed += 1;
  }
  return counts;
}

// Whatever ends this command early (no dependencies, a build that fails), it still ends with a count.
let lastLine = `${noReport.passed} passed, ${noReport.failed} failed`;
process.on("exit", () => console.log(lastLine));

ensureDependencies();
ensurePrograms();
build();

const report = join(cache, "test-report.json");
mkdirSync(cache, { recursive: true });
rmSync(report, { force: true });
const code = runTool("vitest/vitest.mjs", [
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${report}`,
  ...args,
]);

const isFiltered = args.some((arg) => /^(-t|--testNamePattern)(=|$)/.test(arg));
const counts = readCounts(report, isFiltered) ?? noReport;
for (const name of counts.skipped) console.log(`switched off, counted as failed: ${name}`);
let failed = counts.failed + counts.skipped.length;
// No test at all, or a failure that belongs to no test (a crash, an unhandled rejection), is a failure too.
if (failed === 0 && (code !== 0 || counts.passed === 0)) failed = 1;
lastLine = `${counts.passed} passed, ${failed} failed`;
process.exitCode = failed === 0 ? 0 : 1;
