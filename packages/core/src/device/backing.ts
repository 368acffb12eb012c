/**
 * A resource's guest memory: the memory entries of RESOURCE_ATTACH_BACKING and RESOURCE_CREATE_BLOB (VIRTIO 1.2 section
 * 5.7.6.8).
 */
import type { GuestMemory } from "../memory/guest-memory.ts";
import type { ScatterList } from "../memory/pages.ts";
import { GpuReply } from "../wire/gpu.ts";
import { MEMORY_ENTRY_BYTES, readMemoryEntryAddress, readMemoryEntryByteLength } from "../wire/gpu.gen.ts";
import type { GpuState } from "./gpu-state.ts";
import type { CommandLane } from "./lane.ts";
import type { Resource } from "./resource.ts";

/** Attaches the memory entries that follow at byte `offset` of a request. None at all leave the resource without backing. */
export function attachEntries(
  state: GpuState,
  lane: CommandLane,
  resource: Resource,
  offset: number,
  count: number,
): number {
  const { entriesMax, entriesTotalMax } = state.setup.limits;
  if (count > entriesMax) return GpuReply.ERR_UNSPEC;
  if (state.entries + count > entriesTotalMax) return GpuReply.ERR_OUT_OF_MEMORY;
  const words = lane.copyWords(offset, count * MEMORY_ENTRY_BYTES);
  if (words === null) return GpuReply.ERR_UNSPEC;
  if (count === 0) return GpuReply.OK_NODATA;
  const backing = packEntries(state.memory, words, count);
  if (backing === null) return GpuReply.ERR_UNSPEC;
  resource.backing = backing;
  state.entries += backing.count;
  return GpuReply.OK_NODATA;
}

/** Ends a resource's backing, if it has one. */
export function detach(state: GpuState, resource: Resource): void {
  state.entries -= resource.backing?.count ?? 0;
  resource.backing = null;
}

/** A length that QEMU takes for a range that wraps; no page-wise backing has it. */
const LENGTH_REFUSED = 0xffff_ffff;
/** A merged range fits 32 bits, and is one that would be taken. */
const RANGE_BYTES_MAX = LENGTH_REFUSED - 1;

/**
 * Checks and packs memory entries as they came from the guest (a private copy): none may be empty, or lie outside guest
 * memory. Neighbours are merged, which changes nothing but the time it takes to copy. Null when one is wrong.
 */
export function packEntries(memory: GuestMemory, entries: Uint32Array, count: number): ScatterList | null {
  // One entry is the most frequent case, and typed arrays are large objects.
  if (count === 1) return packOne(memory, readMemoryEntryAddress(entries, 0), readMemoryEntryByteLength(entries, 0));
  let addresses = new Float64Array(count);
  let lengths = new Uint32Array(count);
  let used = 0;
  let start = 0;
  let length = 0;
  for (let index = 0; index < count; index += 1) {
    const word = index * (MEMORY_ENTRY_BYTES >> 2);
    const address = readMemoryEntryAddress(entries, word);
    const byteLength = readMemoryEntryByteLength(entries, word);
    if (!isMemory(memory, address, byteLength)) return null;
    const merged = length + byteLength;
    if (used > 0 && start + length === address && merged <= RANGE_BYTES_MAX && memory.contains(start, merged)) {
      length = merged;
    } else {
      used += 1;
      start = address;
      length = byteLength;
    }
    addresses[used - 1] = start;
    lengths[used - 1] = length;
  }
  if (used < count) {
    addresses = addresses.slice(0, used);
    lengths = lengths.slice(0, used);
  }
  return { count: used, addresses, lengths };
}

function packOne(memory: GuestMemory, address: number, byteLength: number): ScatterList | null {
  return isMemory(memory, address, byteLength) ? { count: 1, addresses: [address], lengths: [byteLength] } : null;
}

function isMemory(memory: GuestMemory, address: number, byteLength: number): boolean {
  return byteLength !== 0 && byteLength !== LENGTH_REFUSED && memory.contains(address, byteLength);
}
