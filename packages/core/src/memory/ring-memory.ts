/**
 * The two kinds of {@link RingMemory}: over memory mapped into this process, and over memory that is reached by positioned
 * reads and writes (a file in /proc, a hypervisor's memory file, a debugger's line).
 *
 * Typed arrays throughout: a DataView access may be done byte by byte, and the peer would see it torn.
 */
import { assert } from "../base/assert.ts";
import type { RingMemory } from "./guest-memory.ts";

/** Memory that is reached by positioned reads and writes. Both transfer all of their array, or throw. */
export interface PositionedFile {
  /** Fills `target` from byte `position` of the file. */
  readAt(position: number, target: Uint8Array): void;
  /** Writes `source` at byte `position` of the file. */
  writeAt(position: number, source: Uint8Array): void;
}

/** Typed arrays are in the host's byte order and the rings in little endian: they must be the same. */
export const hostIsLittleEndian: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Window onto mapped memory: the arrays are the memory. */
export class MappedRingMemory implements RingMemory {
  readonly byteLength: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;

  /** `byteOffset` (in `buffer`) must be a multiple of 4. */
  constructor(buffer: ArrayBufferLike, byteOffset: number, byteLength: number) {
    assert(hostIsLittleEndian, "rings need a little-endian host");
    assert(byteOffset % 4 === 0, `a ring's memory starts on 4 bytes, not at ${byteOffset}`);
    this.byteLength = byteLength;
    this.u8 = new Uint8Array(buffer, byteOffset, byteLength);
    this.u16 = new Uint16Array(buffer, byteOffset, byteLength >> 1);
    this.u32 = new Uint32Array(buffer, byteOffset, byteLength >> 2);
  }

  /** Sequentially consistent, also on memory that is not a SharedArrayBuffer. */
  load16(index: number): number {
    return Atomics.load(this.u16, index);
  }

  /** Sequentially consistent: the full barrier that notification suppression needs. */
  store16(index: number, value: number): void {
    Atomics.store(this.u16, index, value);
  }

  /** Nothing to do: what is written is there. */
  publish(): void {}

  /** Nothing to do: what is read is there. */
  refresh(): void {}
}

/**
 * Window onto memory behind a file: the arrays are a private shadow. Each transfer is one system call, and the order is
 * that of the calls. A 16-bit word is moved whole by any sane kernel; a longer range may be torn, which is why
 * ownership changes hands by one word alone.
 */
export class FileRingMemory implements RingMemory {
  readonly byteLength: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly #file: PositionedFile;
  readonly #position: number;
  readonly #word: Uint8Array = new Uint8Array(2);

  /** The window is `byteLength` bytes of `file` from `position`; the shadow starts as what is there. */
  constructor(file: PositionedFile, position: number, byteLength: number) {
    assert(hostIsLittleEndian, "rings need a little-endian host");
    const shadow = new ArrayBuffer((byteLength + 3) & ~3);
    this.byteLength = byteLength;
    this.u8 = new Uint8Array(shadow, 0, byteLength);
    this.u16 = new Uint16Array(shadow);
    this.u32 = new Uint32Array(shadow);
    this.#file = file;
    this.#position = position;
    this.refresh(0, byteLength);
  }

  /** One read of two bytes; the shadow follows. */
  load16(index: number): number {
    assert(index * 2 + 2 <= this.byteLength, `word ${index} lies outside the window`);
    this.#file.readAt(this.#position + index * 2, this.#word);
    const value = (this.#word[0] ?? 0) | ((this.#word[1] ?? 0) << 8);
    this.u16[index] = value;
    return value;
  }

  /** One write of two bytes; the shadow follows. */
  store16(index: number, value: number): void {
    assert(index * 2 + 2 <= this.byteLength, `word ${index} lies outside the window`);
    this.u16[index] = value;
    this.#word[0] = value & 0xff;
    this.#word[1] = (value >> 8) & 0xff;
    this.#file.writeAt(this.#position + index * 2, this.#word);
  }

  /** Writes a range of the shadow through. */
  publish(byteOffset: number, byteLength: number): void {
    if (byteLength === 0) return;
    assert(byteOffset + byteLength <= this.byteLength, "publish outside the window");
    this.#file.writeAt(this.#position + byteOffset, this.u8.subarray(byteOffset, byteOffset + byteLength));
  }

  /** Reads a range into the shadow. */
  refresh(byteOffset: number, byteLength: number): void {
    if (byteLength === 0) return;
    assert(byteOffset + byteLength <= this.byteLength, "refresh outside the window");
    this.#file.readAt(this.#position + byteOffset, this.u8.subarray(byteOffset, byteOffset + byteLength));
  }
}
