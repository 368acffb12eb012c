import { VirtioGpuDevice } from "@virtgpu/core/device";
import { GuestRam } from "@virtgpu/core/memory";
import { LoopbackTransport, VirtioDevice } from "@virtgpu/core/virtio";
import type { FuzzTarget } from "../engine/program.ts";
import { refusing } from "./expected.ts";
import { plainText, toPlain } from "./plain.ts";

const outputs = [{ width: 64, height: 48 }, null];

function machine(): { readonly device: VirtioGpuDevice; readonly machinery: VirtioDevice } {
  const device = new VirtioGpuDevice({ outputs });
  return { device, machinery: new VirtioDevice({ model: device, memory: GuestRam.of(1 << 20), label: "gpu" }) };
}

export const target: FuzzTarget = {
  about: "saved states of the device and of the machinery around it",
  bytesMax: 16384,
  seeds: () => {
    const fresh = machine();
    const running = machine();
    const transport = new LoopbackTransport(running.machinery);
    for (const status of [1, 3]) transport.writeStatus(status);
    transport.writeDriverFeatures(transport.readDeviceFeatures());
    transport.writeStatus(11);
    transport.enableQueue(0, { size: 8, descriptors: 0x1000, driver: 0x2000, device: 0x3000 });
    transport.writeStatus(15);
    return [fresh, running].map(({ machinery }) => plainText(machinery.save()));
  },
  fuzz: (input) => {
    const saved = toPlain(input);
    const { machinery } = machine();
    const before = JSON.stringify(machinery.save());
    let isTaken = false;
    refusing(() => {
      machinery.restore(saved);
      isTaken = true;
    });
    if (!isTaken && JSON.stringify(machinery.save()) !== before) throw new Error("a refused state changed the device");
    machinery.save();
    machinery.reset?.();
  },
};
