/** npm run soak [-- --hours N | --minutes N]: hours of virtual time (8), or minutes of real time, with flat memory. */
import { parseArgs } from "node:util";
import { ensureDependencies, fail, root, run } from "./setup.mjs";
import { join } from "node:path";

const text = { type: "string" };
const { values } = parseArgs({ options: { hours: text, minutes: text } });
const [amount, unit] = values.minutes === undefined ? [values.hours ?? "8", "h"] : [values.minutes, "m"];
if (!/^[1-9]\d{0,3}$/.test(amount)) fail(`--${unit === "h" ? "hours" : "minutes"} takes a whole number, not ${amount}`);

ensureDependencies();
process.exitCode = run(
  process.execPath,
  [join(root, "node_modules/vitest/vitest.mjs"), "run", "--no-isolate", "packages/core/test/soak.test.ts"],
  { env: { ...process.env, VIRTGPU_SOAK: `${amount}${unit}` } },
);
