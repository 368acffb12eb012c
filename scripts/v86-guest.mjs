/** npm run v86-guest -- [--kernel FILE --modules FOLDER] [--initrd FILE] FOLDER: see packages/lab/scripts/v86-guest.ts. */
import { build, ensureDependencies, runTypeScript } from "./setup.mjs";

ensureDependencies();
build();
process.exitCode = runTypeScript("packages/lab/scripts/v86-guest.ts", process.argv.slice(2));
