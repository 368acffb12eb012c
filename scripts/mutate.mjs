/** npm run mutate [-- FILE... --budget MS --write]: the share of small changes that tests notice (scripts/mutants-score.ts). */
import { build, ensureDependencies, runTypeScript } from "./setup.mjs";

ensureDependencies();
build();
process.exitCode = runTypeScript("scripts/mutants-score.ts", process.argv.slice(2));
