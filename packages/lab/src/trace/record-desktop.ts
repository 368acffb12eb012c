/**
 * A desktop's life, recorded: two pictures, a cursor, a buffer off screen, damage, a sleep or several.
 */
import { VirtioGpu } from "@virtgpu/core/driver";
import { Format } from "@virtgpu/core/wire";
import type { Hardware, MachineHost } from "../hosts/machine.ts";
import { deviceMemory } from "./device-memory.ts";
import type { ReplayMachine } from "./replay.ts";
import { TraceRecorder } from "./trace-recorder.ts";

/** What is needed. */
export interface RecordDesktopParts extends ReplayMachine {
  readonly host: MachineHost;
  readonly hardware: Hardware;
  /** The file to write, and what errors call it. */
  readonly path: string;
  readonly name?: string;
  /** Freezes and restores, one after the other. */
  readonly sleeps: number;
}

const CURSOR_SIZE = 64;
const HIDDEN_SIZE = 48;

/** Records it. Throws as the driver does, and GpuError where the file can't be written. */
export async function recordDesktop(parts: RecordDesktopParts): Promise<void> {
  const { host, hardware, gpu: hostGpu, allocator, dma, clock, sleeps } = parts;
  const recorder = new TraceRecorder({
    path: parts.path,
    name: parts.name ?? parts.path,
    append: false,
    header: { host: host.label, outputs: hardware.outputs },
    memory: deviceMemory(host.memory, dma),
    nowMs: () => clock.nowMs(),
  });
  try {
    const gpu = await VirtioGpu.probe({ transport: hostGpu.connect(), allocator, dma, clock, tracer: recorder });
    await draw(gpu, hardware.outputs);
    await look(parts, recorder);
    for (let sleep = 0; sleep < sleeps; sleep += 1) {
      await gpu.power.freeze("FREEZE");
      await gpu.power.restore("RESTORE").complete;
      await look(parts, recorder);
    }
    await gpu.remove();
  } catch (error) {
    recorder.end();
    throw error;
  }
  recorder.close();
}

async function draw(gpu: VirtioGpu, outputs: Hardware["outputs"]): Promise<void> {
  for (const [index, { width, height }] of outputs.entries()) {
    const buffer = await gpu.createBuffer({ width, height });
    paint(buffer, index);
    await gpu.output(index).show(buffer);
    paint(buffer, index + 7, { y: 0, height: Math.min(16, height) });
    await buffer.flush({ x: 0, y: 0, width, height: Math.min(16, height) });
  }
  const hidden = await gpu.createBuffer({ width: HIDDEN_SIZE, height: HIDDEN_SIZE });
  paint(hidden, 99);
  await hidden.flush();
  const arrow = await gpu.createBuffer({ width: CURSOR_SIZE, height: CURSOR_SIZE, format: Format.B8G8R8A8 });
  paint(arrow, 5);
  await gpu.output(0).cursor.set(arrow);
  await gpu.output(0).cursor.move(40, 30);
}

/** Stripes and ramps: a picture in which every shift shows. */
function paint(
  buffer: { readonly width: number; readonly height: number; map(use: (pixels: Uint8Array) => void): void },
  seed: number,
  rows: { readonly y: number; readonly height: number } = { y: 0, height: buffer.height },
): void {
  buffer.map((pixels) => {
    const words = new Uint32Array(pixels.buffer, pixels.byteOffset, buffer.width * buffer.height);
    for (let y = rows.y; y < rows.y + rows.height; y += 1) {
      for (let x = 0; x < buffer.width; x += 1) {
        words[y * buffer.width + x] =
          (0xff000000 | ((x * 3 + seed * 40) << 16) | ((y * 2) << 8) | ((x ^ y) & 0xff)) >>> 0;
      }
    }
  });
}

/** What each output shows now. */
async function look({ gpu, hardware }: RecordDesktopParts, recorder: TraceRecorder): Promise<void> {
  for (const output of hardware.outputs.keys()) {
    recorder.picture(gpu.label, output, await gpu.picture(output));
    recorder.check();
  }
}
