/**
 * What a machine's user believes, and nothing more: buffers with their bytes, what each output shows, where the cursors
 * are. It knows no driver, no host and no sleep; a sleep does nothing to it, and a resume from an image makes it what it
 * was when the image was taken.
 */
import type { HostPlan, Size } from "./schedule.ts";

/** Rows of a buffer, the last one excluded. */
export interface Rows {
  readonly first: number;
  readonly end: number;
}

/** Memory of somebody else: with him that owns it (`away`), lent, or gone for good. */
export type Lending = "own" | "lent" | "away" | "ended";

/** A buffer. */
export interface ModelBuffer {
  readonly key: string;
  readonly slot: number;
  readonly size: Size;
  /** Null until its making has ended. */
  storage: "image" | "blob" | null;
  bytes: Uint8Array;
  /** Rows that were painted and not flushed: what the host has of them is open. */
  stale: Rows | null;
  /** Counts paintings: a flush covers those before it. */
  paintings: number;
  isAttached: boolean;
  lending: Lending;
  /** Its maker was not yet told what came of it. */
  isPending: boolean;
}

/** What an output shows. */
export interface ModelOutput {
  readonly key: string;
  readonly rect: { readonly x: number; readonly y: number } & Size;
}

/** A context of the host's GPU. */
export interface ModelContext {
  readonly key: string;
  readonly slot: number;
  /** Its maker was not yet told what came of it. */
  isPending: boolean;
  /** Something was done in it, or at least tried. */
  isUsed: boolean;
  /** Its user knows that it is lost. */
  isLost: boolean;
}

/** A cursor; `key` null: hidden. */
export interface ModelCursor {
  readonly key: string | null;
  readonly hotX: number;
  readonly hotY: number;
  readonly x: number;
  readonly y: number;
  /** The user never asked for anything about it. */
  readonly isUntouched: boolean;
}

const NO_CURSOR: ModelCursor = { key: null, hotX: 0, hotY: 0, x: 0, y: 0, isUntouched: true };

/** See the file's head. */
export class MachineModel {
  readonly buffers: Map<string, ModelBuffer> = new Map();
  readonly contexts: Map<string, ModelContext> = new Map();
  readonly outputs: (ModelOutput | null)[];
  readonly cursors: ModelCursor[];
  /** Keys of what was lost before the image was taken. */
  readonly lostBefore: Set<string> = new Set();

  constructor(outputs: number) {
    this.outputs = Array.from({ length: outputs }, () => null);
    this.cursors = Array.from({ length: outputs }, () => NO_CURSOR);
  }

  /** The buffer in a slot; undefined where there is none. */
  inSlot(slot: number): ModelBuffer | undefined {
    for (const buffer of this.buffers.values()) if (buffer.slot === slot) return buffer;
    return undefined;
  }

  /** It is gone, and what showed it is dark. */
  remove(key: string): void {
    this.buffers.delete(key);
    this.darken(key);
  }

  /** The user is another one, who knows of nothing. */
  forgetAll(): void {
    this.buffers.clear();
    this.contexts.clear();
    this.outputs.fill(null);
    this.cursors.fill(NO_CURSOR);
    this.lostBefore.clear();
  }

  /** Nothing shows it any more. */
  darken(key: string): void {
    this.outputs.forEach((shown, output) => {
      if (shown?.key === key) this.outputs[output] = null;
    });
    this.cursors.forEach((cursor, output) => {
      if (cursor.key === key) this.cursors[output] = { ...cursor, key: null };
    });
  }

  paint(buffer: ModelBuffer, rows: Rows, bytes: Uint8Array): void {
    buffer.bytes.set(bytes, rows.first * buffer.size.width * 4);
    buffer.paintings += 1;
    const { stale } = buffer;
    buffer.stale =
      stale === null ? rows : { first: Math.min(stale.first, rows.first), end: Math.max(stale.end, rows.end) };
  }

  /** What an image keeps. */
  clone(): MachineModel {
    const copy = new MachineModel(this.outputs.length);
    for (const [key, buffer] of this.buffers) copy.buffers.set(key, { ...buffer, bytes: buffer.bytes.slice() });
    for (const [key, context] of this.contexts) copy.contexts.set(key, { ...context });
    this.outputs.forEach((shown, output) => (copy.outputs[output] = shown));
    this.cursors.forEach((cursor, output) => (copy.cursors[output] = cursor));
    for (const key of this.lostBefore) copy.lostBefore.add(key);
    return copy;
  }
}

/** Whether a host can't hold a buffer at all. */
export function isBeyond(host: HostPlan, buffer: ModelBuffer): boolean {
  return buffer.lending === "ended" || (buffer.storage === "blob" && !host.blob);
}

/** Whether a host may have no room for the images that there are: then any of them may be missing. */
export function isShort(host: HostPlan, model: MachineModel): boolean {
  if (host.memoryBytes === null) return false;
  let bytes = 0;
  for (const { storage, size } of model.buffers.values()) if (storage !== "blob") bytes += size.width * size.height * 4;
  return bytes >= host.memoryBytes;
}
