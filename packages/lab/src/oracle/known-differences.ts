/**
 * Where our device answers otherwise than QEMU on purpose: the rows of the table of differences that a sequence can
 * meet, each with the test that recognises it.
 */
import type { Divergence } from "./judge.ts";
import type { GuestAnswer } from "./ring-guest.ts";
import { ORACLE_RAM_BYTES } from "./side.ts";

/** A row of the table. */
export interface KnownDifference {
  /** Its id in the core's table. */
  readonly id: string;
  /** Both devices are in the same state afterwards. */
  readonly harmless: boolean;
  readonly explains: (divergence: Divergence) => boolean;
  /** Where both answer alike, but do something else: whether this request, so answered, does that. */
  readonly parts?: (request: Uint8Array, answer: GuestAnswer) => boolean;
}

function word(bytes: Uint8Array | undefined, offset: number): number {
  if (bytes === undefined || bytes.length < offset + 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(offset, true);
}

const HEADER_BYTES = 24;
const [TRANSFER_TO_HOST_2D, ATTACH_BACKING, GET_EDID] = [0x105, 0x106, 0x10a];
const [OK_NODATA, OK_EDID] = [0x1100, 0x1104];
const [ERR_UNSPEC, ERR_INVALID_PARAMETER] = [0x1200, 0x1205];

const NOTHING = new Uint8Array(0);

/** Bytes of the request structure of each command that QEMU's 2D device knows. */
const REQUEST_BYTES: ReadonlyMap<number, number> = new Map([
  [0x100, 24],
  [0x101, 40],
  [0x102, 32],
  [0x103, 48],
  [0x104, 48],
  [0x105, 56],
  [0x106, 32],
  [0x107, 32],
  [0x10a, 32],
]);

/** All of them; the ids are those of the core's DEVICE_DIFFERENCES. */
export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    id: "short-header",
    harmless: true,
    explains: ({ what, queue, sent, qemu, other }) =>
      what === "answer" &&
      queue === 0 &&
      (sent?.request.length ?? HEADER_BYTES) < HEADER_BYTES &&
      qemu?.used === null &&
      isAnswer(other, ERR_UNSPEC),
  },
  {
    id: "short-request",
    harmless: true,
    explains: ({ what, queue, sent, qemu, other }) => {
      const { length = 0 } = sent?.request ?? {};
      const isShort = length >= HEADER_BYTES && length < (REQUEST_BYTES.get(word(sent?.request, 0)) ?? 0);
      return (
        what === "answer" &&
        queue === 0 &&
        isShort &&
        isAnswer(qemu, OK_NODATA) &&
        isAnswer(other, ERR_INVALID_PARAMETER)
      );
    },
  },
  {
    id: "unreadable-request",
    harmless: false,
    explains: ({ what, queue, sent, other }) =>
      what === "answer" && queue === 0 && sent?.outside === "readable" && isAnswer(other, ERR_UNSPEC),
  },
  {
    id: "unwritable-reply",
    harmless: true,
    explains: ({ what, sent, qemu, other }) =>
      what === "answer" && sent?.outside === "writable" && (other?.used ?? 0) < (qemu?.used ?? 0),
  },
  {
    id: "edid",
    harmless: true,
    explains: ({ what, queue, sent, qemu, other }) =>
      what === "answer" &&
      queue === 0 &&
      word(sent?.request, 0) === GET_EDID &&
      isAnswer(qemu, OK_EDID) &&
      qemu?.used === other?.used &&
      Buffer.compare(
        qemu?.reply.subarray(0, HEADER_BYTES) ?? NOTHING,
        other?.reply.subarray(0, HEADER_BYTES) ?? NOTHING,
      ) === 0,
  },
  {
    id: "entry-outside-memory",
    harmless: false,
    explains: ({ what, queue, sent, qemu, other }) =>
      what === "answer" &&
      queue === 0 &&
      word(sent?.request, 0) === ATTACH_BACKING &&
      hasEntryOutside(sent?.request ?? NOTHING) &&
      isAnswer(qemu, OK_NODATA) &&
      isAnswer(other, ERR_UNSPEC),
    // Where the driver left no room to see it.
    parts: (request, answer) =>
      word(request, 0) === ATTACH_BACKING && hasEntryOutside(request) && isAnswer(answer, OK_NODATA),
  },
  {
    id: "transfer-offset",
    harmless: false,
    explains: () => false,
    parts: (request, answer) =>
      word(request, 0) === TRANSFER_TO_HOST_2D &&
      request.length >= 56 &&
      word(request, 44) !== 0 &&
      isAnswer(answer, OK_NODATA),
  },
  {
    id: "transfer-behind-backing",
    harmless: false,
    explains: ({ what, sent, other, sentence }) =>
      what === "end" &&
      sentence.includes("iov_to_buf_full: Assertion `offset == 0' failed") &&
      word(sent?.request, 0) === TRANSFER_TO_HOST_2D &&
      (other?.used === 0 || word(other?.reply, 0) === OK_NODATA),
  },
];

/** Whether this is a reply of this type, as far as the driver left room for it. */
function isAnswer(answer: GuestAnswer | null, type: number): boolean {
  if (answer === null || answer.used === null) return false;
  const bytes = new Uint8Array(new Uint32Array([type]).buffer);
  return answer.reply.subarray(0, Math.min(4, answer.used)).every((byte, index) => byte === bytes[index]);
}

/** Whether a memory entry of RESOURCE_ATTACH_BACKING goes beyond guest memory. */
function hasEntryOutside(request: Uint8Array): boolean {
  const count = Math.min(word(request, 28), (request.length - 32) >> 4);
  return Array.from({ length: count }, (_, index) => 32 + 16 * index).some((at) => {
    const address = word(request, at + 4) * 2 ** 32 + word(request, at);
    return address + word(request, at + 8) > ORACLE_RAM_BYTES;
  });
}

/** The row that explains a difference, or null. */
export function explain(divergence: Divergence): KnownDifference | null {
  return KNOWN_DIFFERENCES.find((row) => row.explains(divergence)) ?? null;
}

/** The row that says that the devices are no longer in the same state after this request, or null. */
export function partingAt(request: Uint8Array, answer: GuestAnswer): KnownDifference | null {
  return KNOWN_DIFFERENCES.find((row) => row.parts?.(request, answer) === true) ?? null;
}

/** Whether a sequence can go on after it. */
export function isHarmless({ harmless }: KnownDifference): boolean {
  return harmless;
}
