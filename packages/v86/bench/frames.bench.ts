/**
 * Frames of a Linux guest in v86, in Node: the same program in the same guest on this device and on v86's own VGA; and what
 * a frame costs a canvas.
 */
import type { BenchRow } from "../../../scripts/bench.ts";
import { RgbaImage } from "../src/sinks/rgba-image.ts";
import { FakePicture } from "../test/support/fake-canvas.ts";
import { TestMachine } from "../test/support/machine.ts";

const FLIPS = 200;
const DAMAGES = 2000;
const ROUNDS = 7;
const FRAMES = 20;
const SIZE = { width: 1024, height: 768 } as const;

interface Speeds {
  readonly flips: number;
  readonly damages: number;
}

/** Per second, the better of two runs. */
async function rate(machine: TestMachine, line: string): Promise<number> {
  let best = 0;
  for (let run = 0; run < 2; run += 1) {
    const said = /kms: (\d+) in (\d+) ms/.exec(await machine.run(line));
    if (said === null) throw new Error(`the guest did not say how long "${line}" took: ${machine.output.slice(-500)}`);
    best = Math.max(best, (Number(said[1]) * 1000) / Math.max(1, Number(said[2])));
  }
  return best;
}

async function speeds(kernelArguments: string): Promise<Speeds> {
  const machine = await TestMachine.boot({ outputs: [SIZE], arguments: kernelArguments });
  try {
    return { flips: await rate(machine, `kms flip ${FLIPS}`), damages: await rate(machine, `kms damage ${DAMAGES}`) };
  } finally {
    await machine.stop();
  }
}

/** Milliseconds of the quickest of several rounds. */
function frameMs(frame: () => void): number {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now();
    for (let count = 0; count < FRAMES; count += 1) frame();
    best = Math.min(best, (performance.now() - start) / FRAMES);
  }
  return best;
}

function row(name: string, value: number, unit: string, against: number | null): BenchRow {
  return { name, value, unit, against, ratio: against === null ? null : value / against, target: "", met: null };
}

export async function rows(): Promise<readonly BenchRow[]> {
  const picture = new FakePicture(SIZE.width, SIZE.height);
  const whole = { x: 0, y: 0, ...SIZE };
  const quick = new RgbaImage(SIZE.width, SIZE.height);
  const slow = new Uint8ClampedArray(SIZE.width * SIZE.height * 4);
  const quickMs = frameMs(() => quick.put(picture, whole));
  const slowMs = frameMs(() => picture.readRgba(whole, slow, 0, SIZE.width * 4));
  const gpu = await speeds("");
  const vga = await speeds("display=vga");
  return [
    row("v86, 1024x768 page flips with fill, against v86's VGA", gpu.flips, "flips/s", vga.flips),
    row("v86, 64x64 damage with fill, against v86's VGA", 1e6 / gpu.damages, "us", 1e6 / vga.damages),
    row("2D canvas, 1024x768 to RGBA, against the core's loop", quickMs, "ms", slowMs),
  ];
}
