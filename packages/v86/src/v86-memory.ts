/**
 * The guest's RAM in v86: bytes of its WebAssembly memory. That memory grows, which leaves all arrays over it empty, so
 * each access looks whether its array is still alive. What the device writes is remembered until {@link V86Memory.settle},
 * when v86 is told to drop the code it has translated from there: that runs WebAssembly, and may grow the memory, which
 * therefore never happens in the middle of a command.
 */
import { type GuestMemory, MemoryRangeError, type MemoryRegion, type RingMemory } from "@virtgpu/core/memory";
import type { V86Cpu } from "./internals.ts";

/** Ranges remembered one by one; beyond that the pages between the first and the last are dropped together. */
const RANGES_MAX = 64;

/** See the file's head. */
export class V86Memory implements GuestMemory {
  readonly regions: readonly MemoryRegion[];
  readonly #cpu: Pick<V86Cpu, "mem8" | "jit_dirty_cache">;
  readonly #byteLength: number;
  #bytes: Uint8Array = new Uint8Array(0);
  readonly #starts: Float64Array = new Float64Array(RANGES_MAX);
  readonly #ends: Float64Array = new Float64Array(RANGES_MAX);
  #ranges = 0;

  constructor(cpu: Pick<V86Cpu, "mem8" | "jit_dirty_cache">, byteLength: number) {
    this.#cpu = cpu;
    this.#byteLength = byteLength;
    this.regions = [{ address: 0, byteLength }];
  }

  /** All RAM, alive at this moment. */
  get bytes(): Uint8Array {
    if (this.#bytes.byteLength === 0) this.#bytes = this.#cpu.mem8.subarray(0, this.#byteLength);
    return this.#bytes;
  }

  contains(address: number, byteLength: number): boolean {
    return (
      address >= 0 &&
      byteLength >= 0 &&
      address + byteLength <= this.#byteLength &&
      Math.floor(address) === address &&
      Math.floor(byteLength) === byteLength
    );
  }

  read(address: number, target: Uint8Array): void {
    target.set(this.view(address, target.byteLength));
  }

  write(address: number, source: Uint8Array): void {
    this.view(address, source.byteLength).set(source);
    this.written(address, source.byteLength);
  }

  view(address: number, byteLength: number): Uint8Array {
    if (!this.contains(address, byteLength)) throw new MemoryRangeError(address, byteLength);
    return this.bytes.subarray(address, address + byteLength);
  }

  ringMemory(address: number, byteLength: number): RingMemory {
    if (!this.contains(address, byteLength)) throw new MemoryRangeError(address, byteLength);
    return new V86RingMemory(this, address, byteLength);
  }

  /** Neighbouring and overlapping ranges become one. */
  written(address: number, byteLength: number): void {
    const end = address + byteLength;
    const last = this.#ranges - 1;
    for (let index = last; index >= 0 && index > last - 4; index -= 1) {
      if (address > (this.#ends[index] ?? 0) || end < (this.#starts[index] ?? 0)) continue;
      this.#starts[index] = Math.min(address, this.#starts[index] ?? 0);
      this.#ends[index] = Math.max(end, this.#ends[index] ?? 0);
      return;
    }
    if (this.#ranges === RANGES_MAX) this.#join();
    this.#starts[this.#ranges] = address;
    this.#ends[this.#ranges] = end;
    this.#ranges += 1;
  }

  /** After a piece of work of the device: has v86 forget the code it translated from what was written. */
  settle(): void {
    const count = this.#ranges;
    this.#ranges = 0;
    for (let index = 0; index < count; index += 1) {
      this.#cpu.jit_dirty_cache(this.#starts[index] ?? 0, this.#ends[index] ?? 0);
    }
  }

  #join(): void {
    this.#starts[0] = Math.min(...this.#starts);
    this.#ends[0] = Math.max(...this.#ends);
    this.#ranges = 1;
  }
}

/** A window for rings: its arrays are made anew when the memory has grown. */
class V86RingMemory implements RingMemory {
  readonly byteLength: number;
  readonly #memory: V86Memory;
  readonly #address: number;
  #u8: Uint8Array = new Uint8Array(0);
  #u16: Uint16Array = new Uint16Array(0);
  #u32: Uint32Array = new Uint32Array(0);

  constructor(memory: V86Memory, address: number, byteLength: number) {
    this.#memory = memory;
    this.#address = address;
    this.byteLength = byteLength;
  }

  get u8(): Uint8Array {
    this.#renew();
    return this.#u8;
  }

  get u16(): Uint16Array {
    this.#renew();
    return this.#u16;
  }

  get u32(): Uint32Array {
    this.#renew();
    return this.#u32;
  }

  load16(index: number): number {
    return this.u16[index] ?? 0;
  }

  /** What was written before it into the window's arrays is marked as written with it. */
  store16(index: number, value: number): void {
    this.u16[index] = value;
    this.#memory.written(this.#address, this.byteLength);
  }

  /** Nothing to do: what is written is there. Guest and device run on one thread, in turns. */
  publish(): void {}

  refresh(): void {}

  #renew(): void {
    if (this.#u8.byteLength !== 0 || this.byteLength === 0) return;
    const { buffer, byteOffset } = this.#memory.bytes;
    const start = byteOffset + this.#address;
    this.#u8 = new Uint8Array(buffer, start, this.byteLength);
    this.#u16 = new Uint16Array(buffer, start, this.byteLength >> 1);
    this.#u32 = new Uint32Array(buffer, start, this.byteLength >> 2);
  }
}
