/**
 * The guest machine as the scenarios use it: {@link LinuxVm}, and what else can be seen and done from outside, where the
 * machine offers it.
 */
import type { Size } from "@virtgpu/linux/agent";
import type { LinuxVm } from "../../guests/linux/linux-vm.ts";
import type { RgbPicture } from "../../hosts/qemu/ppm.ts";

/** A cursor as a viewer has it. */
export interface SeenCursor extends RgbPicture {
  readonly hotX: number;
  readonly hotY: number;
  /** 1 where the pixel is part of the cursor, one byte a pixel. */
  readonly mask: Uint8Array;
}

/** A virtqueue as QEMU knows it (`x-query-virtio-queue-status`); 0 as descriptor address: nobody set it up. */
export interface QueueStatus {
  readonly queue: number;
  readonly size: number;
  readonly descriptors: number;
  readonly lastAvailable: number;
  readonly used: number;
}

/** What QEMU knows of a GPU. */
export interface DeviceStatus {
  /** Names of the device status's bits, e.g. "DRIVER_OK". */
  readonly status: readonly string[];
  readonly queues: readonly QueueStatus[];
}

/** See the file's head. */
export interface LinuxMachine extends LinuxVm {
  /** Names of the QMP events of the process that runs now, in order. */
  readonly events: readonly string[];
  /** Waits until the machine sleeps, and wakes it. */
  wake(): Promise<void>;
  /** The cursor of an output; null: it has none. */
  cursor(gpu: number, output: number): Promise<SeenCursor | null>;
  /** Gives a display another size, which the guest meets as a display change. */
  resize(gpu: number, output: number, size: Size): Promise<void>;
  /** What QEMU knows of the device. */
  deviceStatus(gpu: number): Promise<DeviceStatus>;
}
