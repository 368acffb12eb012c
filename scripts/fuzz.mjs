/** npm run fuzz [-- TARGET... --time SECONDS --seed N]: coverage-guided fuzzing (see packages/lab/fuzz/run.ts). */
import { build, ensureDependencies, runTypeScript } from "./setup.mjs";

ensureDependencies();
build();
process.exitCode = runTypeScript("packages/lab/fuzz/run.ts", process.argv.slice(2));
