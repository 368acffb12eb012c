/**
 * Copies descriptors out of memory that the driver may be writing, once each, and collects them into a chain under the
 * rules that both ring layouts share (VIRTIO 1.2 sections 2.7.5, 2.8.7): no empty buffer, nothing to read after something
 * to write, a bounded number, at most 2^32 bytes.
 *
 * The two layouts agree on the first three words of a descriptor: address (two), length. The fourth is left to them.
 */
import type { GuestMemory } from "../memory/guest-memory.ts";
import { DESCRIPTOR_BYTES } from "../wire/ring.ts";
import { type Chain, DESCRIPTOR_LIST_MAX, RingViolation } from "./queue.ts";

const TWO_32 = 2 ** 32;
/** Memory of more regions than this is not searched for the one an indirect table lies in: the table is copied. */
const REGIONS_SEARCHED_MAX = 8;

/** See the file's head. */
export class DescriptorReader {
  /** Of the descriptor that was loaded last: the lower and the upper half of its fourth word. */
  flags: number = 0;
  next: number = 0;
  #address = 0;
  #length = 0;

  readonly #memory: GuestMemory;
  #chain: Chain | null = null;
  #totalBytes = 0;
  #readableBytes = 0;
  // Where descriptors are loaded from: words from #base.
  #words: Uint32Array = new Uint32Array(0);
  #base = 0;
  // A mapped region of memory that indirect tables were found in.
  #region: Uint32Array | null = null;
  #regionStart = 0;
  #regionEnd = 0;
  // A private copy of an indirect table that is not mapped, or not on 4 bytes.
  #copy: Uint32Array | null = null;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Starts a chain whose descriptors lie in `words` from word `base`. */
  begin(chain: Chain, words: Uint32Array, base: number): void {
    chain.list.clear();
    this.#chain = chain;
    this.#words = words;
    this.#base = base;
    this.#totalBytes = 0;
    this.#readableBytes = 0;
  }

  /** Copies descriptor `index`. */
  load(index: number): void {
    const words = this.#words;
    const word = this.#base + index * 4;
    const fourth = words[word + 3] ?? 0;
    // Beyond 2^53 the sum is rounded, but stays beyond: no memory is there.
    this.#address = (words[word + 1] ?? 0) * TWO_32 + (words[word] ?? 0);
    this.#length = words[word + 2] ?? 0;
    this.flags = fourth & 0xffff;
    this.next = fourth >>> 16;
  }

  /** Adds the loaded descriptor to the chain. */
  accept(writable: boolean): void {
    const length = this.#length;
    const list = this.#chain?.list;
    if (list === undefined) return;
    if (length === 0) throw new RingViolation("an empty buffer");
    if (list.count >= DESCRIPTOR_LIST_MAX)
      throw new RingViolation(`a chain of more than ${DESCRIPTOR_LIST_MAX} buffers`);
    this.#totalBytes += length;
    if (this.#totalBytes > TWO_32) throw new RingViolation("a chain of more than 2^32 bytes");
    if (writable) {
      list.pushWritable(this.#address, length);
      return;
    }
    if (list.count > list.readable) throw new RingViolation("a buffer to read after one to write");
    list.pushReadable(this.#address, length);
    this.#readableBytes += length;
  }

  /** Goes on in the indirect table that the loaded descriptor names; returns how many descriptors it has. */
  enterTable(): number {
    const address = this.#address;
    const byteLength = this.#length;
    if (byteLength === 0 || byteLength % DESCRIPTOR_BYTES !== 0) {
      throw new RingViolation(`an indirect table of ${byteLength} bytes`);
    }
    const entries = byteLength / DESCRIPTOR_BYTES;
    if (entries > DESCRIPTOR_LIST_MAX) throw new RingViolation(`an indirect table of ${entries} descriptors`);
    if (!this.#memory.contains(address, byteLength)) {
      throw new RingViolation(`an indirect table at 0x${address.toString(16)}, outside guest memory`);
    }
    if (!this.#enterMapped(address, byteLength)) this.#enterCopy(address, byteLength);
    return entries;
  }

  /** Ends the chain: fills in its sums. */
  end(): void {
    const chain = this.#chain;
    if (chain === null) return;
    chain.readableBytes = this.#readableBytes;
    chain.writableBytes = this.#totalBytes - this.#readableBytes;
    this.#chain = null;
  }

  #enterMapped(address: number, byteLength: number): boolean {
    if (address % 4 !== 0) return false;
    // Memory that has moved leaves an empty view.
    const isThere = this.#region !== null && this.#region.length > 0;
    const inside = isThere && address >= this.#regionStart && address + byteLength <= this.#regionEnd;
    if (!inside && !this.#findRegion(address, byteLength)) return false;
    if (this.#region === null) return false;
    this.#words = this.#region;
    this.#base = (address - this.#regionStart) / 4;
    return true;
  }

  #findRegion(address: number, byteLength: number): boolean {
    const { regions } = this.#memory;
    if (regions.length > REGIONS_SEARCHED_MAX) return false;
    for (const region of regions) {
      const end = region.address + region.byteLength;
      if (address < region.address || address + byteLength > end || region.address % 4 !== 0) continue;
      const view = this.#memory.view(region.address, region.byteLength);
      if (view === null || view.byteOffset % 4 !== 0) return false;
      this.#region = new Uint32Array(view.buffer, view.byteOffset, Math.floor(view.byteLength / 4));
      this.#regionStart = region.address;
      this.#regionEnd = end;
      return true;
    }
    return false;
  }

  #enterCopy(address: number, byteLength: number): void {
    this.#copy ??= new Uint32Array((DESCRIPTOR_LIST_MAX * DESCRIPTOR_BYTES) / 4);
    this.#memory.read(address, new Uint8Array(this.#copy.buffer, 0, byteLength));
    this.#words = this.#copy;
    this.#base = 0;
  }
}
