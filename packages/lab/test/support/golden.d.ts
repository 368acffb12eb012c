import type { QemuHost } from "../../src/hosts/qemu/qemu-host.ts";
import { type RawCommand } from "../../src/oracle/raw-commands.ts";
/** A command by the specification's field names, to be built anew by other means; a raw body is hexadecimal here. */
export type GoldenFields = Exclude<RawCommand, {
    readonly command: "raw";
}> | {
    readonly command: "raw";
    readonly type: number;
    readonly body: string;
};
/** One request and its reply. Hexadecimal strings are bytes as they lie in memory. */
export interface GoldenExchange {
    readonly name: string;
    readonly queue: "control" | "cursor";
    readonly fields: GoldenFields;
    /** Absent where all of it is 0. */
    readonly header?: {
        readonly flags: number;
        /** 64-bit, hexadecimal. */
        readonly fenceId: string;
        readonly contextId: number;
        readonly ringIndex: number;
    };
    readonly request: string;
    /** Bytes of the reply buffer; 0: there was none. */
    readonly capacity: number;
    /** Bytes that the device claimed to have written. */
    readonly used: number;
    /** These bytes, without the zeros at their end. */
    readonly reply: string;
}
/** All that was captured from one QEMU. */
export interface GoldenFile {
    /** Its version, e.g. `7.2.22`. */
    readonly qemu: string;
    readonly outputs: number;
    readonly ramBytes: number;
    /** Offered feature bits, hexadecimal. */
    readonly features: string;
    /** The first 16 bytes of device configuration space. */
    readonly config: string;
    /** The plan without fences, and after a reset once more with a fence in every request. */
    readonly plain: readonly GoldenExchange[];
    readonly fenced: readonly GoldenExchange[];
}
/** How an exchange is made: the used bytes of the reply. */
export type GoldenSend = (queue: 0 | 1, request: Uint8Array, capacity: number) => Uint8Array;
/** Plays one pass of the plan on a device that was just reset and has {@link GOLDEN_OUTPUTS} outputs. */
export declare function playGolden(send: GoldenSend, fenced: boolean): readonly GoldenExchange[];
/** Plays both passes on a freshly started host with {@link GOLDEN_OUTPUTS} outputs. */
export declare function captureGolden(host: QemuHost): Promise<GoldenFile>;
/** Where the core keeps what was captured from this version; patch releases share one file. */
export declare function goldenPath(version: string): URL;
/** The file's text: a line about the device, then a line for each exchange, to be read and compared by eye. */
export declare function goldenText(golden: GoldenFile): string;
/** Reads such a file. */
export declare function readGolden(path: URL): GoldenFile;
