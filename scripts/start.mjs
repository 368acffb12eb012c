/**
 * npm start [-- <arguments>]: installs and builds what is needed, then shows a hibernation with the command
 * `virtgpu hibernate`.
 */
import { join } from "node:path";
import { build, ensureDependencies, root, run } from "./setup.mjs";

ensureDependencies();
// Standard output is the command's own: with --json it is one object and nothing else.
build({ quiet: true });
const command = join(root, "packages/lab/bin/virtgpu.js");
process.exitCode = run(process.execPath, [command, "hibernate", ...process.argv.slice(2)]);
