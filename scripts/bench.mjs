/** npm run bench [-- --json]: installs and builds what is needed, then measures (see scripts/bench.ts). */
import { build, ensureDependencies, runTypeScript } from "./setup.mjs";

ensureDependencies({ quiet: true });
build({ quiet: true });
process.exitCode = runTypeScript("scripts/bench.ts", process.argv.slice(2));
