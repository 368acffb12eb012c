import type { PositionedFile } from "@virtgpu/core/memory";
/** Control queue or cursor queue. */
export type QueueIndex = 0 | 1;
/** Where the parts of a split queue lie. */
export interface PortQueue {
    readonly size: number;
    readonly descriptors: number;
    readonly available: number;
    readonly used: number;
}
/** A device as this guest needs it. */
export interface GuestPort {
    /** Guest RAM: positions are guest-physical addresses. */
    readonly ram: PositionedFile;
    /** Resets the device (status 0) and brings it up to DRIVER_OK with these features and queues. */
    bringUp(features: bigint, queues: readonly PortQueue[]): void;
    notify(queue: QueueIndex): void;
    /** The device status. */
    status(): number;
}
/** One request, and how its buffers are cut into descriptors. */
export interface GuestRequest {
    readonly request: Uint8Array;
    /** Bytes of each device-readable piece; together the request's. */
    readonly readable: readonly number[];
    /** Bytes of each device-writable piece. */
    readonly writable: readonly number[];
    /** Whether the chain is an indirect table. */
    readonly indirect: boolean;
}
/** What became of a request. */
export interface GuestAnswer {
    /** Bytes the device says it wrote; null when the request was never returned. */
    readonly used: number | null;
    /** Position among the batch's used elements, from 0; -1 when it was never returned. */
    readonly order: number;
    /** The whole reply buffer, 0xaa where nothing was written. */
    readonly reply: Uint8Array;
}
/** Guest RAM from here on is the caller's; what lies below, down to 1 MiB, is the guest's own. */
export declare const FREE_MEMORY: number;
/** A request in one piece, with a reply buffer of `capacity` bytes, or without one if that is 0. */
export declare function whole(request: Uint8Array, capacity: number): GuestRequest;
/** See the file's head. */
export declare class RingGuest {
    #private;
    constructor(port: GuestPort);
    /** Resets the device and starts afresh. `features` are the bits to accept. */
    reset(features: bigint): void;
    /** The device status. */
    status(): number;
    /** Whether the queue has descriptors left for these (and the one behind them): unanswered requests keep theirs. */
    hasRoom(queue: QueueIndex, requests: readonly GuestRequest[]): boolean;
    /**
     * Makes all requests available at once, and waits until the device has handled them: until `awaitAll` of them are
     * used, or (for a device may leave a request unanswered) until a harmless request behind them is. Ends early when the
     * device needs a reset.
     */
    submit(queue: QueueIndex, requests: readonly GuestRequest[], awaitAll?: boolean): readonly GuestAnswer[];
}
