/** A machine in this process: guest memory, a virtio-gpu device on it, and what a driver needs to reach that. */
import type { Clock } from "@virtgpu/core/base";
import { MemoryRenderer, VirtioGpuDevice, type VirtioGpuDeviceOptions } from "@virtgpu/core/device";
import type { VirtioGpuOptions } from "@virtgpu/core/driver";
import { GuestRam, PhysicalDmaMap, RamPageAllocator } from "@virtgpu/core/memory";
import { LoopbackTransport, VirtioDevice } from "@virtgpu/core/virtio";

const RAM_BYTES = 32 << 20;
const PAGE_BYTES = 4096;

/** Node's time, as the driver wants it. */
export const clock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  defer: (callback) => queueMicrotask(callback),
};

/** See the file's head. */
export interface Machine {
  readonly ram: Uint8Array;
  readonly device: VirtioGpuDevice;
  readonly driver: VirtioGpuOptions;
}

/** A machine with two outputs, switched on. `image`: what its memory holds. `options`: what its device has else. */
export function createMachine(
  image: Uint8Array = new Uint8Array(RAM_BYTES),
  options: VirtioGpuDeviceOptions = {},
): Machine {
  const memory = new GuestRam([{ address: 0, buffer: image }]);
  const device = new VirtioGpuDevice({
    outputs: [
      { width: 640, height: 400 },
      { width: 400, height: 300 },
    ],
    blob: true,
    renderer: new MemoryRenderer(),
    ...options,
  });
  const transport = new LoopbackTransport(new VirtioDevice({ model: device, memory, label: "gpu0" }));
  const allocator = new RamPageAllocator(memory, { address: PAGE_BYTES, byteLength: RAM_BYTES - PAGE_BYTES });
  return { ram: image, device, driver: { transport, clock, allocator, dma: new PhysicalDmaMap(allocator) } };
}
