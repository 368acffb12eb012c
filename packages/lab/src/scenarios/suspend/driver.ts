/**
 * What the suite needs of a driver. `VirtioGpu` is one as it stands; another driver takes part by an object of this shape.
 */
import type { PowerClient } from "@virtgpu/core/base";
import type { BufferExporter, Rect } from "@virtgpu/core/driver";
import type { Format } from "@virtgpu/core/wire";

/** Pixels in guest memory that outputs and cursors can show, four bytes each. Stays valid over every sleep. */
export interface TestedBuffer {
  /** The host's id of it. */
  readonly id: number;
  readonly width: number;
  readonly height: number;
  /** Bytes of its memory. */
  readonly byteLength: number;
  readonly shape: { readonly format: Format; readonly stride: number; readonly offset: number };
  /** `image`: the host keeps a copy. `blob`: the host reads guest memory. */
  readonly storage: "image" | "blob";
  readonly isAttached: boolean;
  read(offset: number, target: Uint8Array): void;
  write(offset: number, bytes: Uint8Array): void;
  /** Brings all of it, or a part, to the host and to the outputs that show it. */
  flush(rect?: Rect): Promise<void>;
  /** Takes the guest's memory away from the host, which keeps its copy. */
  detach(): Promise<void>;
  /** Gives it back. */
  attach(): Promise<void>;
  destroy(): void;
}

/** A cursor: an image of 64x64 pixels, B8G8R8A8. */
export interface TestedCursor {
  set(buffer: TestedBuffer, hotSpot: { readonly x: number; readonly y: number }): Promise<void>;
  move(x: number, y: number): Promise<void>;
  hide(): Promise<void>;
}

/** One output. */
export interface TestedOutput {
  readonly cursor: TestedCursor;
  /** What is known of its monitor; the first mode is the preferred one. */
  readonly connector: { readonly modes: readonly { readonly width: number; readonly height: number }[] };
  show(buffer: TestedBuffer, rect?: Rect): Promise<void>;
  disable(): Promise<void>;
}

/** A new buffer. `image` and B8G8R8X8 unless given; a driver that is never restarted may ignore the key. */
export interface TestedBufferOptions {
  readonly width: number;
  readonly height: number;
  readonly format?: Format | undefined;
  readonly storage?: "image" | "blob" | undefined;
  readonly key?: string | undefined;
}

/**
 * See the file's head. Calls change what is wanted at once, and their promises resolve when the host has it: made while
 * the device sleeps, after the restore.
 */
export interface TestedDriver {
  /** `running` when all is well. */
  readonly state: string;
  readonly power: PowerClient;
  /** Where there are several devices, the face of each to the system's sleep code; `power` is all of them then. */
  readonly clients?: readonly PowerClient[];
  createBuffer(options: TestedBufferOptions): Promise<TestedBuffer>;
  /** A buffer over memory that `exporter` lends. */
  importBuffer(exporter: BufferExporter, options: TestedBufferOptions): Promise<TestedBuffer>;
  output(index: number): TestedOutput;
  /** Calls `listener` when monitors changed, also over a sleep; returns the deregistration. */
  onHotplug(listener: (event: { readonly changes: readonly { readonly output: number }[] }) => void): () => void;
  /** Lets go of the device: it is reset, and memory is given back. Never throws. */
  remove(): Promise<void>;
}
