/** Runs vitest and reads its JSON report: test names with their outcome and file. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

/** One test's outcome. `name` is the whole of it: the describes' titles, then its own. */
export interface TestOutcome {
  readonly name: string;
  readonly file: string;
  readonly passed: boolean;
}

/** A run of vitest. `outcomes` is null when it left no report; `output` is what it printed. */
export interface TestRun {
  readonly outcomes: readonly TestOutcome[] | null;
  readonly timedOut: boolean;
  readonly output: string;
}

interface VitestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** How a shell tells of SIGKILL. */
const KILLED = 137;

/** Runs `files` (or all, if there are none) below `folder`; tests left out by a filter are not among the outcomes. */
export function runVitest(
  folder: string,
  files: readonly string[],
  flags: readonly string[],
  limitMs: number,
): TestRun {
  const report = join(folder, ".cache", "requirements-report.json");
  mkdirSync(dirname(report), { recursive: true });
  rmSync(report, { force: true });
  const program = join(folder, "node_modules/vitest/vitest.mjs");
  const args = [program, "run", "--reporter=json", `--outputFile.json=${report}`, ...flags, ...files];
  // timeout(1) ends the whole process group: a worker that turns in circles would outlive its vitest.
  const limit = ["--signal=KILL", `${Math.ceil(limitMs / 1000)}`, process.execPath];
  const run = spawnSync("timeout", [...limit, ...args], { cwd: folder, encoding: "utf8", maxBuffer: 1 << 28 });
  const timedOut = run.signal === "SIGKILL" || run.status === KILLED;
  return { outcomes: readReport(report), timedOut, output: `${run.stdout}${run.stderr}` };
}

function readReport(file: string): readonly TestOutcome[] | null {
  let report: VitestReport;
  try {
    report = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return null;
  }
  return report.testResults.flatMap((suite) =>
    suite.assertionResults
      .filter((test) => test.status === "passed" || test.status === "failed")
      .map((test) => ({ name: test.fullName, file: suite.name, passed: test.status === "passed" })),
  );
}
