import { VirtioGpu } from "@virtgpu/core/driver";
import { createSimMachine } from "@virtgpu/core/sim";
import { Chain, type DeviceHost, type DeviceModel, type DeviceQueue } from "@virtgpu/core/virtio";
import type { FuzzTarget } from "../engine/program.ts";
import { refusingLater } from "./expected.ts";
import { pack, unpack } from "./pieces.ts";

const OK_NODATA = [0, 0x11, 0, 0];
const DISPLAY_INFO = Uint8Array.from({ length: 408 }, (_, index) => [0x01, 0x11][index] ?? 0);
const VIRTUAL_MS_MAX = 600_000;

const turn = async (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

/** A host that answers whatever the input says: a configuration, then replies, which it claims to be of any length. */
class LyingModel implements DeviceModel {
  readonly deviceId = 16;
  readonly features: bigint;
  readonly queueSizes = [16, 4];
  readonly configBytes = 16;
  readonly sharedMemory = [];
  readonly #config: Uint8Array;
  readonly #replies: readonly Uint8Array[];
  #host: DeviceHost | null = null;
  #next = 0;

  constructor([config = new Uint8Array(0), ...replies]: readonly Uint8Array[]) {
    this.#config = config;
    this.#replies = replies;
    this.features = BigInt((config[16] ?? 0) & 0x1f);
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  readConfig8(offset: number): number {
    return this.#config[offset] ?? 0;
  }

  writeConfig(): void {}

  activate(): void {}

  process(index: number, queue: DeviceQueue): void {
    const chain = new Chain();
    while (queue.pop(chain)) {
      const reply = this.#replies[this.#next % Math.max(1, this.#replies.length)] ?? Uint8Array.from(OK_NODATA);
      this.#next += 1;
      const { list } = chain;
      let written = 0;
      for (let buffer = list.readable; buffer < list.count; buffer += 1) {
        const part = reply.subarray(written, written + (list.lengths[buffer] ?? 0));
        this.#host?.memory.write(list.addresses[buffer] ?? 0, part);
        written += part.length;
      }
      queue.push(chain, written);
      if (reply.length % 7 === 6) this.#host?.configChanged();
    }
    if (queue.flush()) this.#host?.queueInterrupt(index);
  }

  reset(): void {}
}

/** A driver's whole life: pictures, a sleep, an end. Whatever the host says, each step ends, well or with an error of ours. */
async function live(sim: ReturnType<typeof createSimMachine>): Promise<void> {
  const { transport, clock, allocator, dma, recorder: tracer } = sim;
  const gpu = await clock.run(VirtioGpu.probe({ transport, clock, allocator, dma, tracer }));
  try {
    await refusingLater(async () => {
      const buffer = await clock.run(gpu.createBuffer({ width: 64, height: 48 }));
      await clock.run(gpu.output(0).show(buffer));
    });
    await refusingLater(async () => clock.run(gpu.power.freeze("FREEZE")));
    await refusingLater(async () => clock.run(gpu.power.restore("THAW").complete));
  } finally {
    await refusingLater(async () => clock.run(gpu.remove()));
  }
}

export const target: FuzzTarget = {
  about: "replies and configuration of any bytes to the driver, from probe to remove, with a sleep in between",
  bytesMax: 4096,
  seeds: () => {
    const config = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    const ok = Uint8Array.from({ length: 24 }, (_, index) => OK_NODATA[index] ?? 0);
    return [
      pack([config, DISPLAY_INFO, ok, ok]),
      pack([config, ok]),
      pack([config.map((_, index) => (index === 8 ? 2 : 3)), ok]),
    ];
  },
  fuzz: async (input) => {
    const model = new LyingModel(unpack(input));
    const sim = createSimMachine({ ramBytes: 1 << 20, device: () => model, poison: false, scatter: false, turn });
    await refusingLater(async () => live(sim));
    if (sim.clock.nowMs() > VIRTUAL_MS_MAX) throw new Error("a step took longer than all budgets together");
  },
};
