/**
 * Holds our device against a real QEMU, on random sequences of commands:
 *
 *   npm run differential -- --runs 10000 --seed 1
 *
 * Ends with 1 at the first difference that the table of differences does not explain, with a short sequence that shows
 * it and the words that replay it.
 */
import { parseArgs } from "node:util";
import { ModelSide } from "../src/oracle/model-side.ts";
import { QemuSide } from "../src/oracle/side.ts";
import { runDifferential } from "../test/support/differential.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "1000" },
    seed: { type: "string" },
    path: { type: "string" },
  },
});
const runs = Number(values.runs);
const seed = values.seed === undefined ? Date.now() % 0x7fffffff : Number(values.seed);
if (!Number.isSafeInteger(runs) || runs < 1 || !Number.isSafeInteger(seed)) {
  console.error("differential: --runs and --seed are whole numbers");
  process.exit(2);
}

console.log(`seed ${seed}, ${runs} sequences`);
await using qemu = await QemuSide.start();
const start = performance.now();
const report = await runDifferential({
  qemu,
  other: new ModelSide(),
  runs,
  seed,
  path: values.path,
  onSequence: (done) => {
    if (done % 1000 === 0)
      console.log(`${done} sequences, ${((done * 1000) / (performance.now() - start)).toFixed(0)}/s`);
  },
});
const seconds = (performance.now() - start) / 1000;
for (const line of report.coverage.lines()) console.log(line);
console.log(
  `${report.sequences} sequences, ${report.requests} requests in ${seconds.toFixed(1)} s: ` +
    `${(report.sequences / seconds).toFixed(0)} sequences/s, ${(report.requests / seconds).toFixed(0)} requests/s`,
);
if (report.failure === null) console.log("no difference but those of the table");
else console.error(report.failure);
process.exitCode = report.failure === null ? 0 : 1;
