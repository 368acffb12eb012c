/**
 * A picture on an output: a device in this process, a driver that finds it, a buffer with pixels in it, shown. What the
 * device then shows lies in report/picture.png.
 *
 *     npx tsx examples/picture.ts
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { VirtioGpu } from "@virtgpu/core/driver";
import { drawDesktop } from "./support/desktop.ts";
import { createMachine } from "./support/machine.ts";
import { encodePng } from "./support/png.ts";

const { device, driver } = createMachine();

const gpu = await VirtioGpu.probe(driver);
const [output] = gpu.outputs;
const mode = output?.connector.modes[0];
if (output === undefined || mode === undefined) throw new Error("there is no output with a mode");
console.log(`${gpu.label}: ${gpu.outputs.length} outputs, the first prefers ${mode.width}x${mode.height}`);

const buffer = await gpu.createBuffer({ width: mode.width, height: mode.height });
drawDesktop(buffer);
await output.show(buffer);

const shot = device.screenshot(output.index);
if (shot === null) throw new Error("the output is dark");
mkdirSync("report", { recursive: true });
writeFileSync("report/picture.png", encodePng(shot.width, shot.height, shot.rgba));
console.log(`shown: ${shot.width}x${shot.height} pixels, in report/picture.png`);

await gpu.remove();
