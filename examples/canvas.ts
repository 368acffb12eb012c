/**
 * A device that draws to a canvas, as a virtual machine in a browser has it: a DisplaySink that copies nothing but what
 * changed. The canvas here is an array of RGBA bytes; in a page it is an ImageData, put with `putImageData(image, 0, 0,
 * rect.x, rect.y, rect.width, rect.height)`.
 *
 *     npx tsx examples/canvas.ts
 */
import type { DisplaySink, ScanoutPixels } from "@virtgpu/core/device";
import { VirtioGpu } from "@virtgpu/core/driver";
import { drawDesktop } from "./support/desktop.ts";
import { createMachine } from "./support/machine.ts";

class Canvas implements DisplaySink {
  width = 0;
  height = 0;
  rgba: Uint8ClampedArray = new Uint8ClampedArray(0);

  /** Another picture, or another size: all of it is new. */
  scanout(output: number, pixels: ScanoutPixels | null): void {
    if (output !== 0) return;
    this.width = pixels?.width ?? 0;
    this.height = pixels?.height ?? 0;
    this.rgba = new Uint8ClampedArray(this.width * this.height * 4);
    if (pixels === null) return;
    console.log(`canvas: ${this.width}x${this.height}`);
    this.#copy({ x: 0, y: 0, width: this.width, height: this.height }, pixels);
  }

  /** A rectangle has new contents. */
  flush(output: number, rect: Parameters<DisplaySink["flush"]>[1], pixels: ScanoutPixels): void {
    if (output === 0) this.#copy(rect, pixels);
  }

  /** A page moves an element over the canvas instead of drawing into it. */
  updateCursor(): void {}
  moveCursor(): void {}
  hideCursor(): void {}

  #copy(rect: Parameters<DisplaySink["flush"]>[1], pixels: ScanoutPixels): void {
    const stride = this.width * 4;
    pixels.readRgba(rect, this.rgba, rect.y * stride + rect.x * 4, stride);
    console.log(`copied ${rect.width}x${rect.height} at ${rect.x},${rect.y}`);
  }
}

const canvas = new Canvas();
const { device, driver } = createMachine(undefined, { sink: canvas });
const gpu = await VirtioGpu.probe(driver);
const buffer = await gpu.createBuffer({ width: 640, height: 400 });
drawDesktop(buffer);
await gpu.output(0).show(buffer);

// A square of 16x16 pixels changes: that is all that is copied.
const square = { x: 300, y: 200, width: 16, height: 16 };
const white = new Uint8Array(square.width * 4).fill(0xff);
for (let y = square.y; y < square.y + square.height; y += 1) {
  buffer.write((y * buffer.width + square.x) * 4, white);
}
await buffer.flush(square);

const shot = device.screenshot(0);
const isSame = shot !== null && Buffer.compare(shot.rgba, new Uint8Array(canvas.rgba.buffer)) === 0;
console.log(isSame ? "the canvas shows what the device shows" : "the canvas shows something else");
await gpu.remove();
process.exitCode = isSame ? 0 : 1;
