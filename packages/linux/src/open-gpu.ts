/**
 * A virtio GPU of this machine with our driver in this process: the function is taken from whoever has it, its memory is
 * made, the driver begins. And all of it back.
 */
import { randomBytes } from "node:crypto";
import { type Clock, GpuError, type Random, type Tracer } from "@virtgpu/core/base";
import { VirtioGpu, type VirtioGpuOptions } from "@virtgpu/core/driver";
import type { DmaMap, PageAllocator } from "@virtgpu/core/memory";
import { type PciFunctionAccess, PciTransport, type Transport } from "@virtgpu/core/virtio";
import { DeviceStatus, VirtioFeature, featureBit } from "@virtgpu/core/wire";
import { lockFunction } from "./function-lock.ts";
import { BusMap } from "./memory/bus-map.ts";
import { HeapMemory } from "./memory/heap-memory.ts";
import {
  HugepageMemory,
  type MappedMemorySource,
  type MemorySource,
  Pagemap,
  PlainPageMemory,
  PoolAllocator,
} from "./memory/index.ts";
import { createNodeClock } from "./node-clock.ts";
import { PciSysfs } from "./pci/index.ts";
import { type TakenFunction, Undo, type Way, takeFunction } from "./transport/index.ts";

/** Where the driver's memory comes from: hugepages of 2 MiB, locked pages of 4 KiB, or the JavaScript heap. */
export type MemoryKind = "hugepages" | "pages" | "heap";

/** How {@link openGpu} takes a GPU. */
export interface OpenGpuOptions
  extends Pick<VirtioGpuOptions, "policy" | "deadlines" | "withoutFeatures" | "queueSizeMax"> {
  /** PCI address, e.g. "0000:00:04.0"; the only GPU there is unless given. */
  readonly address?: string | undefined;
  /** How it is reached; uio unless given. */
  readonly way?: Way | undefined;
  /** Hugepages unless given; with vfio, pages. "heap" is for pci-cfg, and does without the native add-on. */
  readonly memory?: MemoryKind | undefined;
  /** False: the driver polls. True unless given. By pci-cfg it always polls. */
  readonly interrupts?: boolean | undefined;
  readonly clock?: Clock | undefined;
  readonly tracer?: Tracer | undefined;
  /** Hears of errors where nobody waits: in an interrupt. Writes a warning unless given. */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Stands between the driver and its transport. */
  readonly wrapTransport?: ((transport: Transport) => Transport) | undefined;
}

/** A GPU with our driver. */
export interface OpenGpu {
  readonly gpu: VirtioGpu;
  /** PCI address. */
  readonly address: string;
  readonly way: Way;
  /** Memory that the device reaches, for buffers that the application lends (VirtioGpu.importBuffer). */
  readonly allocator: PageAllocator;
  readonly dma: DmaMap;
  /** Whether the device is as its driver left it; false after a sleep that nobody told of. */
  isAsLeft(): boolean;
  /** Ends the driver and gives the device and all memory back. Throws GpuError when the kernel doesn't take it back. */
  close(): Promise<void>;
}

/** PCI addresses of the virtio GPUs that this machine has. */
export function listGpus(): readonly string[] {
  return new PciSysfs().gpus();
}

/** Takes a GPU over. Throws GpuError; then everything is as it was. */
export async function openGpu(options: OpenGpuOptions = {}): Promise<OpenGpu> {
  if (process.platform !== "linux") throw new GpuError("ENOTSUP", `this needs Linux, and runs on ${process.platform}`);
  const { way = "uio", onError = warn } = options;
  const kind = options.memory ?? (way === "vfio" ? "pages" : "hugepages");
  if (kind === "heap" && way === "vfio") throw new GpuError("EINVAL", "vfio maps hugepages or pages, not the heap");
  const sysfs = new PciSysfs();
  const address = chooseGpu(sysfs, options.address);
  const undo = new Undo();
  const unlock = await lockFunction(address);
  undo.add(unlock);
  try {
    const taken = takeFunction(way, sysfs, { address, interrupts: options.interrupts ?? true, onError });
    undo.add(() => taken.close());
    const { allocator, dma } = makeMemory(kind, taken, undo);
    const access = tellingOfBus(taken.access, () => dma.invalidate());
    const transport = PciTransport.open(access, { window: taken.window });
    assertReachable(sysfs, address, transport, taken);
    const gpu = await VirtioGpu.probe({
      transport: options.wrapTransport?.(transport) ?? transport,
      clock: options.clock ?? createNodeClock(),
      allocator,
      dma,
      tracer: options.tracer,
      policy: options.policy,
      deadlines: options.deadlines,
      withoutFeatures: options.withoutFeatures,
      queueSizeMax: options.queueSizeMax,
    });
    return {
      gpu,
      address,
      way,
      allocator,
      dma,
      isAsLeft: () => gpu.state !== "running" || isRunning(transport),
      close: async () => {
        await gpu.remove();
        undo.run();
      },
    };
  } catch (error) {
    undo.abandon();
    throw error;
  }
}

const RUNNING = DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK;

/** A function that is gone does not run. */
function isRunning(transport: Transport): boolean {
  try {
    return (transport.readStatus() & RUNNING) === RUNNING;
  } catch (error) {
    if (error instanceof GpuError) return false;
    throw error;
  }
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}

function chooseGpu(sysfs: PciSysfs, wanted: string | undefined): string {
  if (wanted !== undefined) {
    sysfs.assertGpu(wanted);
    return wanted;
  }
  const gpus = sysfs.gpus();
  const [first] = gpus;
  if (first === undefined) throw new GpuError("ENODEV", "there is no virtio GPU (PCI 1af4:1050) in this machine");
  if (gpus.length > 1) throw new GpuError("EINVAL", `say which GPU: there are ${gpus.join(", ")}`);
  return first;
}

function makeMemory(kind: MemoryKind, taken: TakenFunction, undo: Undo): { allocator: PoolAllocator; dma: BusMap } {
  const source = kind === "heap" ? heapMemory(undo) : mappedMemory(kind, taken, undo);
  const allocator = new PoolAllocator(source);
  // What a device may still write to stays mapped, and so does the function's last state: see PoolAllocator.close.
  undo.add(() => void allocator.close());
  return { allocator, dma: new BusMap(allocator, taken.throughIommu !== null) };
}

function heapMemory(undo: Undo): MemorySource {
  return new HeapMemory(openPagemap(undo), random);
}

function mappedMemory(kind: "hugepages" | "pages", taken: TakenFunction, undo: Undo): MemorySource {
  const pagemap = taken.throughIommu === null ? openPagemap(undo) : null;
  const source: MappedMemorySource =
    kind === "hugepages" ? new HugepageMemory({ pagemap }) : new PlainPageMemory({ pagemap });
  return taken.throughIommu?.(source) ?? source;
}

function openPagemap(undo: Undo): Pagemap {
  const pagemap = new Pagemap();
  undo.add(() => pagemap.close());
  return pagemap;
}

const random: Random = { nextU32: () => randomBytes(4).readUInt32LE() };

/** The same function, but `onBus` is called whenever a new session asks for its BARs: physical addresses are as old as they. */
function tellingOfBus(access: PciFunctionAccess, onBus: () => void): PciFunctionAccess {
  return {
    label: access.label,
    config: access.config,
    interrupts: access.interrupts,
    bar: (index) => access.bar(index),
    barView: (index, offset, byteLength) => access.barView(index, offset, byteLength),
    assignBars: () => {
      access.assignBars();
      onBus();
    },
  };
}

/** A device behind an IOMMU that translates for the kernel's drivers alone would hang at its first command. */
function assertReachable(sysfs: PciSysfs, address: string, transport: Transport, taken: TakenFunction): void {
  const isBehind = (transport.readDeviceFeatures() & featureBit(VirtioFeature.ACCESS_PLATFORM)) !== 0n;
  if (taken.throughIommu !== null) {
    if (isBehind) return;
    throw new GpuError("ENOTSUP", "it does not go by the IOMMU (no ACCESS_PLATFORM): use uio, or iommu_platform=on", {
      device: address,
    });
  }
  const group = sysfs.iommuGroup(address);
  if (!isBehind || group === null || group.type === "identity") return;
  throw new GpuError("ENOTSUP", `its IOMMU group ${group.number} (${group.type}) hides memory: use vfio, or iommu=pt`, {
    device: address,
  });
}
