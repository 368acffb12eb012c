/** A function's configuration space as a file: sysfs's `config`, or a region of a VFIO device. */
import { closeSync, readSync, writeSync } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import type { BusAccess } from "@virtgpu/core/virtio";
import { errnoName } from "../native/system-call-error.ts";

/** See the file's head. Each access is one system call of exactly its width. */
export class ConfigFile implements BusAccess {
  readonly #label: string;
  readonly #position: number;
  readonly #buffer: Uint8Array = new Uint8Array(4);
  #fd: number;

  /** `position` is the file's byte at which configuration space begins. The descriptor stays its owner's unless closed here. */
  constructor(fd: number, label: string, position = 0) {
    this.#fd = fd;
    this.#label = label;
    this.#position = position;
  }

  read8(offset: number): number {
    this.#read(offset, 1);
    return this.#buffer[0] ?? 0;
  }

  read16(offset: number): number {
    this.#read(offset, 2);
    return (this.#buffer[0] ?? 0) | ((this.#buffer[1] ?? 0) << 8);
  }

  read32(offset: number): number {
    this.#read(offset, 4);
    const [a = 0, b = 0, c = 0, d = 0] = this.#buffer;
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
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

  /** Closes the file: every access after it is ENODEV. */
  close(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  #read(offset: number, width: number): void {
    const bytes = this.#attempt(() => readSync(this.#fd, this.#buffer, 0, width, this.#position + offset));
    if (bytes !== width) throw this.#gone(`${bytes} of ${width} bytes at 0x${offset.toString(16)} were read`);
  }

  #write(offset: number, width: number, value: number): void {
    for (let index = 0; index < width; index += 1) this.#buffer[index] = (value >>> (8 * index)) & 0xff;
    const bytes = this.#attempt(() => writeSync(this.#fd, this.#buffer, 0, width, this.#position + offset));
    if (bytes !== width) throw this.#gone(`${bytes} of ${width} bytes at 0x${offset.toString(16)} were written`);
  }

  #attempt(transfer: () => number): number {
    if (this.#fd < 0) throw new GpuError("ENODEV", "it was given back", { device: this.#label });
    try {
      return transfer();
    } catch (error) {
      throw this.#gone(errnoName(error) ?? "?", error);
    }
  }

  #gone(why: string, cause?: unknown): GpuError {
    return new GpuError("ENODEV", `its configuration space can't be reached (${why})`, { device: this.#label, cause });
  }
}
