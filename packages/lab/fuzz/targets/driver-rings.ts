import { GuestRam } from "@virtgpu/core/memory";
import {
  createPackedDriverQueue,
  createSplitDriverQueue,
  DescriptorList,
  packedLayout,
  splitLayout,
} from "@virtgpu/core/virtio";
import type { FuzzTarget } from "../engine/program.ts";

const SIZE = 8;
const ADDRESS = 0x1000;
const ROUND_BYTES = 72;

const shape = { size: SIZE, indirectEntries: 4 };
const [split, packed] = [splitLayout(shape), packedLayout(shape)];
const layouts = [
  { create: createSplitDriverQueue, byteLength: split.byteLength, usedAt: split.device },
  { create: createPackedDriverQueue, byteLength: packed.byteLength, usedAt: 0 },
];

export const target: FuzzTarget = {
  about: "used rings of any bytes to the driver's end of a split and of a packed queue",
  bytesMax: 16 * ROUND_BYTES,
  seeds: () => [new Uint8Array(ROUND_BYTES), new Uint8Array(2 * ROUND_BYTES).fill(1)],
  fuzz: (input) => {
    for (const { create, byteLength, usedAt } of layouts) {
      const ram = GuestRam.of(0x4000);
      const memory = ram.ringMemory(ADDRESS, byteLength);
      const queue = create({
        size: SIZE,
        indirectEntries: 4,
        eventIndex: (input[0] ?? 0) > 127,
        memory,
        address: ADDRESS,
      });
      const list = new DescriptorList();
      list.pushReadable(0x2000, 64);
      list.pushWritable(0x2100, 64);
      for (let at = 0; at < input.length; at += ROUND_BYTES) {
        queue.add(list);
        queue.shouldNotify();
        ram.write(ADDRESS + usedAt, input.subarray(at, at + ROUND_BYTES));
        for (let popped = 0; queue.pop(); popped += 1) {
          if (popped > SIZE) throw new Error("more was used than was outstanding");
          if (queue.used.byteLength > 64) throw new Error("the device wrote more than it may");
          if (queue.used.id < 0 || queue.used.id >= SIZE) throw new Error("an id that nobody gave");
        }
        if (queue.outstanding < 0 || queue.outstanding > SIZE) throw new Error("what is outstanding can't be");
        queue.enableInterrupts();
      }
    }
  },
};
