/**
 * Which guest memory each resource is made of, as the commands of a driver tell: what a device may read at which command.
 */
import {
  BlobMemory,
  GpuCommand,
  MEMORY_ENTRY_BYTES,
  RESOURCE_ATTACH_BACKING_BYTES,
  RESOURCE_CREATE_BLOB_BYTES,
  readMemoryEntry,
  readResourceAttachBacking,
  readResourceCreateBlob,
  readResourceDetachBacking,
  readResourceFlush,
  readResourceUnref,
  readSetScanout,
  readTransferToHost2d,
  readUpdateCursor,
} from "@virtgpu/core/wire";

/** A range of bus addresses. */
export interface Range {
  readonly address: number;
  readonly byteLength: number;
}

interface Backing {
  readonly ranges: readonly Range[];
  /** Read whenever it is shown, and not by a transfer alone. */
  readonly isBlob: boolean;
}

/** Word of the type in a header. */
const TYPE = 0;

/** A request as words: a copy, for it may lie anywhere. */
export function wordsOf(request: Uint8Array): Uint32Array {
  const bytes = new Uint8Array((request.byteLength + 3) & ~3);
  bytes.set(request);
  return new Uint32Array(bytes.buffer);
}

/** Where a request's memory entries begin, in bytes, and how many there are; null where it has none. Cut to what is there. */
export function entriesOfRequest(request: Uint32Array): { readonly at: number; readonly count: number } | null {
  const room = (at: number): number => Math.max(0, Math.floor((4 * request.length - at) / MEMORY_ENTRY_BYTES));
  switch (request[TYPE]) {
    case GpuCommand.RESOURCE_ATTACH_BACKING: {
      const at = RESOURCE_ATTACH_BACKING_BYTES;
      return { at, count: Math.min(readResourceAttachBacking(request, 0).entryCount, room(at)) };
    }
    case GpuCommand.RESOURCE_CREATE_BLOB: {
      const at = RESOURCE_CREATE_BLOB_BYTES;
      return { at, count: Math.min(readResourceCreateBlob(request, 0).entryCount, room(at)) };
    }
    default:
      return null;
  }
}

/** The ranges that a request names. */
export function rangesOfRequest(request: Uint32Array): readonly Range[] {
  const entries = entriesOfRequest(request);
  if (entries === null) return [];
  return Array.from({ length: entries.count }, (_, index) =>
    readMemoryEntry(request, (entries.at + index * MEMORY_ENTRY_BYTES) >> 2),
  );
}

/** See the file's head. */
export class Backings {
  readonly #backings: Map<number, Backing> = new Map();

  /** The device was reset: it has no resources. */
  clear(): void {
    this.#backings.clear();
  }

  /** Takes a command, and gives the memory that the device may read because of it. */
  take(request: Uint32Array): readonly Range[] {
    switch (request[TYPE]) {
      case GpuCommand.RESOURCE_ATTACH_BACKING:
        this.#backings.set(readResourceAttachBacking(request, 0).resourceId, {
          ranges: rangesOfRequest(request),
          isBlob: false,
        });
        return [];
      case GpuCommand.RESOURCE_CREATE_BLOB: {
        const { resourceId, blobMemory } = readResourceCreateBlob(request, 0);
        const isBlob = blobMemory === BlobMemory.GUEST;
        this.#backings.set(resourceId, { ranges: rangesOfRequest(request), isBlob });
        return [];
      }
      case GpuCommand.RESOURCE_DETACH_BACKING:
        this.#backings.delete(readResourceDetachBacking(request, 0).resourceId);
        return [];
      case GpuCommand.RESOURCE_UNREF:
        this.#backings.delete(readResourceUnref(request, 0).resourceId);
        return [];
      case GpuCommand.TRANSFER_TO_HOST_2D:
        return this.#backings.get(readTransferToHost2d(request, 0).resourceId)?.ranges ?? [];
      case GpuCommand.RESOURCE_FLUSH:
        return this.#blob(readResourceFlush(request, 0).resourceId);
      case GpuCommand.SET_SCANOUT:
      case GpuCommand.SET_SCANOUT_BLOB:
        return this.#blob(readSetScanout(request, 0).resourceId);
      case GpuCommand.UPDATE_CURSOR:
        return this.#blob(readUpdateCursor(request, 0).resourceId);
      default:
        return [];
    }
  }

  #blob(id: number): readonly Range[] {
    const backing = this.#backings.get(id);
    return backing?.isBlob === true ? backing.ranges : [];
  }
}
