/** npm run simulate [-- --seed N --runs N ...]: whole machines on a virtual clock (see docs/simulation.md). */
import { join } from "node:path";
import { build, ensureDependencies, root, run } from "./setup.mjs";

ensureDependencies();
build();
process.exitCode = run(process.execPath, [join(root, "packages/lab/dist/simulate/main.js"), ...process.argv.slice(2)]);
