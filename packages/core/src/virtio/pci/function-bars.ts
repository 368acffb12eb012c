/**
 * BARs of a PCI function as register blocks: what the bus decodes, and shared memory behind one.
 */
import type { BusAccess } from "../bus-access.ts";
import type { DeviceSharedMemory } from "../device-model.ts";

/** A block that reads all ones and takes no writes while it is not decoded. */
export class DecodedBar implements BusAccess {
  decoded: boolean = false;
  readonly #block: BusAccess;

  constructor(block: BusAccess) {
    this.#block = block;
  }

  read8(offset: number): number {
    return this.decoded ? this.#block.read8(offset) : 0xff;
  }

  read16(offset: number): number {
    return this.decoded ? this.#block.read16(offset) : 0xffff;
  }

  read32(offset: number): number {
    return this.decoded ? this.#block.read32(offset) : 0xffff_ffff;
  }

  write8(offset: number, value: number): void {
    if (this.decoded) this.#block.write8(offset, value);
  }

  write16(offset: number, value: number): void {
    if (this.decoded) this.#block.write16(offset, value);
  }

  write32(offset: number, value: number): void {
    if (this.decoded) this.#block.write32(offset, value);
  }
}

/** A model's shared memory regions, one behind the other. What lies between and behind them reads 0. */
export class SharedMemoryBlock implements BusAccess {
  readonly #regions: readonly { readonly start: number; readonly bytes: Uint8Array }[];

  constructor(regions: readonly DeviceSharedMemory[], offsets: readonly number[]) {
    this.#regions = offsets.map((start, index) => ({ start, bytes: regions[index]?.bytes ?? new Uint8Array(0) }));
  }

  /** A live view of bytes that lie in one region, or null. */
  view(offset: number, byteLength: number): Uint8Array | null {
    for (const { start, bytes } of this.#regions) {
      const first = offset - start;
      if (first >= 0 && byteLength >= 0 && first + byteLength <= bytes.length) {
        return bytes.subarray(first, first + byteLength);
      }
    }
    return null;
  }

  read8(offset: number): number {
    return this.#read(offset, 1);
  }

  read16(offset: number): number {
    return this.#read(offset, 2);
  }

  read32(offset: number): number {
    return this.#read(offset, 4);
  }

  write8(offset: number, value: number): void {
    this.#write(offset, 1, value);
  }

  write16(offset: number, value: number): void {
    this.#write(offset, 2, value);
  }

  write32(offset: number, value: number): void {
    this.#write(offset, 4, value);
  }

  #read(offset: number, width: number): number {
    const bytes = this.view(offset, width);
    return bytes === null ? 0 : bytes.reduceRight((value, byte) => value * 256 + byte, 0);
  }

  #write(offset: number, width: number, value: number): void {
    const bytes = this.view(offset, width);
    for (let index = 0; bytes !== null && index < width; index += 1) bytes[index] = value >>> (8 * index);
  }
}
