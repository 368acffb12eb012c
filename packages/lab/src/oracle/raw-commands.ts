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
export const NO_FENCE: RawFence = { flags: 0, fenceId: 0n, contextId: 0, ringIndex: 0 };

/** The fields of one command, by the names of the specification; enough to write its bytes or to rebuild it elsewhere. */
export type RawCommand =
  | { readonly command: "get_display_info" }
  | { readonly command: "get_edid"; readonly scanout: number }
  | {
      readonly command: "resource_create_2d";
      readonly resource_id: number;
      readonly format: number;
      readonly width: number;
      readonly height: number;
    }
  | { readonly command: "resource_unref"; readonly resource_id: number }
  | { readonly command: "set_scanout"; readonly r: RawRect; readonly scanout_id: number; readonly resource_id: number }
  | { readonly command: "resource_flush"; readonly r: RawRect; readonly resource_id: number }
  | {
      readonly command: "transfer_to_host_2d";
      readonly r: RawRect;
      readonly offset: number;
      readonly resource_id: number;
    }
  | {
      readonly command: "resource_attach_backing";
      readonly resource_id: number;
      readonly entries: readonly (readonly [address: number, length: number])[];
    }
  | { readonly command: "resource_detach_backing"; readonly resource_id: number }
  | { readonly command: "update_cursor" | "move_cursor"; readonly cursor: RawCursor }
  | { readonly command: "raw"; readonly type: number; readonly body: readonly number[] };

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

const TYPES = {
  get_display_info: 0x100,
  resource_create_2d: 0x101,
  resource_unref: 0x102,
  set_scanout: 0x103,
  resource_flush: 0x104,
  transfer_to_host_2d: 0x105,
  resource_attach_backing: 0x106,
  resource_detach_backing: 0x107,
  get_edid: 0x10a,
  update_cursor: 0x300,
  move_cursor: 0x301,
} as const;

/** Little-endian 32-bit words. */
export function words(values: readonly number[]): number[] {
  return values.flatMap((value) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff]);
}

/** A 64-bit number as two words, low first. */
function wide(value: number): readonly [number, number] {
  return [value % 2 ** 32, Math.floor(value / 2 ** 32)];
}

function body(command: RawCommand): readonly number[] {
  switch (command.command) {
    case "get_display_info":
      return [];
    case "get_edid":
      return words([command.scanout, 0]);
    case "resource_create_2d":
      return words([command.resource_id, command.format, command.width, command.height]);
    case "resource_unref":
    case "resource_detach_backing":
      return words([command.resource_id, 0]);
    case "set_scanout":
      return words([...command.r, command.scanout_id, command.resource_id]);
    case "resource_flush":
      return words([...command.r, command.resource_id, 0]);
    case "transfer_to_host_2d":
      return words([...command.r, ...wide(command.offset), command.resource_id, 0]);
    case "resource_attach_backing":
      return words([
        command.resource_id,
        command.entries.length,
        ...command.entries.flatMap(([address, length]) => [...wide(address), length, 0]),
      ]);
    case "update_cursor":
    case "move_cursor": {
      const { scanout_id, x, y, resource_id, hot_x, hot_y } = command.cursor;
      return words([scanout_id, x, y, 0, resource_id, hot_x, hot_y, 0]);
    }
    case "raw":
      return command.body;
  }
}

/** The request's bytes: header of 24, then the body. */
export function requestBytes(command: RawCommand, fence: RawFence = NO_FENCE): Uint8Array {
  const type = command.command === "raw" ? command.type : TYPES[command.command];
  const id = [Number(fence.fenceId & 0xffffffffn), Number(fence.fenceId >> 32n)];
  const header = words([type, fence.flags, ...id, fence.contextId, fence.ringIndex & 0xff]);
  return Uint8Array.from([...header, ...body(command)]);
}

/** Bytes that a successful reply to this command takes. */
export function replyCapacity(command: RawCommand): number {
  switch (command.command) {
    case "get_display_info":
      return 408;
    case "get_edid":
      return 1056;
    default:
      return 24;
  }
}

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
