import { GuestRam } from "@virtgpu/core/memory";
import { Chain, createPackedDeviceQueue, createSplitDeviceQueue } from "@virtgpu/core/virtio";
import type { FuzzTarget } from "../engine/program.ts";
import { refusing } from "./expected.ts";

const SIZE = 8;
const RAM_BYTES = 0x4000;
const ADDRESSES = { size: SIZE, descriptors: 0x1000, driver: 0x1080, device: 0x1100 };
/** A queue of eight never has more chains than it has slots before the driver must move. */
const CHAINS_MAX = 64;

/** Two linked descriptors, made available; then the same table as an indirect one. */
function seed(indirect: boolean): Uint8Array {
  const bytes = new Uint8Array(0x200);
  const view = new DataView(bytes.buffer);
  const descriptor = (slot: number, address: number, length: number, flags: number, next: number): void => {
    view.setUint32(slot * 16, address, true);
    view.setUint32(slot * 16 + 8, length, true);
    view.setUint16(slot * 16 + 12, flags, true);
    view.setUint16(slot * 16 + 14, next, true);
  };
  descriptor(0, indirect ? 0x1010 : 0x2000, indirect ? 32 : 64, indirect ? 4 : 1, 1);
  descriptor(1, 0x2100, 64, 1, indirect ? 1 : 2);
  descriptor(2, 0x2200, 64, 2, 0);
  view.setUint16(0x82, 1, true);
  return bytes;
}

const memory = GuestRam.of(RAM_BYTES);
const chain = new Chain();

export const target: FuzzTarget = {
  about: "rings of any bytes to the device's end of a split and of a packed queue",
  bytesMax: 0x210,
  seeds: () => [seed(false), seed(true)],
  fuzz: (input) => {
    const [options = 0, at = 0] = input.subarray(-2);
    for (const create of [createSplitDeviceQueue, createPackedDeviceQueue]) {
      memory.view(0, RAM_BYTES)?.fill(0);
      memory.write(0x1000, input);
      const moved = { ...ADDRESSES, descriptors: 0x1000 + (at & 0x70) };
      refusing(() => {
        const queue = create({
          memory,
          addresses: moved,
          indirect: (options & 1) !== 0,
          eventIndex: (options & 2) !== 0,
        });
        for (let taken = 0; taken < CHAINS_MAX; taken += 1) {
          if (!queue.pop(chain)) break;
          if (chain.list.count > 1024) throw new Error("a chain is longer than the list");
          queue.push(chain, 0);
          queue.flush();
        }
        queue.enableNotifications();
        queue.save();
      });
    }
  },
};
