/**
 * What a virtio-gpu device offers, its limits, and how it behaves where devices differ: asked of the device itself, with
 * commands that leave nothing behind.
 */
import type { Clock } from "@virtgpu/core/base";
import type { DmaMap, PageAllocator, Pages } from "@virtgpu/core/memory";
import type { Transport } from "@virtgpu/core/virtio";
import {
  type EdidTiming,
  CAPSET_INFO_REPLY_BYTES,
  DISPLAY_INFO_REPLY_BYTES,
  EDID_REPLY_BYTES,
  Format,
  GET_CAPSET_INFO_BYTES,
  GET_EDID_BYTES,
  GpuCommand,
  GpuConfig,
  GpuFeature,
  GpuReply,
  HEADER_BYTES,
  HeaderFlag,
  MEMORY_ENTRY_BYTES,
  parseEdid,
  RESOURCE_ATTACH_BACKING_BYTES,
  RESOURCE_CREATE_2D_BYTES,
  RESOURCE_FLUSH_BYTES,
  RESOURCE_UNREF_BYTES,
  readCapsetInfoReply,
  readDisplayInfoReply,
  readEdidReply,
  readHeader,
  replyName,
  VirtioFeature,
  writeGetCapsetInfo,
  writeGetEdid,
  writeHeader,
  writeMemoryEntry,
  writeResourceAttachBacking,
  writeResourceCreate2d,
  writeResourceFlush,
  writeResourceUnref,
} from "@virtgpu/core/wire";
import { wordsOf } from "../trace/backings.ts";
import { RawDriver } from "../trace/raw-driver.ts";

/** One output. Sizes in pixels. */
export interface OutputInfo {
  readonly index: number;
  readonly enabled: boolean;
  readonly width: number;
  readonly height: number;
  /** From its EDID; null where it has none that can be read. */
  readonly monitor: { readonly name: string; readonly preferred: string | null; readonly bytes: number } | null;
}

/** One way in which devices differ, and what this one does. */
export interface Behaviour {
  readonly name: string;
  readonly answer: string;
  /** What it means for a driver. */
  readonly meaning: string;
}

/** See the file's head. */
export interface DeviceInfo {
  readonly host: string;
  readonly transport: string;
  /** Names of what is offered, of the device type first; unknown bits by number. */
  readonly features: readonly string[];
  readonly queues: readonly { readonly name: string; readonly sizeMax: number }[];
  readonly outputs: readonly OutputInfo[];
  readonly capsets: readonly { readonly id: number; readonly maxVersion: number; readonly maxSize: number }[];
  /** Bytes of the host-visible region; 0 where there is none. */
  readonly hostVisibleBytes: number;
  /** Bytes; null where the device does not say. */
  readonly blobAlignment: number | null;
  /** Of the function that it is: null where there is none, as on MMIO. */
  readonly noSoftReset: boolean | null;
  readonly behaviour: readonly Behaviour[];
}

/** What is needed of a machine. */
export interface InfoParts {
  readonly host: string;
  readonly transport: Transport;
  readonly allocator: PageAllocator;
  readonly dma: DmaMap;
  readonly clock: Clock;
}

const RING_FEATURES_WITHOUT: readonly number[] = [VirtioFeature.RING_PACKED];
const HOST_VISIBLE_REGION = 1;
const SIZE = 64;
const MIB = 1 << 20;
/** Where the search for the largest image ends. */
const IMAGE_MIB_MAX = 4096;
const IMAGE_WIDTH = 16_384;
const ROWS_PER_MIB = MIB / (IMAGE_WIDTH * 4);
const ENTRIES_PROBED = [16_384, 16_385] as const;

/** Asks. The device is reset before and after. Throws GpuError where it does not answer. */
export async function deviceInfo(parts: InfoParts): Promise<DeviceInfo> {
  const { transport, host } = parts;
  const driver = new RawDriver(parts);
  const offered = transport.readDeviceFeatures();
  const queues = ["control", "cursor"].map((name, index) => ({ name, sizeMax: transport.queueSizeMax(index) }));
  const wanted = offered & ~RING_FEATURES_WITHOUT.reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n);
  try {
    await driver.bringUp(wanted);
    const ask = new Asker(driver);
    const has = (feature: number): boolean => (offered & (1n << BigInt(feature))) !== 0n;
    return {
      host,
      transport: transport.label,
      features: featureNames(offered),
      queues,
      outputs: await outputsOf(ask, transport, has(GpuFeature.EDID)),
      capsets: await capsetsOf(ask, transport),
      hostVisibleBytes: transport.sharedMemory(HOST_VISIBLE_REGION)?.byteLength ?? 0,
      blobAlignment: has(GpuFeature.BLOB_ALIGNMENT) ? transport.config.read32(GpuConfig.BLOB_ALIGNMENT) : null,
      noSoftReset: transport.power?.noSoftReset ?? null,
      behaviour: await behaviourOf(driver, ask, wanted, parts),
    };
  } finally {
    await driver.end();
  }
}

/** Names of feature bits. */
export function featureNames(features: bigint): readonly string[] {
  const known = new Map<number, string>(
    [...Object.entries(GpuFeature), ...Object.entries(VirtioFeature)].map(([name, bit]) => [bit, name]),
  );
  const bits = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (features & (1n << BigInt(bit))) !== 0n);
  return bits.map((bit) => known.get(bit) ?? `bit ${bit}`);
}

/** Commands by their words. */
class Asker {
  readonly #driver: RawDriver;

  constructor(driver: RawDriver) {
    this.#driver = driver;
  }

  /** The reply's words, at least a header's. */
  async send(
    command: number,
    byteLength: number,
    write: (words: Uint32Array) => void = () => {},
    options: { readonly capacity?: number; readonly flags?: number; readonly fence?: number } = {},
  ): Promise<Uint32Array> {
    const words = new Uint32Array(byteLength >> 2);
    writeHeader(words, 0, command, options.flags ?? 0, options.fence ?? 0, 0, 0, 0);
    write(words);
    const reply = await this.#driver.send(0, new Uint8Array(words.buffer), options.capacity ?? HEADER_BYTES);
    return wordsOf(reply);
  }

  /** The type of the reply. */
  async type(command: number, byteLength: number, write?: (words: Uint32Array) => void): Promise<number> {
    return (await this.send(command, byteLength, write))[0] ?? 0;
  }

  create(id: number, width: number, height: number): Promise<number> {
    return this.type(GpuCommand.RESOURCE_CREATE_2D, RESOURCE_CREATE_2D_BYTES, (words) =>
      writeResourceCreate2d(words, 0, id, Format.B8G8R8X8, width, height),
    );
  }

  unref(id: number): Promise<number> {
    return this.type(GpuCommand.RESOURCE_UNREF, RESOURCE_UNREF_BYTES, (words) => writeResourceUnref(words, 0, id));
  }
}

async function outputsOf(ask: Asker, transport: Transport, hasEdid: boolean): Promise<readonly OutputInfo[]> {
  const count = Math.min(16, transport.config.read32(GpuConfig.NUM_SCANOUTS));
  const reply = await ask.send(GpuCommand.GET_DISPLAY_INFO, HEADER_BYTES, undefined, {
    capacity: DISPLAY_INFO_REPLY_BYTES,
  });
  const { modes } = readDisplayInfoReply(reply, 0);
  const outputs: OutputInfo[] = [];
  for (const [index, { enabled, width, height }] of modes.slice(0, count).entries()) {
    outputs.push({
      index,
      enabled: enabled !== 0,
      width,
      height,
      monitor: hasEdid ? await monitorOf(ask, index) : null,
    });
  }
  return outputs;
}

async function monitorOf(ask: Asker, output: number): Promise<OutputInfo["monitor"]> {
  const reply = await ask.send(GpuCommand.GET_EDID, GET_EDID_BYTES, (words) => writeGetEdid(words, 0, output), {
    capacity: EDID_REPLY_BYTES,
  });
  if (reply[0] !== GpuReply.OK_EDID) return null;
  const { size, edid } = readEdidReply(reply, 0);
  const bytes = Math.min(size, edid.byteLength);
  const parsed = parseEdid(edid.subarray(0, bytes));
  if (!parsed.ok) return null;
  const { name, vendor, preferred } = parsed.edid;
  return { name: name ?? vendor, preferred: preferred === null ? null : timingText(preferred), bytes };
}

function timingText({ width, height, refreshMilliHz }: EdidTiming): string {
  return `${width}x${height} at ${Math.round(refreshMilliHz / 1000)} Hz`;
}

async function capsetsOf(ask: Asker, transport: Transport): Promise<DeviceInfo["capsets"]> {
  const count = Math.min(64, transport.config.read32(GpuConfig.NUM_CAPSETS));
  const capsets: { id: number; maxVersion: number; maxSize: number }[] = [];
  for (let index = 0; index < count; index += 1) {
    const reply = await ask.send(
      GpuCommand.GET_CAPSET_INFO,
      GET_CAPSET_INFO_BYTES,
      (words) => writeGetCapsetInfo(words, 0, index),
      { capacity: CAPSET_INFO_REPLY_BYTES },
    );
    if (reply[0] !== GpuReply.OK_CAPSET_INFO) break;
    const { capsetId: id, maxVersion, maxSize } = readCapsetInfoReply(reply, 0);
    capsets.push({ id, maxVersion, maxSize });
  }
  return capsets;
}

async function behaviourOf(
  driver: RawDriver,
  ask: Asker,
  features: bigint,
  parts: InfoParts,
): Promise<readonly Behaviour[]> {
  return [
    await overReset(driver, ask, features),
    await largestImage(ask),
    await mostEntries(driver, parts),
    await unknownResource(ask),
    await unaskedFence(ask),
  ];
}

async function overReset(driver: RawDriver, ask: Asker, features: bigint): Promise<Behaviour> {
  await ask.create(1, SIZE, SIZE);
  await driver.bringUp(features);
  const again = await ask.create(1, SIZE, SIZE);
  await ask.unref(1);
  const isKept = again === GpuReply.ERR_INVALID_RESOURCE_ID;
  return {
    name: "resources over a reset of the device",
    answer: isKept ? "kept" : "dropped",
    meaning: isKept ? "an id that exists is unreferenced and created once more" : "everything is created anew",
  };
}

/** In whole MiB, by halving; nothing is touched, so nothing is really taken. */
async function largestImage(ask: Asker): Promise<Behaviour> {
  const fits = async (mib: number): Promise<boolean> => {
    const type = await ask.create(2, IMAGE_WIDTH, mib * ROWS_PER_MIB);
    if (type !== GpuReply.OK_NODATA) return false;
    await ask.unref(2);
    return true;
  };
  let [fitting, failing] = [0, IMAGE_MIB_MAX];
  while (failing - fitting > 1) {
    const middle = (fitting + failing) >> 1;
    if (await fits(middle)) fitting = middle;
    else failing = middle;
  }
  return {
    name: "largest image",
    answer: `${fitting} MiB`,
    meaning: "all resources together may not be larger, where the device has one limit for all (max_hostmem)",
  };
}

async function mostEntries(driver: RawDriver, { allocator, dma }: InfoParts): Promise<Behaviour> {
  const page = allocator.allocate(4096);
  const address = dma.map(page).addresses[0] ?? 0;
  try {
    const [allowed, beyond] = [
      await attach(driver, address, ENTRIES_PROBED[0]),
      await attach(driver, address, ENTRIES_PROBED[1]),
    ];
    const isLimited = allowed === GpuReply.OK_NODATA && beyond !== GpuReply.OK_NODATA;
    return {
      name: "memory entries of a resource",
      answer: isLimited ? `${ENTRIES_PROBED[0]} at most` : `${replyName(allowed)} to ${ENTRIES_PROBED[0]}`,
      meaning: "a buffer in more pieces can't be attached",
    };
  } finally {
    freePage(allocator, dma, page);
  }
}

function freePage(allocator: PageAllocator, dma: DmaMap, page: Pages): void {
  dma.unmap(page);
  allocator.free(page);
}

async function attach(driver: RawDriver, address: number, count: number): Promise<number> {
  const ask = new Asker(driver);
  await ask.create(3, SIZE, SIZE);
  const byteLength = RESOURCE_ATTACH_BACKING_BYTES + count * MEMORY_ENTRY_BYTES;
  const type = await ask.type(GpuCommand.RESOURCE_ATTACH_BACKING, byteLength, (words) => {
    writeResourceAttachBacking(words, 0, 3, count);
    for (let index = 0; index < count; index += 1) {
      const at = (RESOURCE_ATTACH_BACKING_BYTES + index * MEMORY_ENTRY_BYTES) >> 2;
      writeMemoryEntry(words, at, address, 4096);
    }
  });
  await ask.unref(3);
  return type;
}

async function unknownResource(ask: Asker): Promise<Behaviour> {
  const type = await ask.type(GpuCommand.RESOURCE_FLUSH, RESOURCE_FLUSH_BYTES, (words) =>
    writeResourceFlush(words, 0, 0, 0, SIZE, SIZE, 999),
  );
  return {
    name: "a flush of an unknown resource",
    answer: replyName(type),
    meaning: "what a driver hears that did not bring its resources back",
  };
}

async function unaskedFence(ask: Asker): Promise<Behaviour> {
  const reply = await ask.send(GpuCommand.GET_DISPLAY_INFO, HEADER_BYTES, undefined, {
    capacity: DISPLAY_INFO_REPLY_BYTES,
    flags: HeaderFlag.FENCE,
    fence: 77,
  });
  const { flags, fenceLow } = readHeader(reply, 0);
  const isEchoed = (flags & HeaderFlag.FENCE) !== 0 && fenceLow === 77;
  return {
    name: "a fence on a command of 2D",
    answer: isEchoed ? "echoed" : "not echoed",
    meaning: isEchoed ? "fences can be waited for" : "no fence is ever signalled",
  };
}
