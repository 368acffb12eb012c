/**
 * The guest machine as the scenarios use it: what they need of {@link LinuxVm}, and what is seen and done through its VNC
 * servers and QMP.
 */
import type { Size } from "@virtgpu/linux/agent";
import type { LinuxVm, QueueStatus } from "../../guests/linux/linux-vm.ts";
import type { RgbPicture } from "../../hosts/qemu/ppm.ts";

/** A cursor as a viewer has it. */
export interface SeenCursor extends RgbPicture {
  readonly hotX: number;
  readonly hotY: number;
  /** 1 where the pixel is part of the cursor, one byte a pixel. */
  readonly mask: Uint8Array;
}

/** What QEMU knows of a GPU. */
export interface DeviceStatus {
  /** Names of the device status's bits, e.g. "DRIVER_OK"; empty where QEMU does not tell. */
  readonly status: readonly string[];
  /** Of control and cursor queue; absent where QEMU does not tell. */
  readonly queues: readonly (QueueStatus & { readonly queue: number })[];
}

/** See the file's head. */
export interface LinuxMachine
  extends Pick<LinuxVm, "call" | "ended" | "cutPower" | "wake" | "screendump" | "events" | "errors" | "console"> {
  /** As {@link LinuxVm.boot}. */
  boot(): Promise<void>;
  /** The cursor of an output; null: it has none. */
  cursor(gpu: number, output: number): Promise<SeenCursor | null>;
  /** Gives a display another size, which the guest meets as a display change. */
  resize(gpu: number, output: number, size: Size): Promise<void>;
  /** What QEMU knows of the device. */
  deviceStatus(gpu: number): Promise<DeviceStatus>;
}
