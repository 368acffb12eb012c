/** npm run differential [-- --runs N --seed N]: our device against a real QEMU (see packages/lab/scripts/differential.ts). */
import { ensurePrograms } from "./debian.mjs";
import { build, ensureDependencies, runTypeScript } from "./setup.mjs";

ensureDependencies();
ensurePrograms();
build();
process.exitCode = runTypeScript("packages/lab/scripts/differential.ts", process.argv.slice(2));
