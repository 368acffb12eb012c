/** npm run docs: writes the API documentation to docs/api. An export without documentation is an error. */
import { ensureDependencies, runTool } from "./setup.mjs";

ensureDependencies();
process.exitCode = runTool("typedoc/bin/typedoc", process.argv.slice(2));
