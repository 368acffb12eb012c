/**
 * Asks a real QEMU every 2D command and writes requests and replies, byte for byte, to the core's golden file.
 *
 *   npx tsx packages/lab/scripts/capture-golden.ts
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { QemuHost } from "../src/hosts/qemu/qemu-host.ts";
import { GOLDEN_OUTPUTS } from "../test/support/golden-plan.ts";
import { captureGolden, goldenPath, goldenText } from "../test/support/golden.ts";

await using host = await QemuHost.start({ ramBytes: 32 << 20, devices: [{ outputs: GOLDEN_OUTPUTS }] });
const golden = await captureGolden(host);
const path = goldenPath(golden.qemu);
mkdirSync(new URL(".", path), { recursive: true });
writeFileSync(path, goldenText(golden));
console.log(
  `${golden.plain.length + golden.fenced.length} exchanges with QEMU ${golden.qemu} written to ${path.pathname}`,
);
