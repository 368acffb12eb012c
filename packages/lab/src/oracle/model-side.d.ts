import { VirtioGpuDevice, type VirtioGpuDeviceOptions } from "@virtgpu/core/device";
import { type PositionedFile } from "@virtgpu/core/memory";
import type { RgbPicture } from "../hosts/qemu/ppm.ts";
import { RingGuest } from "./ring-guest.ts";
import { type OracleSide } from "./side.ts";
/** See the file's head. The outputs are those that QEMU has: the first one with a monitor, of 1280 x 800. */
export declare class ModelSide implements OracleSide {
    readonly device: VirtioGpuDevice;
    readonly guest: RingGuest;
    readonly ram: PositionedFile;
    /** `options` are the device's, besides its outputs. */
    constructor(options?: VirtioGpuDeviceOptions);
    picture(output: number): Promise<RgbPicture | null>;
}
