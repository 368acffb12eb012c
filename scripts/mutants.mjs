/** npm run mutants [-- --only P-03 --seeds N --write]: planted bugs, held against tests and simulator (scripts/mutants-planted.ts). */
import { build, ensureDependencies, runTypeScript } from "./setup.mjs";

ensureDependencies();
build();
process.exitCode = runTypeScript("scripts/mutants-planted.ts", process.argv.slice(2));
