/**
 * npm start [-- <arguments>]: installs and builds what is needed, then shows a hibernation: with the command `virtgpu
 * hibernate` of the lab where that is there, else with the example.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build, ensureDependencies, fail, root, run, runTypeScript } from "./setup.mjs";

const args = process.argv.slice(2);
const example = "examples/hibernate.ts";

/** The lab's command, or null as long as it offers none. */
function labCommand() {
  const lab = JSON.parse(readFileSync(join(root, "packages/lab/package.json"), "utf8"));
  return lab.bin?.virtgpu === undefined ? null : join(root, "packages/lab", lab.bin.virtgpu);
}

const command = labCommand();
if (command === null && !existsSync(join(root, example))) {
  fail(`there is nothing to start: neither the lab's command nor ${example} exists in this tree`);
}
ensureDependencies();
build();
process.exitCode =
  command === null ? runTypeScript(example, args) : run(process.execPath, [command, "hibernate", ...args]);
