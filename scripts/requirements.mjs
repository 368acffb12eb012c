/** npm run requirements [-- --json] [--prove] [--only <id>]: see scripts/requirements.ts. */
import { ensurePrograms } from "./debian.mjs";
import { build, ensureDependencies, runTypeScript } from "./setup.mjs";

ensureDependencies({ quiet: true });
ensurePrograms();
build({ quiet: true });
process.exitCode = runTypeScript("scripts/requirements.ts", process.argv.slice(2));
