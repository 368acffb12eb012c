/**
 * virtio-gpu requests written by hand from the specification's tables (VIRTIO 1.2 section 5.7.6), on purpose without
 * the core's codecs: the two are held against each other.
 */
/** A fence to put into a request's header. */
export interface RawFence {
    readonly flags: number;
    readonly fenceId: bigint;
    readonly contextId: number;
    readonly ringIndex: number;
}
/** An ordinary header: all 0. */
export declare const NO_FENCE: RawFence;
/** The fields of one command, by the names of the specification; enough to write its bytes or to rebuild it elsewhere. */
export type RawCommand = {
    readonly command: "get_display_info";
} | {
    readonly command: "get_edid";
    readonly scanout: number;
} | {
    readonly command: "resource_create_2d";
    readonly resource_id: number;
    readonly format: number;
    readonly width: number;
    readonly height: number;
} | {
    readonly command: "resource_unref";
    readonly resource_id: number;
} | {
    readonly command: "set_scanout";
    readonly r: RawRect;
    readonly scanout_id: number;
    readonly resource_id: number;
} | {
    readonly command: "resource_flush";
    readonly r: RawRect;
    readonly resource_id: number;
} | {
    readonly command: "transfer_to_host_2d";
    readonly r: RawRect;
    readonly offset: number;
    readonly resource_id: number;
} | {
    readonly command: "resource_attach_backing";
    readonly resource_id: number;
    readonly entries: readonly (readonly [address: number, length: number])[];
} | {
    readonly command: "resource_detach_backing";
    readonly resource_id: number;
} | {
    readonly command: "update_cursor" | "move_cursor";
    readonly cursor: RawCursor;
} | {
    readonly command: "raw";
    readonly type: number;
    readonly body: readonly number[];
};
/** x, y, width, height. */
export type RawRect = readonly [x: number, y: number, width: number, height: number];
/** Body of a cursor command. */
export interface RawCursor {
    readonly scanout_id: number;
    readonly x: number;
    readonly y: number;
    readonly resource_id: number;
    readonly hot_x: number;
    readonly hot_y: number;
}
/** Little-endian 32-bit words. */
export declare function words(values: readonly number[]): number[];
/** The request's bytes: header of 24, then the body. */
export declare function requestBytes(command: RawCommand, fence?: RawFence): Uint8Array;
/** Bytes that a successful reply to this command takes. */
export declare function replyCapacity(command: RawCommand): number;
/** Lower-case hexadecimal. */
export declare function toHex(bytes: Uint8Array): string;
