/**
 * MSI-X's table and pending bits, as the register block that its BAR shows (PCI Local Bus 3.0 section 6.8.2).
 */
import { PciMsixEntry } from "../../wire/pci.ts";
import { HIGH_WORD } from "../../wire/words.ts";
import type { BusAccess } from "../bus-access.ts";
import { MSIX_PENDING_OFFSET } from "./function-layout.ts";

const WORDS = PciMsixEntry.BYTES / 4;
const CONTROL_WORD = PciMsixEntry.VECTOR_CONTROL / 4;
const PENDING_WORD = MSIX_PENDING_OFFSET / 4;

/** What an unmasked vector sends. */
export interface MsixMessage {
  /** Where the message is written. */
  readonly address: number;
  /** The 32 bits that are written. */
  readonly data: number;
}

/** See the file's head. At most 32 vectors. Narrow reads give their part of a word, narrow writes do nothing. */
export class MsixTable implements BusAccess {
  readonly vectors: number;
  readonly words: Uint32Array;
  /** Bit per vector. */
  pending: number = 0;
  readonly #onUnmask: () => void;

  constructor(vectors: number, onUnmask: () => void) {
    this.vectors = vectors;
    this.words = new Uint32Array(vectors * WORDS);
    this.#onUnmask = onUnmask;
    this.reset();
  }

  /** All vectors masked, nothing pending. */
  reset(): void {
    this.words.fill(0);
    for (let vector = 0; vector < this.vectors; vector += 1) {
      this.words[vector * WORDS + CONTROL_WORD] = PciMsixEntry.MASKED;
    }
    this.pending = 0;
  }

  /** Lets all vectors through. */
  unmaskAll(): void {
    for (let vector = 0; vector < this.vectors; vector += 1) this.words[vector * WORDS + CONTROL_WORD] = 0;
    this.#onUnmask();
  }

  isMasked(vector: number): boolean {
    return ((this.words[vector * WORDS + CONTROL_WORD] ?? PciMsixEntry.MASKED) & PciMsixEntry.MASKED) !== 0;
  }

  message(vector: number): MsixMessage {
    const word = vector * WORDS;
    const low = this.words[word] ?? 0;
    return { address: (this.words[word + 1] ?? 0) * HIGH_WORD + low, data: this.words[word + 2] ?? 0 };
  }

  read8(offset: number): number {
    return this.#part(offset, 1) & 0xff;
  }

  read16(offset: number): number {
    return this.#part(offset, 2) & 0xffff;
  }

  read32(offset: number): number {
    return this.#part(offset, 4);
  }

  write8(): void {}

  write16(): void {}

  write32(offset: number, value: number): void {
    const word = offset / 4;
    if (!Number.isInteger(word) || word < 0 || word >= this.words.length) return;
    const isControl = word % WORDS === CONTROL_WORD;
    this.words[word] = isControl ? value & PciMsixEntry.MASKED : value;
    if (isControl) this.#onUnmask();
  }

  #part(offset: number, width: number): number {
    const byte = offset & 3;
    if (byte + width > 4) return 0;
    const index = (offset - byte) / 4;
    const word = index === PENDING_WORD ? this.pending : (this.words[index] ?? 0);
    return (word >>> (8 * byte)) >>> 0;
  }
}
