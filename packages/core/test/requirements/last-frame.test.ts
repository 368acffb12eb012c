/**
 * What somebody in front of the screen sees of a freeze: the last frame that was shown stays there, whole, until the output
 * goes dark.
 */
import { describe, expect, it } from "vitest";
import type { DisplaySink, ScanoutPixels } from "../../src/device/index.ts";
import type { FreezeMessage } from "../../src/base/power.ts";
import type { GpuBuffer } from "../../src/driver/index.ts";
import { type BenchOptions, DriverBench, paint, rgbaOf, turn } from "../support/driver-bench.ts";
import { SCENE_DEVICE } from "../support/scene.ts";

/** Sees new pixels only where they were flushed, and remembers what was on an output that went dark. */
class Onlooker implements DisplaySink {
  readonly #last: Map<number, Uint8Array> = new Map();
  readonly #seen: Map<number, Uint8Array> = new Map();

  /** What is on an output, or was when it went dark. */
  picture(output: number): Uint8Array {
    return this.#seen.get(output) ?? this.#last.get(output) ?? new Uint8Array();
  }

  scanout(output: number, pixels: ScanoutPixels | null): void {
    const before = this.#seen.get(output);
    if (pixels !== null) this.#seen.set(output, wholeOf(pixels));
    else if (before !== undefined) {
      this.#last.set(output, before);
      this.#seen.delete(output);
    }
  }

  flush(output: number, rect: Parameters<DisplaySink["flush"]>[1], pixels: ScanoutPixels): void {
    const seen = this.#seen.get(output);
    if (seen === undefined) return;
    pixels.readRgba(rect, seen, (rect.y * pixels.width + rect.x) * 4, pixels.width * 4);
  }

  updateCursor(): void {}
  moveCursor(): void {}
  hideCursor(): void {}
}

function wholeOf(pixels: ScanoutPixels): Uint8Array {
  const { width, height } = pixels;
  const rgba = new Uint8Array(width * height * 4);
  pixels.readRgba({ x: 0, y: 0, width, height }, rgba, 0, width * 4);
  return rgba;
}

const [WIDTH, HEIGHT] = [64, 48];
/** A host's answer takes so long that a freeze does not come by the end of a frame for free. */
const ANSWER_MS = 3;

const ways: readonly (readonly [string, FreezeMessage, BenchOptions])[] = [
  ["FREEZE", "FREEZE", {}],
  ["QUIESCE", "QUIESCE", {}],
  ["SUSPEND with a reset", "SUSPEND", { transport: "pci", features: { suspend: false } }],
  ["SUSPEND of a device that rests", "SUSPEND", { transport: "pci", pci: { noSoftReset: true } }],
];

async function start(options: BenchOptions, blob: boolean) {
  const bench = await DriverBench.start({ ...options, device: { ...SCENE_DEVICE, blob } });
  const onlooker = new Onlooker();
  bench.host.device.setSink(onlooker);
  const shown = await bench.show(0, WIDTH, HEIGHT);
  // Much that a freeze takes down, besides what is lit.
  for (let count = 0; count < 20; count += 1) await bench.buffer(16, 16);
  bench.host.transport.faults.delayInterruptsMs = ANSWER_MS;
  return { bench, onlooker, shown };
}

/** A user's call whose end the freeze overtakes. */
function overtaken(work: Promise<unknown>): void {
  work.catch(() => {});
}

/** The host has not answered the frame before: the next one has to wait for that. */
async function frameUnderWay(buffer: GpuBuffer): Promise<void> {
  paint(buffer, 97);
  overtaken(buffer.flush());
  await turn();
}

describe.each([true, false])("the last frame before a freeze (blob: %s)", (blob) => {
  it.each(ways)("stays on the screen, though nobody waited for its flush: %s", async (_, message, options) => {
    const { bench, onlooker, shown } = await start(options, blob);
    await frameUnderWay(shown);
    paint(shown, 99);
    overtaken(shown.flush());
    await bench.freeze(message);
    expect(Buffer.compare(onlooker.picture(0), rgbaOf(shown))).toBe(0);
    bench.expectNoErrors();
  });

  it.each(ways)("stays on the screen, though its buffer was only just shown: %s", async (_, message, options) => {
    const { bench, onlooker, shown } = await start(options, blob);
    const next = await bench.buffer(WIDTH, HEIGHT);
    await frameUnderWay(shown);
    paint(next, 98);
    overtaken(next.flush());
    overtaken(bench.gpu.output(0).show(next));
    await bench.freeze(message);
    expect(Buffer.compare(onlooker.picture(0), rgbaOf(next))).toBe(0);
    bench.expectNoErrors();
  });
});
