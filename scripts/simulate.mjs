/** npm run simulate [-- --seed N --runs N ...]: whole machines on a virtual clock (see docs/simulation.md). */
import { build, ensureDependencies } from "./setup.mjs";

ensureDependencies();
build();
// In this process, so that a signal ends it all.
await import("../packages/lab/dist/simulate/main.js");
