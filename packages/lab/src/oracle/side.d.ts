/**
 * The two sides that are held against each other: a real QEMU, and any device behind the core's transport.
 */
import type { PositionedFile } from "@virtgpu/core/memory";
import type { RgbPicture } from "../hosts/qemu/ppm.ts";
import { RingGuest } from "./ring-guest.ts";
/** Outputs of both sides. */
export declare const ORACLE_OUTPUTS = 2;
/** Guest RAM of both sides, in bytes. Between 640 KiB and 1 MiB there is none. */
export declare const ORACLE_RAM_BYTES: number;
/** A device with the guest that drives it. */
export interface OracleSide {
    readonly guest: RingGuest;
    readonly ram: PositionedFile;
    /** What an output shows, or null when it is known to show nothing. */
    picture(output: number): Promise<RgbPicture | null>;
}
/** See the file's head. A QEMU that ends is replaced by {@link QemuSide.revive}. */
export declare class QemuSide implements OracleSide {
    #private;
    readonly ram: PositionedFile;
    private constructor();
    /** Starts a QEMU with one virtio-gpu-pci. */
    static start(): Promise<QemuSide>;
    get guest(): RingGuest;
    /** Whether it runs, as far as is known. */
    get isRunning(): boolean;
    /** The last thing QEMU said. */
    get lastWords(): string;
    picture(output: number): Promise<RgbPicture>;
    /** Starts another QEMU on the same memory after one has ended. */
    revive(): Promise<void>;
    /** For `await using`. */
    [Symbol.asyncDispose](): Promise<void>;
}
/**
 * Whether this is what QEMU shows where there is no scanout: grey words on black. (A scanout of black alone looks the
 * same; nothing else does.)
 */
export declare function isPlaceholder({ rgb }: RgbPicture): boolean;
