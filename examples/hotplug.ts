/**
 * Follows the display: whenever an output's monitor comes, goes or changes its size, as when a viewer's window is
 * resized, a buffer of the new size is drawn and shown, and the old one given back.
 *
 *     npx tsx examples/hotplug.ts
 */
import { type GpuBuffer, type Output, VirtioGpu } from "@virtgpu/core/driver";
import { drawDesktop } from "./support/desktop.ts";
import { createMachine } from "./support/machine.ts";

const { device, driver } = createMachine();
const gpu = await VirtioGpu.probe(driver);
const shown = new Map<number, GpuBuffer>();

/** Brings an output to what its monitor prefers now. */
async function follow(output: Output): Promise<void> {
  const before = shown.get(output.index);
  const mode = output.connector.connected ? output.connector.modes[0] : undefined;
  if (mode === undefined) {
    await output.disable();
    shown.delete(output.index);
    console.log(`output ${output.index}: nobody looks`);
  } else {
    const buffer = await gpu.createBuffer({ width: mode.width, height: mode.height });
    drawDesktop(buffer);
    await output.show(buffer);
    shown.set(output.index, buffer);
    console.log(`output ${output.index}: ${mode.width}x${mode.height}`);
  }
  before?.destroy();
}

// One change after another: a handler that takes its time must not overtake itself.
let work = Promise.resolve();
gpu.onHotplug(({ changes }) => {
  for (const { output } of changes) work = work.then(() => follow(gpu.output(output)));
});
for (const output of gpu.outputs) await follow(output);

/** Lets the event reach the driver, and what it does about it end. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
  await work;
}

console.log("the viewer's window is resized");
device.setOutput(0, { width: 800, height: 600 });
await settle();
console.log("the second monitor is unplugged, and another one plugged in");
device.setOutput(1, null);
await settle();
device.setOutput(1, { width: 512, height: 384 });
await settle();

for (const { index } of gpu.outputs) {
  const shot = device.screenshot(index);
  console.log(`the device shows on output ${index}: ${shot?.width}x${shot?.height}`);
}
console.log(`resources on the host: ${device.usage.resources}`);
await gpu.remove();
