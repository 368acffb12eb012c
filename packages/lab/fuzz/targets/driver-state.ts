import { VirtioGpu } from "@virtgpu/core/driver";
import { createSimMachine, type SimMachine } from "@virtgpu/core/sim";
import type { FuzzTarget } from "../engine/program.ts";
import { refusing } from "./expected.ts";
import { plainText, toPlain } from "./plain.ts";

const outputs = [{ width: 64, height: 48 }];

const turn = async (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

function machine(): SimMachine {
  return createSimMachine({ ramBytes: 1 << 20, device: { outputs }, scatter: false, poison: false, turn });
}

function load(sim: SimMachine, saved: unknown): VirtioGpu {
  const { transport, clock, allocator, dma, recorder: tracer } = sim;
  return VirtioGpu.load({ transport, clock, allocator, dma, tracer }, saved);
}

/** A driver that shows a picture and a cursor, frozen and saved. */
async function shown(): Promise<unknown> {
  const sim = machine();
  const { transport, clock, allocator, dma, recorder: tracer } = sim;
  const gpu = await clock.run(VirtioGpu.probe({ transport, clock, allocator, dma, tracer }));
  const buffer = await clock.run(gpu.createBuffer({ width: 64, height: 48 }));
  await clock.run(gpu.output(0).show(buffer));
  const saved = gpu.save();
  await clock.run(gpu.remove());
  return saved;
}

export const target: FuzzTarget = {
  about: "saved states of the driver",
  bytesMax: 8192,
  seeds: async () => [plainText(await shown()), plainText({ version: 1 })],
  fuzz: (input) => {
    const sim = machine();
    const before = sim.allocator.allocatedBytes;
    let gpu: VirtioGpu | null = null;
    refusing(() => {
      gpu = load(sim, toPlain(input));
    });
    if (gpu === null && sim.allocator.allocatedBytes !== before) throw new Error("a refused state kept pages");
    if (gpu !== null) (gpu as VirtioGpu).save();
  },
};
