/**
 * The configuration space of a PCI function, seen from the device: bytes, which of their bits take writes, and two hooks
 * for what lives (PCI Local Bus 3.0 section 6).
 */
import { assert } from "../../base/assert.ts";
import { PciCap, PciHeader } from "../../wire/pci.ts";
import type { BusAccess } from "../bus-access.ts";

/** Bytes of the part that the capability list lives in. */
export const CONVENTIONAL_CONFIG_BYTES = 256;
const EXTENDED_CONFIG_BYTES = 4096;

/** Called around accesses that touch bytes `offset` up to `offset + width`. */
export interface ConfigHooks {
  beforeRead(offset: number, width: number): void;
  afterWrite(offset: number, width: number): void;
}

/** See the file's head. Accesses behind its end, or of a function that is gone, read all ones and write nothing. */
export class FunctionConfig implements BusAccess {
  readonly byteLength: number;
  /** The first 256 bytes; the rest of an extended space is empty. */
  readonly bytes: Uint8Array = new Uint8Array(CONVENTIONAL_CONFIG_BYTES);
  readonly writable: Uint8Array = new Uint8Array(CONVENTIONAL_CONFIG_BYTES);
  /** The function was pulled out. */
  gone: boolean = false;
  readonly #initial: Uint8Array = new Uint8Array(CONVENTIONAL_CONFIG_BYTES);
  #hooks: ConfigHooks | null = null;
  #end: number = PciHeader.BYTES;
  #link: number = PciHeader.CAPABILITIES;

  constructor(extended: boolean) {
    this.byteLength = extended ? EXTENDED_CONFIG_BYTES : CONVENTIONAL_CONFIG_BYTES;
  }

  // While the function is built.

  /** Sets the value after a reset, and which bits of it take writes. */
  define(offset: number, width: 1 | 2 | 4, value: number, writable: number = 0): void {
    for (let index = 0; index < width; index += 1) {
      this.#initial[offset + index] = value >>> (8 * index);
      this.writable[offset + index] = writable >>> (8 * index);
    }
  }

  /** Appends a capability of `byteLength` bytes to the list; returns its offset. */
  addCapability(id: number, byteLength: number): number {
    const offset = this.#end;
    assert(offset + byteLength <= CONVENTIONAL_CONFIG_BYTES, "the capabilities fit configuration space");
    this.define(this.#link, 1, offset);
    this.define(offset + PciCap.ID, 1, id);
    this.#link = offset + PciCap.NEXT;
    this.#end = Math.ceil((offset + byteLength) / 4) * 4;
    return offset;
  }

  /** Ends the building. */
  seal(hooks: ConfigHooks): void {
    this.#hooks = hooks;
    this.reset();
  }

  // From then on.

  /** All as defined. */
  reset(): void {
    this.bytes.set(this.#initial);
  }

  /** Takes on saved bytes, as far as they take writes. */
  load(saved: ArrayLike<number>): void {
    for (let offset = 0; offset < this.bytes.length; offset += 1) {
      const mask = this.writable[offset] ?? 0;
      this.bytes[offset] = ((this.#initial[offset] ?? 0) & ~mask) | ((saved[offset] ?? 0) & mask);
    }
  }

  /** The value as it stands, without hooks. */
  peek(offset: number, width: 1 | 2 | 4): number {
    let value = 0;
    for (let index = width - 1; index >= 0; index -= 1) value = (value << 8) | (this.bytes[offset + index] ?? 0);
    return value >>> 0;
  }

  /** Sets what takes no writes, or what a write is to be answered with. */
  poke(offset: number, width: 1 | 2 | 4, value: number): void {
    for (let index = 0; index < width; index += 1) this.bytes[offset + index] = value >>> (8 * index);
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

  #read(offset: number, width: 1 | 2 | 4): number {
    const inside = Number.isInteger(offset) && offset >= 0 && offset + width <= this.byteLength;
    if (this.gone || !inside) return width === 4 ? 0xffff_ffff : width === 2 ? 0xffff : 0xff;
    this.#hooks?.beforeRead(offset, width);
    return this.peek(offset, width);
  }

  #write(offset: number, width: 1 | 2 | 4, value: number): void {
    const inside = Number.isInteger(offset) && offset >= 0 && offset + width <= this.bytes.length;
    if (this.gone || !inside) return;
    for (let index = 0; index < width; index += 1) {
      const at = offset + index;
      const mask = this.writable[at] ?? 0;
      this.bytes[at] = ((this.bytes[at] ?? 0) & ~mask) | ((value >>> (8 * index)) & mask);
    }
    this.#hooks?.afterWrite(offset, width);
  }
}
