/** A machine for as long as a command looks at it. */
import { RamPageAllocator } from "@virtgpu/core/memory";
import { EmbeddedHost } from "../hosts/embedded/embedded-host.ts";
import type { Hardware, HostGpu, MachineHost } from "../hosts/machine.ts";
import { createNodeClock } from "../hosts/node-clock.ts";
import { QemuMachineHost, QemuMemory } from "../hosts/qemu/qemu-machine.ts";
import type { ReplayMachine } from "../trace/replay.ts";
import { UsageError } from "../usage-error.ts";

/** Switches such a machine on for as long as `use` takes. */
export async function withMachine<T>(
  hardware: Hardware,
  use: (machine: ReplayMachine & { readonly host: MachineHost }) => Promise<T>,
): Promise<T> {
  const host =
    hardware.host === "embedded"
      ? new EmbeddedHost(hardware)
      : await QemuMachineHost.start(hardware, new QemuMemory(hardware.ramBytes));
  try {
    const allocator = new RamPageAllocator(host.memory, host.usable);
    const dma = host.attach(allocator);
    return await use({ host, gpu: firstGpu(host), allocator, dma, clock: createNodeClock() });
  } finally {
    await host.stop();
  }
}

function firstGpu({ gpus }: MachineHost): HostGpu {
  const [gpu] = gpus;
  if (gpu === undefined) throw new UsageError("the machine has no GPU");
  return gpu;
}
