/**
 * A simulated machine: memory, clock, bookkeeping around both, and one host or more, put together in one call for tests of
 * the driver. What a test does not ask for is strict: scattered frames, poisoned free memory, every access of the device
 * checked against the driver's mappings.
 */
import { assert } from "../base/assert.ts";
import { GpuError } from "../base/errors.ts";
import { IommuDmaMap, PhysicalDmaMap } from "../memory/dma-map.ts";
import type { GuestMemory, MemoryRegion } from "../memory/guest-memory.ts";
import { GuestRam } from "../memory/guest-ram.ts";
import { IommuGuestMemory } from "../memory/iommu-memory.ts";
import { PAGE_BYTES, type PagesRecord } from "../memory/pages.ts";
import { RamPageAllocator } from "../memory/ram-allocator.ts";
import type { Transport } from "../virtio/transport.ts";
import { BootDriver } from "./boot-driver.ts";
import { DmaWatch } from "./faults/dma-watch.ts";
import { FaultyAllocator } from "./faults/faulty-allocator.ts";
import { FaultyDmaMap, type SessionDmaMap } from "./faults/faulty-dma-map.ts";
import { WatchedMemory } from "./faults/watched-memory.ts";
import { Recorder } from "./recorder.ts";
import { SeededRandom } from "./seeded-random.ts";
import { SimHost, type SimHostOptions } from "./sim-host.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** What was in memory at one moment, and whose it was: all that a hibernation keeps. Plain data. */
export interface RamImage {
  /** All of the guest's memory. */
  readonly bytes: Uint8Array;
  /** The allocator's map. */
  readonly pages: readonly PagesRecord[];
}

/** How a {@link SimMachine} is put together. */
export interface SimMachineOptions extends Omit<SimHostOptions, "clock" | "memory"> {
  /** Time, where several machines share it. Default: a clock of its own. */
  readonly clock?: VirtualClock | undefined;
  /** Bytes of memory for a boot kernel's driver, whole pages. Default 8 MiB. */
  readonly bootBytes?: number | undefined;
  /** Bytes of memory for the driver, whole pages. Default 32 MiB. */
  readonly ramBytes?: number | undefined;
  /** Seed of all randomness. Default 1. */
  readonly seed?: number | string | undefined;
  /** Hand out scattered frames. Default true. */
  readonly scatter?: boolean | undefined;
  /** Fill freed pages with a pattern. Default true. */
  readonly poison?: boolean | undefined;
  /** Put an IOMMU between device and memory; the device offers ACCESS_PLATFORM. Default false. */
  readonly iommu?: boolean | undefined;
  /** Check each access of the device. Default true; slower than not. */
  readonly watchDma?: boolean | undefined;
  /** Let the driver's accesses to rings be recorded. Default false; a lot slower. */
  readonly watchRings?: boolean | undefined;
  /** Memory as an earlier machine left it: a new machine starts from it, nothing allocated. */
  readonly image?: RamImage | undefined;
  /** A turn of the event loop, for the clock (Node: `() => new Promise(setImmediate)`). */
  readonly turn?: (() => Promise<void>) | undefined;
}

const RAM_BYTES_DEFAULT = 32 << 20;
/** Pages that a simulated IOMMU maps at once, at least. */
const IOMMU_PAGES_MIN = 1024;
/** Behind the driver's memory lies some that is the boot driver's. */
const BOOT_BYTES_DEFAULT = 8 << 20;

/** See the file's head. */
export class SimMachine {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  /** Physical memory, unwatched. */
  readonly ram: GuestRam;
  /** What the driver is to allocate from. */
  readonly allocator: FaultyAllocator;
  /** The allocator underneath: where pages lie, and moving them. */
  readonly frames: RamPageAllocator;
  /** What the driver is to map with. */
  readonly dma: FaultyDmaMap;
  /** The device's accesses to memory, or null when they are not watched. */
  readonly dmaWatch: DmaWatch | null;
  /** The driver's accesses to rings, or null when they are not watched. */
  readonly rings: WatchedMemory | null;
  /** The driver's tracer. */
  readonly recorder: Recorder;
  /** The first host. */
  readonly host: SimHost;
  readonly hosts: SimHost[] = [];
  /** Memory by the addresses that the device is given: for whoever looks at what it holds. */
  readonly deviceMemory: GuestMemory;
  readonly #options: SimMachineOptions;
  readonly #ramBytes: number;
  readonly #bootBytes: number;

  constructor(options: SimMachineOptions = {}) {
    const ramBytes = options.ramBytes ?? RAM_BYTES_DEFAULT;
    this.#options = options;
    this.#ramBytes = ramBytes;
    this.#bootBytes = options.bootBytes ?? BOOT_BYTES_DEFAULT;
    this.clock = options.clock ?? new VirtualClock({ turn: options.turn });
    this.random = new SeededRandom(options.seed ?? 1);
    this.recorder = new Recorder({ clock: this.clock });
    this.ram = GuestRam.of(ramBytes + this.#bootBytes);
    if (options.image !== undefined) this.#load(options.image);
    this.rings = options.watchRings === true ? new WatchedMemory(this.ram) : null;
    this.frames = new RamPageAllocator(
      this.rings ?? this.ram,
      // Page 0 stays out of it, so that an address of 0 is always a mistake.
      { address: PAGE_BYTES, byteLength: ramBytes - PAGE_BYTES },
      { scatter: (options.scatter ?? true) ? this.random.fork("frames") : undefined, poison: options.poison ?? true },
    );
    this.allocator = new FaultyAllocator(this.frames);
    const { map, seen } = this.#makeDma();
    this.dma = new FaultyDmaMap(map);
    this.dmaWatch =
      (options.watchDma ?? true) ? new DmaWatch({ memory: seen, dma: this.dma, allocator: this.allocator }) : null;
    this.dmaWatch?.allow(this.bootRegion);
    this.deviceMemory = this.dmaWatch ?? seen;
    this.host = this.addHost(options);
  }

  /** What the driver is given: the first host's transport. */
  get transport(): SimHost["transport"] {
    return this.host.transport;
  }

  /** Memory of whoever drove the device before: behind the driver's. */
  get bootRegion(): MemoryRegion {
    return { address: this.#ramBytes, byteLength: this.#bootBytes };
  }

  /** Another GPU in the same machine. Its label is `gpu1` and so on, if none is given. */
  addHost(options: Omit<SimHostOptions, "clock" | "memory"> = {}): SimHost {
    const features = this.#options.iommu === true ? { ...options.features, accessPlatform: true } : options.features;
    const host = new SimHost({
      ...options,
      label: options.label ?? `gpu${this.hosts.length}`,
      features,
      clock: this.clock,
      memory: this.deviceMemory,
    });
    this.hosts.push(host);
    return host;
  }

  /** Lets a boot kernel's driver take the device: it has transport and memory of its own. Not behind an IOMMU. */
  startBootDriver(transport: Transport = this.host.connect()): Promise<BootDriver> {
    if (this.#options.iommu === true) {
      throw new GpuError("ENOTSUP", "a boot driver knows no IOMMU", { device: transport.label });
    }
    const { clock, ram: memory, bootRegion: region } = this;
    return BootDriver.start({ transport, clock, memory, region });
  }

  /** Takes what a hibernation image would hold of memory. */
  snapshot(): RamImage {
    return { bytes: this.ram.view(0, this.#ramBytes).slice(), pages: this.frames.save() };
  }

  /**
   * Puts memory back as it was, for a driver that lives on with its handles (a restore in the same process). What was
   * allocated then has to be allocated now. `moveFrames`: the contents end up in other frames, as they may in a real
   * restore; then nothing may be mapped.
   */
  restore(image: RamImage, options: { readonly moveFrames?: boolean } = {}): void {
    for (const { key, byteLength } of image.pages) {
      assert(this.frames.find(key)?.byteLength === byteLength, `pages ${key} of the image are not allocated any more`);
    }
    this.#restorePages(image);
    if (options.moveFrames !== true) return;
    assert(this.dma.mapped.length === 0, "frames can't move while a device knows where they are");
    this.frames.moveFrames(image.pages.map(({ key }) => key));
  }

  /** All hosts' processes end, as in a power-off. */
  powerOff(): void {
    for (const host of this.hosts) host.kill();
  }

  /** All hosts start anew. */
  powerOn(): void {
    for (const host of this.hosts) host.powerOn();
  }

  /** Throws InvariantViolation if the device, or the driver, did something with memory that must not be. */
  assertClean(): void {
    const [first] = this.dmaWatch?.violations ?? [];
    if (first === undefined) return;
    const where = first.key === null ? `at 0x${first.address.toString(16)}` : `pages ${first.key}`;
    assert(false, `${first.what}: ${first.byteLength} bytes ${where}, and ${this.#violationCount() - 1} more`);
  }

  #violationCount(): number {
    return this.dmaWatch?.violations.length ?? 0;
  }

  #load(image: RamImage): void {
    if (image.bytes.byteLength !== this.#ramBytes) {
      throw new GpuError("EINVAL", `an image of ${image.bytes.byteLength} bytes for ${this.#ramBytes} of memory`);
    }
    this.ram.write(0, image.bytes);
  }

  /** Contents go to where the pages lie now: they may have moved since the snapshot. */
  #restorePages(image: RamImage): void {
    for (const record of image.pages) {
      const pages = this.frames.find(record.key);
      for (const [index, frame] of record.frames.entries()) {
        const at = frame * PAGE_BYTES;
        pages?.write(index * PAGE_BYTES, image.bytes.subarray(at, at + PAGE_BYTES));
      }
    }
  }

  #makeDma(): { readonly map: SessionDmaMap; readonly seen: GuestMemory } {
    if (this.#options.iommu !== true) return { map: new PhysicalDmaMap(this.frames), seen: this.ram };
    // A small machine has a small one: there are many such machines.
    const map = new IommuDmaMap(this.frames, { pagesMax: Math.max(IOMMU_PAGES_MIN, this.#ramBytes / PAGE_BYTES) });
    return { map, seen: new IommuGuestMemory(this.ram, map) };
  }
}

/** Puts a machine together. */
export function createSimMachine(options: SimMachineOptions = {}): SimMachine {
  return new SimMachine(options);
}
