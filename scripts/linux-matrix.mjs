/** npm run linux-matrix [-- --shard i/n --only TEXT --times --again]: see packages/lab/scripts/linux-matrix.ts. */
import { ensurePrograms } from "./debian.mjs";
import { build, ensureDependencies, runTypeScript } from "./setup.mjs";

ensureDependencies();
ensurePrograms();
build();
process.exitCode = runTypeScript("packages/lab/scripts/linux-matrix.ts", process.argv.slice(2));
