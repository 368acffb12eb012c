/**
 * By VFIO (the kernel's driver-api/vfio, linux/vfio.h): the function sees what is mapped for it and nothing else, at
 * addresses of our choice. One container a function.
 */
import { closeSync, readSync } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import { PAGE_BYTES } from "@virtgpu/core/memory";
import type { BusAccess, PciFunctionAccess, PciInterrupts } from "@virtgpu/core/virtio";
import type { MappedMemoryChunk, MappedMemorySource, MemoryChunk, MemorySource } from "../memory/index.ts";
import { EventFdFlag, Mapping, type Sys, errnoName, loadSys } from "../native/index.ts";
import { ConfigFile, DriverBinding, type PciSysfs, RegisterWindow } from "../pci/index.ts";
import { openForDevice } from "./sysfs-function.ts";
import { type TakeOptions, type TakenFunction, Undo } from "./taken-function.ts";

const Vfio = {
  GET_API_VERSION: 0x3b64,
  CHECK_EXTENSION: 0x3b65,
  SET_IOMMU: 0x3b66,
  GROUP_GET_STATUS: 0x3b67,
  GROUP_SET_CONTAINER: 0x3b68,
  GROUP_GET_DEVICE_FD: 0x3b6a,
  DEVICE_GET_REGION_INFO: 0x3b6c,
  DEVICE_GET_IRQ_INFO: 0x3b6d,
  DEVICE_SET_IRQS: 0x3b6e,
  IOMMU_MAP_DMA: 0x3b71,
  IOMMU_UNMAP_DMA: 0x3b72,
} as const;
const TYPE1V2_IOMMU = 3;
const GROUP_VIABLE = 1;
const REGION_MMAP = 4;
const CONFIG_REGION = 7;
const MSIX = 2;
const IRQ_EVENTFD_TRIGGER = 0x04 | 0x20;
const DMA_READ_WRITE = 3;
/** Enough for one a queue and one for the configuration. */
const VECTORS_MAX = 8;
/** Bus addresses: above 4 GiB, clear of interrupt windows, and within the least width that IOMMUs have (39 bits). */
const IOVA_START = 2 ** 32;
const IOVA_END = 2 ** 38;

/** Takes a function. Throws GpuError; then it is where it was. */
export function takeByVfio(sysfs: PciSysfs, options: TakeOptions): TakenFunction {
  const { address } = options;
  const group = sysfs.iommuGroup(address);
  if (group === null) {
    throw new GpuError("ENOTSUP", "no IOMMU stands before it, and VFIO needs one: use uio", { device: address });
  }
  const undo = new Undo();
  try {
    const binding = DriverBinding.take(sysfs, address, "vfio-pci");
    undo.add(() => binding.release());
    const container = openContainer(group.number, address, undo);
    const device = loadSys().ioctl(container.group, Vfio.GROUP_GET_DEVICE_FD, Buffer.from(`${address}\0`));
    undo.add(() => closeSync(device));
    const access = new VfioFunction(device, options, undo);
    const throughIommu = (source: MappedMemorySource): MemorySource => new VfioMemory(container.fd, source);
    return { access, window: "bars", throughIommu, close: () => undo.run() };
  } catch (error) {
    undo.abandon();
    throw error instanceof GpuError ? error : new GpuError("EIO", String(error), { device: address, cause: error });
  }
}

function openContainer(number: string, address: string, undo: Undo): { readonly fd: number; readonly group: number } {
  const sys = loadSys();
  const open = (path: string): number => {
    const fd = openForDevice(path, address);
    undo.add(() => closeSync(fd));
    return fd;
  };
  const fd = open("/dev/vfio/vfio");
  if (sys.ioctl(fd, Vfio.GET_API_VERSION, null) !== 0) throw new GpuError("ENOTSUP", "VFIO speaks another version");
  if (sys.ioctlNumber(fd, Vfio.CHECK_EXTENSION, TYPE1V2_IOMMU) !== 1) {
    throw new GpuError("ENOTSUP", "VFIO has no IOMMU of type 1: modprobe vfio_iommu_type1");
  }
  const group = open(`/dev/vfio/${number}`);
  const status = Uint32Array.of(8, 0);
  sys.ioctl(group, Vfio.GROUP_GET_STATUS, bytesOf(status));
  if (((status[1] ?? 0) & GROUP_VIABLE) === 0) {
    throw new GpuError("EBUSY", `other functions of its IOMMU group ${number} have drivers of the kernel's`, {
      device: address,
    });
  }
  sys.ioctl(group, Vfio.GROUP_SET_CONTAINER, bytesOf(Int32Array.of(fd)));
  try {
    sys.ioctlNumber(fd, Vfio.SET_IOMMU, TYPE1V2_IOMMU);
  } catch (error) {
    const hint = errnoName(error) === "EPERM" ? ": the IOMMU has to remap interrupts too" : "";
    throw new GpuError("ENOTSUP", `VFIO refuses this IOMMU (${errnoName(error) ?? "?"})${hint}`, {
      device: address,
      cause: error,
    });
  }
  return { fd, group };
}

interface Region {
  readonly flags: number;
  readonly byteLength: number;
  readonly position: bigint;
}

/** `struct vfio_region_info`. */
function regionOf(sys: Sys, device: number, index: number): Region {
  const info = new Uint32Array(8);
  info.set([info.byteLength, 0, index]);
  sys.ioctl(device, Vfio.DEVICE_GET_REGION_INFO, bytesOf(info));
  const [size = 0n, position = 0n] = new BigUint64Array(info.buffer, 16);
  return { flags: info[1] ?? 0, byteLength: Number(size), position };
}

/** The device's descriptor: configuration space and BARs are parts of it. */
class VfioFunction implements PciFunctionAccess {
  readonly label: string;
  readonly config: ConfigFile;
  readonly interrupts: PciInterrupts | null;
  readonly #sys: Sys = loadSys();
  readonly #device: number;
  readonly #undo: Undo;
  readonly #mapped: Map<number, { readonly mapping: Mapping; readonly registers: RegisterWindow } | null> = new Map();

  constructor(device: number, { address, interrupts, onError }: TakeOptions, undo: Undo) {
    this.label = address;
    this.#device = device;
    this.#undo = undo;
    this.config = new ConfigFile(device, address, Number(regionOf(this.#sys, device, CONFIG_REGION).position));
    this.interrupts = interrupts ? messageInterrupts(this.#sys, device, undo, onError) : null;
  }

  bar(index: number): BusAccess | null {
    return this.#map(index)?.registers ?? null;
  }

  barView(index: number, offset: number, byteLength: number): Uint8Array | null {
    const bytes = this.#map(index)?.mapping.bytes;
    return bytes !== undefined && offset + byteLength <= bytes.length
      ? bytes.subarray(offset, offset + byteLength)
      : null;
  }

  /** VFIO's BAR registers are its own, and the kernel keeps the function's where they were. */
  assignBars(): void {}

  #map(index: number): { readonly mapping: Mapping; readonly registers: RegisterWindow } | null {
    let mapped = this.#mapped.get(index);
    if (mapped === undefined) {
      mapped = this.#mapNew(index);
      this.#mapped.set(index, mapped);
    }
    return mapped;
  }

  #mapNew(index: number): { readonly mapping: Mapping; readonly registers: RegisterWindow } | null {
    const { flags, byteLength, position } = regionOf(this.#sys, this.#device, index);
    if ((flags & REGION_MMAP) === 0 || byteLength === 0 || byteLength % PAGE_BYTES !== 0) return null;
    const mapping = Mapping.ofFile(this.#device, byteLength, position);
    const registers = new RegisterWindow(mapping.bytes, this.label);
    this.#undo.add(() => {
      this.#mapped.clear();
      registers.close();
      mapping.close();
    });
    return { mapping, registers };
  }
}

/** MSI-X, each vector an eventfd. Null where the function has none. */
function messageInterrupts(
  sys: Sys,
  device: number,
  undo: Undo,
  onError: (error: unknown) => void,
): PciInterrupts | null {
  const info = Uint32Array.of(16, 0, MSIX, 0);
  sys.ioctl(device, Vfio.DEVICE_GET_IRQ_INFO, bytesOf(info));
  const vectors = Math.min(info[3] ?? 0, VECTORS_MAX);
  if (vectors === 0) return null;
  let handler: ((vector: number) => void) | null = null;
  const fds = Array.from({ length: vectors }, (_, vector) => {
    const fd = sys.eventfd(0, EventFdFlag.NONBLOCK | EventFdFlag.CLOEXEC);
    undo.add(() => closeSync(fd));
    const onReadable = (): void => {
      readSync(fd, new Uint8Array(8), 0, 8, null);
      handler?.(vector);
    };
    const watch = sys.watch(fd, onReadable, onError);
    undo.add(() => watch.close());
    return fd;
  });
  sys.ioctl(
    device,
    Vfio.DEVICE_SET_IRQS,
    bytesOf(Uint32Array.of(20 + 4 * vectors, IRQ_EVENTFD_TRIGGER, MSIX, 0, vectors, ...fds)),
  );
  return {
    vectors,
    setHandler: (next) => {
      handler = next;
    },
  };
}

/** Chunks of another source, mapped for the function. Pinned by VFIO: they lie where they lie, also after a sleep. */
class VfioMemory implements MemorySource {
  readonly granularity: number;
  readonly #container: number;
  readonly #source: MappedMemorySource;
  #next: number = IOVA_START;

  constructor(container: number, source: MappedMemorySource) {
    this.#container = container;
    this.#source = source;
    this.granularity = source.granularity;
  }

  allocate(byteLength: number): MemoryChunk {
    const iova = Math.ceil(this.#next / this.granularity) * this.granularity;
    if (iova + byteLength > IOVA_END) throw new GpuError("ENOMEM", "the IOMMU's addresses are used up");
    const chunk = this.#source.allocate(byteLength);
    try {
      this.#map(chunk, iova, byteLength);
    } catch (error) {
      chunk.close();
      throw new GpuError("ENOMEM", `VFIO can't map ${byteLength} bytes (${errnoName(error) ?? "?"})`, { cause: error });
    }
    this.#next = iova + byteLength;
    const firstFrame = iova / PAGE_BYTES;
    return {
      get bytes(): Uint8Array {
        return chunk.bytes;
      },
      frames: (first, count) => Array.from({ length: count }, (_, index) => firstFrame + first + index),
      // They are ours to choose, and stay.
      forgetFrames: () => {},
      close: () => {
        this.#unmap(iova, byteLength);
        chunk.close();
      },
    };
  }

  close(): void {
    this.#source.close();
  }

  /** `struct vfio_iommu_type1_dma_map`. */
  #map(chunk: MappedMemoryChunk, iova: number, byteLength: number): void {
    const argument = new BigUint64Array(4);
    new Uint32Array(argument.buffer).set([argument.byteLength, DMA_READ_WRITE]);
    argument.set([chunk.address, BigInt(iova), BigInt(byteLength)], 1);
    loadSys().ioctl(this.#container, Vfio.IOMMU_MAP_DMA, bytesOf(argument));
  }

  /** `struct vfio_iommu_type1_dma_unmap`. */
  #unmap(iova: number, byteLength: number): void {
    const argument = new BigUint64Array(3);
    new Uint32Array(argument.buffer).set([argument.byteLength, 0]);
    argument.set([BigInt(iova), BigInt(byteLength)], 1);
    loadSys().ioctl(this.#container, Vfio.IOMMU_UNMAP_DMA, bytesOf(argument));
  }
}

function bytesOf(array: Uint32Array | Int32Array | BigUint64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
