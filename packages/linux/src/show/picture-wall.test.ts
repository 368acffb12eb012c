import { VirtioGpu } from "@virtgpu/core/driver";
import { PhysicalDmaMap, GuestRam, RamPageAllocator } from "@virtgpu/core/memory";
import { SimHost, VirtualClock } from "@virtgpu/core/sim";
import { describe, expect, it } from "vitest";
import { PictureWall } from "./picture-wall.ts";

const RAM = 32 << 20;

async function makeGpu(clock: VirtualClock): Promise<{ readonly gpu: VirtioGpu; readonly host: SimHost }> {
  const memory = GuestRam.of(RAM);
  const host = new SimHost({ clock, memory, device: { outputs: [{ width: 640, height: 480 }, null] } });
  const allocator = new RamPageAllocator(memory, { address: 0x10000, byteLength: RAM - 0x10000 });
  const options = { transport: host.transport, clock, allocator, dma: new PhysicalDmaMap(allocator) };
  return { gpu: await clock.run(VirtioGpu.probe(options)), host };
}

const colour = (value: number): { width: number; height: number; pixels: Uint8Array } => ({
  width: 16,
  height: 16,
  pixels: new Uint8Array(16 * 16 * 4).fill(value),
});

/** The colour in the middle of what an output shows, and its size. */
function seen(host: SimHost, output: number): { readonly size: string; readonly colour: number | undefined } | null {
  const shot = host.device.screenshot(output);
  if (shot === null) return null;
  const { width, height, rgba } = shot;
  return { size: `${width}x${height}`, colour: rgba[((height >> 1) * width + (width >> 1)) * 4] };
}

describe("a wall of pictures", () => {
  it("hangs one picture an output, and follows displays that come, change and go", async () => {
    const clock = new VirtualClock({ turn: () => new Promise((resolve) => setImmediate(resolve)) });
    const { gpu, host } = await makeGpu(clock);
    const lines: string[] = [];
    const pictures = [colour(0x40), colour(0x80)];
    const wall = new PictureWall({ gpus: [gpu], pictures, all: false, say: (line) => lines.push(line) });
    host.device.setOutput(0, { width: 640, height: 480 });
    host.device.setOutput(1, null);
    await clock.advance(1000);
    await clock.run(wall.arrange());
    expect(wall.shown).toBe(1);
    expect(seen(host, 0)).toEqual({ size: "640x480", colour: 0x40 });
    host.device.setOutput(1, { width: 320, height: 200 });
    await clock.advance(2000);
    expect(seen(host, 1)).toEqual({ size: "320x200", colour: 0x80 });
    host.device.setOutput(0, { width: 800, height: 600 });
    await clock.advance(2000);
    expect(seen(host, 0)).toEqual({ size: "800x600", colour: 0x40 });
    host.device.setOutput(0, null);
    await clock.advance(2000);
    expect(wall.shown).toBe(1);
    host.device.setOutput(0, { width: 640, height: 480 });
    await clock.advance(2000);
    expect([seen(host, 0)?.colour, seen(host, 1)?.colour]).toEqual([0x40, 0x80]);
    expect(lines.filter((line) => line.endsWith("unplugged"))).toHaveLength(1);
    await wall.close();
    host.device.setOutput(0, null);
    await clock.advance(2000);
    expect(wall.shown).toBe(2);
  });
});
