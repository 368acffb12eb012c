/**
 * Asks a real QEMU every 2D command and writes requests and replies, byte for byte, to the core's golden file.
 *
 *   npx tsx packages/lab/scripts/capture-golden.ts
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { QemuHost } from "../src/hosts/qemu/qemu-host.ts";
import { GOLDEN_OUTPUTS } from "../test/support/golden-plan.ts";
import { captureGolden } from "../test/support/golden.ts";

await using host = await QemuHost.start({ ramBytes: 32 << 20, devices: [{ outputs: GOLDEN_OUTPUTS }] });
const golden = await captureGolden(host);
const folder = fileURLToPath(new URL("../../core/test/golden/", import.meta.url));
mkdirSync(folder, { recursive: true });
const path = `${folder}qemu-${golden.qemu.split(".").slice(0, 2).join(".")}.json`;
writeFileSync(path, `${JSON.stringify(golden, null, 2)}\n`);
console.log(`${golden.exchanges.length} exchanges with QEMU ${golden.qemu} written to ${path}`);
