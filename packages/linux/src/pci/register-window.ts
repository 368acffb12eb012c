/**
 * A mapped BAR as registers. Typed arrays of exactly the access's width: a DataView may take a register byte by byte,
 * which a device answers wrongly.
 */
import { GpuError } from "@virtgpu/core/base";
import type { BusAccess } from "@virtgpu/core/virtio";

/** See the file's head. `bytes` has to start on a multiple of 4. */
export class RegisterWindow implements BusAccess {
  readonly #label: string;
  #u8: Uint8Array;
  #u16: Uint16Array;
  #u32: Uint32Array;

  constructor(bytes: Uint8Array, label: string) {
    const { buffer, byteOffset, byteLength } = bytes;
    this.#label = label;
    this.#u8 = bytes;
    this.#u16 = new Uint16Array(buffer, byteOffset, byteLength >> 1);
    this.#u32 = new Uint32Array(buffer, byteOffset, byteLength >> 2);
  }

  read8(offset: number): number {
    return this.#u8[offset] ?? this.#refuse(offset);
  }

  read16(offset: number): number {
    return this.#u16[offset >> 1] ?? this.#refuse(offset);
  }

  read32(offset: number): number {
    return this.#u32[offset >> 2] ?? this.#refuse(offset);
  }

  write8(offset: number, value: number): void {
    if (offset >= this.#u8.length) this.#refuse(offset);
    this.#u8[offset] = value;
  }

  write16(offset: number, value: number): void {
    if (offset >> 1 >= this.#u16.length) this.#refuse(offset);
    this.#u16[offset >> 1] = value;
  }

  write32(offset: number, value: number): void {
    if (offset >> 2 >= this.#u32.length) this.#refuse(offset);
    this.#u32[offset >> 2] = value;
  }

  /** Before its memory is unmapped: every access after it is ENODEV. */
  close(): void {
    this.#u8 = new Uint8Array(0);
    this.#u16 = new Uint16Array(0);
    this.#u32 = new Uint32Array(0);
  }

  #refuse(offset: number): never {
    throw new GpuError("ENODEV", `no register is mapped at 0x${offset.toString(16)}`, { device: this.#label });
  }
}
