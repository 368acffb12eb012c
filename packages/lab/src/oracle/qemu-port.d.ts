import type { BusAccess } from "@virtgpu/core/virtio";
import type { QemuHost } from "../hosts/qemu/qemu-host.ts";
import type { RamFile } from "../hosts/qemu/ram-file.ts";
import type { GuestPort, PortQueue, QueueIndex } from "./ring-guest.ts";
/** See the file's head. Made for a freshly started QEMU; after a restart of the host, make another. */
export declare class QemuPort implements GuestPort {
    #private;
    readonly ram: RamFile;
    constructor(host: QemuHost);
    /** Device configuration space. */
    get config(): BusAccess;
    /** The features the device offers. */
    offered(): bigint;
    bringUp(features: bigint, queues: readonly PortQueue[]): void;
    notify(queue: QueueIndex): void;
    status(): number;
}
