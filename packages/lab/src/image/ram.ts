/**
 * Guest memory as an image sees it: bytes from 0 on, without the holes of the guest's address space.
 */
import type { GuestMemory, PositionedFile } from "@virtgpu/core/memory";
import type { RamSink, RamSource } from "./types.ts";

const ZEROS_BYTES: number = 1 << 20;

/** All regions of a guest's memory, one after the other. */
export function guestRam(memory: GuestMemory): RamSource & Required<RamSink> {
  const byteLength = memory.regions.reduce((sum, region) => sum + region.byteLength, 0);
  return {
    byteLength,
    read: (offset, target) =>
      eachPiece(memory, offset, target.length, (address, at, length) =>
        memory.read(address, target.subarray(at, at + length)),
      ),
    write: (offset, bytes) =>
      eachPiece(memory, offset, bytes.length, (address, at, length) =>
        memory.write(address, bytes.subarray(at, at + length)),
      ),
    zero: (offset, length) => eachPiece(memory, offset, length, (address, _at, piece) => zero(memory, address, piece)),
  };
}

function eachPiece(
  memory: GuestMemory,
  offset: number,
  byteLength: number,
  use: (address: number, at: number, byteLength: number) => void,
): void {
  const end = offset + byteLength;
  let before = 0;
  for (const region of memory.regions) {
    const from = Math.max(offset, before);
    const to = Math.min(end, before + region.byteLength);
    if (from < to) use(region.address + from - before, from - offset, to - from);
    before += region.byteLength;
  }
}

function zero(memory: GuestMemory, address: number, byteLength: number): void {
  const zeros = new Uint8Array(Math.min(ZEROS_BYTES, byteLength));
  for (let done = 0; done < byteLength; done += zeros.length) {
    memory.write(address + done, zeros.subarray(0, Math.min(zeros.length, byteLength - done)));
  }
}

/** A file that is a guest's RAM, `byteLength` bytes of it. */
export function fileRam(file: PositionedFile, byteLength: number): RamSource & Required<RamSink> {
  return {
    byteLength,
    read: (offset, target) => file.readAt(offset, target),
    write: (offset, bytes) => file.writeAt(offset, bytes),
    zero: (offset, length) => {
      const zeros = new Uint8Array(Math.min(ZEROS_BYTES, length));
      for (let done = 0; done < length; done += zeros.length) {
        file.writeAt(offset + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
      }
    },
  };
}
