/** Mapped memory with one owner, who unmaps it once: a view that is touched afterwards would end the process. */
import { loadSys, MapFlag, Prot, type Sys } from "./sys.ts";

/** A mapping of this process. */
export class Mapping {
  readonly address: bigint;
  readonly byteLength: number;
  readonly #sys: Sys;
  #bytes: Uint8Array<ArrayBuffer> | null;

  private constructor(sys: Sys, address: bigint, byteLength: number) {
    this.#sys = sys;
    this.address = address;
    this.byteLength = byteLength;
    this.#bytes = new Uint8Array(sys.view(address, byteLength));
  }

  /** Part of a file or device, shared, for reading and writing. `offset` is a multiple of the page size. Throws SystemCallError. */
  static ofFile(fd: number, byteLength: number, offset: number | bigint = 0, sys: Sys = loadSys()): Mapping {
    return new Mapping(sys, sys.mmap(byteLength, Prot.READ | Prot.WRITE, MapFlag.SHARED, fd, offset), byteLength);
  }

  /** Zeroed memory. `flags` are further ones of {@link MapFlag}. Throws SystemCallError. */
  static anonymous(byteLength: number, flags: number, sys: Sys = loadSys()): Mapping {
    const address = sys.mmap(byteLength, Prot.READ | Prot.WRITE, MapFlag.ANONYMOUS | flags, -1, 0);
    return new Mapping(sys, address, byteLength);
  }

  /** All of it, live; empty once it is closed. No part of it may be kept longer than the owner lives. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes ?? new Uint8Array(0);
  }

  /** Unmaps it. Twice is once. */
  close(): void {
    if (this.#bytes === null) return;
    this.#bytes = null;
    this.#sys.munmap(this.address, this.byteLength);
  }
}
