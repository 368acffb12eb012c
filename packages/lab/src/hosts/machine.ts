/**
 * The seam between a machine's guest and its host: what a driver needs of the hardware, what the hardware does in a sleep,
 * and what whoever checks the guest may ask of the host behind its back.
 *
 * A host lives as long as its machine has power. Nothing of it outlives the process that it runs in.
 */
import type { PowerOffMode, SleepTarget, Wake } from "@virtgpu/core/sleep";
import type { DmaMap, GuestMemory, MemoryRegion, RamPageAllocator } from "@virtgpu/core/memory";
import type { CommandFaults } from "@virtgpu/core/sim";
import type { Transport } from "@virtgpu/core/virtio";

/** What kinds of hosts there are. */
export type HostKind = "embedded" | "qemu";

/** A machine's hardware, as plain data: what stays the same from one power-on to the next. */
export interface Hardware {
  /** The machine's own name, a UUID: an image fits no other. */
  readonly id: string;
  readonly host: HostKind;
  /** Bytes of guest memory, whole MiB. */
  readonly ramBytes: number;
  /** Preferred sizes of the GPU's outputs, in pixels; as many as it has. */
  readonly outputs: readonly { readonly width: number; readonly height: number }[];
  /** The GPU's type and properties, in QEMU's words. */
  readonly device: { readonly type: string; readonly properties: Readonly<Record<string, string>> };
  /** QEMU's program; null: as found in PATH. */
  readonly qemu: string | null;
  /** QEMU's machine type; null: q35. */
  readonly machine: string | null;
}

/** What an output shows: rows from the top, four bytes (red, green, blue, 255) a pixel, no padding. */
export interface HostPicture {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8Array;
}

/** A cursor as a viewer has it; alpha counts. `place` is null where the host does not tell. */
export interface HostCursor extends HostPicture {
  readonly hotX: number;
  readonly hotY: number;
  readonly place: { readonly x: number; readonly y: number } | null;
}

/** One GPU of the machine. */
export interface HostGpu {
  /** Names it on the host's side. */
  readonly label: string;
  /** A transport for one driver. */
  connect(): Transport;
  /** What an output shows, without its cursor; null when it is dark. */
  picture(output: number): Promise<HostPicture | null>;
  /** The cursor of an output; null when there is none. */
  cursor(output: number): Promise<HostCursor | null>;
  /**
   * What the host holds of each resource, by id, as bytes in the resource's own format: its copy, or what it reads through
   * the resource's backing. Null where a host can't be asked: then what it holds is seen by showing it.
   */
  readonly held: (() => ReadonlyMap<number, Uint8Array>) | null;
  /** The contexts that the host has; null where it can't be asked. */
  readonly contexts: (() => ReadonlySet<number>) | null;
  /** Makes the host forget a resource, behind everybody's back; null where it can't be made to. */
  readonly forget: ((id: number) => void) | null;
  /** What may be made to go wrong at which command; null where nothing can. */
  readonly faults: CommandFaults | null;
}

/** See the file's head. */
export interface MachineHost {
  /** `embedded`, or `QEMU`; and its version, where it has one of its own. */
  readonly name: string;
  readonly version: string | null;
  /** For people: `embedded host, virtio-gpu-pci`, `QEMU 7.2.22, q35, virtio-gpu-pci`. */
  readonly label: string;
  /** Guest memory by guest-physical address. */
  readonly memory: GuestMemory;
  /** What a guest may use of it. */
  readonly usable: MemoryRegion;
  /** How the GPUs come to see memory that `allocator` hands out. Called once, before all else. */
  attach(allocator: RamPageAllocator): DmaMap;
  /** Those that the hardware asks for, from {@link MachineHost.attach} on. */
  readonly gpus: readonly HostGpu[];
  /** What the host has to say about its guest's errors, so far. */
  readonly errorLines: readonly string[];
  /** S3 or s2idle and back. Throws GpuError ENOTSUP where the machine has no such state. */
  sleep(target: SleepTarget): Promise<Wake>;
  /** Ends the power in the machine's own way: the host is gone when it resolves. */
  powerOff(mode: PowerOffMode): Promise<void>;
  /** What hung answers again. */
  release(): void;
  /** The host's process ends from one instruction to the next, as when it crashes. */
  kill(): Promise<void>;
  /** Ends the host, whatever it is doing. */
  stop(): Promise<void>;
}
