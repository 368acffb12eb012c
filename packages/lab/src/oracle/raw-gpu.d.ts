/**
 * One command after the other, written by hand, to a real QEMU: {@link RingGuest} and {@link QemuPort} put together.
 */
import type { BusAccess } from "@virtgpu/core/virtio";
import type { QemuHost } from "../hosts/qemu/qemu-host.ts";
import type { RamFile } from "../hosts/qemu/ram-file.ts";
import { type RawCommand, type RawFence } from "./raw-commands.ts";
import { type QueueIndex } from "./ring-guest.ts";
/** See the file's head. */
export declare class RawGpu {
    #private;
    readonly ram: RamFile;
    constructor(host: QemuHost);
    /** Device configuration space. */
    get config(): BusAccess;
    /** The features the device offers. */
    offered(): bigint;
    /** Resets the device and brings it up with VERSION_1 and EDID and both queues. */
    reset(): void;
    /** The device status. */
    status(): number;
    /** Sends one command and gives exactly the bytes that the device says it wrote. */
    execute(command: RawCommand, fence?: RawFence): Uint8Array;
    /** Sends any bytes, with a reply buffer of `capacity` bytes, or without one if that is 0. */
    send(queue: QueueIndex, request: Uint8Array, capacity: number): Uint8Array;
}
