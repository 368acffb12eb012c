/**
 * The device of `@virtgpu/core` as the host of a guest in the same process: nothing to install, every fault at hand, and
 * all that the host holds can be looked at.
 */
import { GpuError } from "@virtgpu/core/base";
import type { VirtioGpuDevice } from "@virtgpu/core/device";
import { MemoryRenderer } from "@virtgpu/core/device";
import {
  type DmaMap,
  GuestRam,
  type GuestMemory,
  IommuDmaMap,
  IommuGuestMemory,
  type MemoryRegion,
  PAGE_BYTES,
  PhysicalDmaMap,
  type RamPageAllocator,
} from "@virtgpu/core/memory";
import type { SleepTarget, Wake } from "@virtgpu/core/sleep";
import { type CommandFaults, SimHost } from "@virtgpu/core/sim";
import type { Transport } from "@virtgpu/core/virtio";
import { createNodeClock } from "../node-clock.ts";
import type { Hardware, HostCursor, HostGpu, HostPicture, MachineHost } from "../machine.ts";
import { embeddedDevice } from "./options.ts";

const CURSOR_SIZE = 64;

/** See the file's head. */
export class EmbeddedHost implements MachineHost {
  readonly name: string = "embedded";
  readonly version: null = null;
  readonly label: string;
  readonly memory: GuestRam;
  /** Page 0 stays out of it, so that an address of 0 is always a mistake. */
  readonly usable: MemoryRegion;
  readonly errorLines: readonly string[] = [];
  readonly #hardware: Hardware;
  #gpus: readonly EmbeddedGpu[] = [];

  constructor(hardware: Hardware) {
    this.#hardware = hardware;
    this.label = `embedded host, ${hardware.device.type}`;
    this.memory = GuestRam.of(hardware.ramBytes);
    this.usable = { address: PAGE_BYTES, byteLength: hardware.ramBytes - PAGE_BYTES };
  }

  get gpus(): readonly HostGpu[] {
    return this.#gpus;
  }

  attach(allocator: RamPageAllocator): DmaMap {
    const { transport, device, features, pci, variant } = embeddedDevice(this.#hardware);
    const iommu = features.accessPlatform === true ? new IommuDmaMap(allocator, { pagesMax: this.#pages }) : null;
    const memory = iommu === null ? this.memory : new IommuGuestMemory(this.memory, iommu);
    const renderer = new MemoryRenderer();
    const host = new SimHost({
      clock: createNodeClock(),
      memory,
      transport,
      features,
      pci,
      variant,
      device: { ...device, renderer },
    });
    this.#gpus = [new EmbeddedGpu(host, memory)];
    return iommu ?? new PhysicalDmaMap(allocator);
  }

  /** In s2idle the machine keeps its power; what becomes of a device is between its driver and its D-states. */
  async sleep(target: SleepTarget): Promise<Wake> {
    if (target === "mem") for (const { host } of this.#gpus) host.wakeFromS3();
    return { source: "rtc" };
  }

  async powerOff(): Promise<void> {
    await this.kill();
  }

  release(): void {
    for (const { host } of this.#gpus) {
      host.commands.clear();
      if (host.isOn) host.resume();
    }
  }

  async kill(): Promise<void> {
    for (const { host } of this.#gpus) host.kill();
  }

  async stop(): Promise<void> {
    await this.kill();
  }

  get #pages(): number {
    return this.#hardware.ramBytes / PAGE_BYTES;
  }
}

/** One device of ours, in its slot. */
class EmbeddedGpu implements HostGpu {
  readonly label: string;
  readonly host: SimHost;
  readonly faults: CommandFaults;
  readonly #memory: GuestMemory;

  constructor(host: SimHost, memory: GuestMemory) {
    this.label = host.label;
    this.host = host;
    this.faults = host.commands;
    this.#memory = memory;
  }

  connect(): Transport {
    return this.host.connect();
  }

  async picture(output: number): Promise<HostPicture | null> {
    return this.#device.screenshot(output);
  }

  async cursor(output: number): Promise<HostCursor | null> {
    const cursor = this.#device.save().cursors[output];
    if (cursor === undefined || !cursor.visible) return null;
    const { x, y, hotX, hotY, rgba } = cursor;
    return { width: CURSOR_SIZE, height: CURSOR_SIZE, rgba, hotX, hotY, place: { x, y } };
  }

  readonly held = (): ReadonlyMap<number, Uint8Array> => {
    const { resources } = this.#device.save();
    return new Map(
      resources.map(({ id, kind, width, height, pixels, entries }) => {
        if (kind === "2d") return [id, pixels ?? new Uint8Array(width * height * 4)];
        const pieces = entries.map(({ address, byteLength }) => {
          const piece = new Uint8Array(byteLength);
          this.#memory.read(address, piece);
          return piece;
        });
        return [id, new Uint8Array(Buffer.concat(pieces))];
      }),
    );
  };

  readonly contexts = (): ReadonlySet<number> => new Set(this.#device.save().contexts?.ids);

  readonly forget = (id: number): void => {
    const device = this.#device;
    const saved = device.save();
    device.restore({
      ...saved,
      resources: saved.resources.filter((resource) => resource.id !== id),
      scanouts: saved.scanouts.map((scanout) => (scanout?.resourceId === id ? null : scanout)),
    });
  };

  /** Throws GpuError ENODEV when the host is off. */
  get #device(): VirtioGpuDevice {
    if (!this.host.isOn) throw new GpuError("ENODEV", "the host is gone", { device: this.label });
    return this.host.device;
  }
}
