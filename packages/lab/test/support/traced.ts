/** A machine whose driver is recorded, and one to play the recording on. */
import { VirtioGpu } from "@virtgpu/core/driver";
import { RamPageAllocator } from "@virtgpu/core/memory";
import { EmbeddedHost } from "../../src/hosts/embedded/embedded-host.ts";
import type { Hardware, HostGpu, MachineHost } from "../../src/hosts/machine.ts";
import { createNodeClock } from "../../src/hosts/node-clock.ts";
import { QemuMachineHost, QemuMemory } from "../../src/hosts/qemu/qemu-machine.ts";
import { deviceMemory } from "../../src/trace/device-memory.ts";
import type { ReplayMachine } from "../../src/trace/replay.ts";
import { TraceRecorder } from "../../src/trace/trace-recorder.ts";

const MIB = 1 << 20;

/** Two outputs, and a device of this type with these properties. */
export function hardware(
  host: Hardware["host"],
  type: string = "virtio-gpu-pci",
  properties: Readonly<Record<string, string>> = {},
): Hardware {
  const outputs = [
    { width: 320, height: 200 },
    { width: 128, height: 96 },
  ];
  return {
    id: "00000000-0000-4000-8000-000000000001",
    host,
    ramBytes: 32 * MIB,
    outputs,
    device: { type, properties },
    qemu: null,
    machine: null,
  };
}

async function startHost(parts: Hardware): Promise<MachineHost> {
  if (parts.host === "embedded") return new EmbeddedHost(parts);
  return QemuMachineHost.start(parts, new QemuMemory(parts.ramBytes));
}

/** A machine to play on; with `stop` when it is over. */
export async function playground(parts: Hardware): Promise<ReplayMachine & { readonly host: MachineHost }> {
  const host = await startHost(parts);
  const allocator = new RamPageAllocator(host.memory, host.usable);
  const dma = host.attach(allocator);
  return { gpu: firstGpu(host), allocator, dma, clock: createNodeClock(), host };
}

function firstGpu(host: MachineHost): HostGpu {
  const [gpu] = host.gpus;
  if (gpu === undefined) throw new Error("no GPU");
  return gpu;
}

/** Records a desktop's life over a sleep into `path`. */
export async function recordRun(parts: Hardware, path: string): Promise<void> {
  const { gpu: hostGpu, allocator, dma, clock, host } = await playground(parts);
  const recorder = new TraceRecorder({
    path,
    append: false,
    header: { host: host.label, outputs: parts.outputs },
    memory: deviceMemory(host.memory, dma),
    nowMs: () => clock.nowMs(),
  });
  const gpu = await VirtioGpu.probe({ transport: hostGpu.connect(), allocator, dma, clock, tracer: recorder });
  const fill = async (width: number, height: number, seed: number) => {
    const buffer = await gpu.createBuffer({ width, height });
    buffer.map((bytes) => bytes.forEach((_, at) => (bytes[at] = (at * 7 + seed) & 0xff)));
    await buffer.flush();
    return buffer;
  };
  const front = await fill(320, 200, 1);
  await gpu.output(0).show(front);
  await gpu.output(1).show(await fill(128, 96, 2));
  const hidden = await fill(64, 64, 3);
  await gpu.output(0).cursor.set(hidden);
  await gpu.output(0).cursor.move(50, 60);
  const look = async () => {
    for (const output of [0, 1]) recorder.picture(hostGpu.label, output, await hostGpu.picture(output));
  };
  await look();
  await gpu.power.freeze("FREEZE");
  await gpu.power.restore("RESTORE").complete;
  front.map((bytes) => bytes.subarray(0, 320 * 4 * 10).fill(0x55));
  await front.flush({ x: 0, y: 0, width: 320, height: 10 });
  await look();
  await gpu.remove();
  recorder.close();
  await host.stop();
}
