/**
 * Plays a trace to another host, and compares: what it answers with what the first one did, and what its outputs show.
 * Guest memory lies elsewhere there, so the addresses in requests are translated.
 */
import { type Clock, GpuError } from "@virtgpu/core/base";
import { PAGE_BYTES, type DmaMap, type PageAllocator, type Pages } from "@virtgpu/core/memory";
import { GpuReply, HEADER_BYTES, MEMORY_ENTRY_BYTES, replyName } from "@virtgpu/core/wire";
import type { HostGpu } from "../hosts/machine.ts";
import { entriesOfRequest, type Range, rangesOfRequest, wordsOf } from "./backings.ts";
import { describeRequest } from "./print.ts";
import { RawDriver } from "./raw-driver.ts";
import { type TraceEntry, type TraceEntryOf, unpackPage } from "./trace-file.ts";
import { sha256Of } from "./trace-recorder.ts";

/** Something that is not as it was. */
export interface ReplayDifference {
  /** Which entry of the trace, from 1: the line after it in the file. */
  readonly entry: number;
  readonly what: string;
  readonly recorded: string;
  readonly replayed: string;
}

/** What a replay came to. */
export interface ReplayResult {
  readonly commands: number;
  readonly pictures: number;
  readonly differences: readonly ReplayDifference[];
  /** Where the host does not offer what the first one did, which need not show in any answer. */
  readonly features: readonly ReplayDifference[];
}

/** The machine that a trace is played on. */
export interface ReplayMachine {
  readonly gpu: HostGpu;
  readonly allocator: PageAllocator;
  readonly dma: DmaMap;
  readonly clock: Clock;
}

/** Replies that tell of the host, not of what it was asked: their bodies are not compared. */
const HOSTS_OWN: ReadonlySet<number> = new Set([
  GpuReply.OK_DISPLAY_INFO,
  GpuReply.OK_EDID,
  GpuReply.OK_CAPSET_INFO,
  GpuReply.OK_CAPSET,
  GpuReply.OK_RESOURCE_UUID,
]);
const TYPE_BYTES = 4;

/** Pages that a trace's devices read, in the order of their addresses: those next to each other stay so. */
export function memoryOf(entries: readonly TraceEntry[]): readonly Range[] {
  const ranges = entries
    .flatMap((entry) =>
      entry.kind === "command" ? rangesOfRequest(wordsOf(Buffer.from(entry.request, "hex"))) : pageOf(entry),
    )
    .filter(({ byteLength }) => byteLength > 0)
    .map(wholePages)
    .sort((a, b) => a.address - b.address);
  const merged: { address: number; byteLength: number }[] = [];
  for (const { address, byteLength } of ranges) {
    const last = merged.at(-1);
    if (last === undefined || address > last.address + last.byteLength) merged.push({ address, byteLength });
    else last.byteLength = Math.max(last.byteLength, address + byteLength - last.address);
  }
  return merged;
}

function pageOf(entry: TraceEntry): readonly Range[] {
  return entry.kind === "page" ? [{ address: entry.address, byteLength: PAGE_BYTES }] : [];
}

function wholePages({ address, byteLength }: Range): Range {
  const start = address - (address % PAGE_BYTES);
  return { address: start, byteLength: Math.ceil((address + byteLength - start) / PAGE_BYTES) * PAGE_BYTES };
}

/** Plays all of one device's entries. Throws GpuError where the host ends or hangs, EINVAL where the trace has two devices. */
export async function replay(machine: ReplayMachine, entries: readonly TraceEntry[]): Promise<ReplayResult> {
  const run = new Replay(machine, entries);
  try {
    for (const [index, entry] of entries.entries()) await run.play(entry, index + 1);
    return run.result;
  } finally {
    await run.end();
  }
}

class Replay {
  commands = 0;
  pictures = 0;
  readonly differences: ReplayDifference[] = [];
  readonly features: ReplayDifference[] = [];
  readonly #machine: ReplayMachine;
  readonly #driver: RawDriver;
  readonly #memory: TranslatedMemory;
  readonly #answers: ReadonlyMap<string, TraceEntryOf<"reply">>;
  #device: string | null = null;
  #life = 0;

  constructor(machine: ReplayMachine, entries: readonly TraceEntry[]) {
    const { gpu, allocator, dma, clock } = machine;
    this.#machine = machine;
    this.#driver = new RawDriver({ transport: gpu.connect(), allocator, dma, clock });
    this.#memory = new TranslatedMemory(allocator, dma, memoryOf(entries));
    this.#answers = answersOf(entries);
  }

  get result(): ReplayResult {
    return { commands: this.commands, pictures: this.pictures, differences: this.differences, features: this.features };
  }

  async play(entry: TraceEntry, number: number): Promise<void> {
    switch (entry.kind) {
      case "session":
        return this.#begin(entry, number);
      case "page":
        return this.#memory.write(entry.address, unpackPage(entry.data));
      case "command":
        return this.#command(entry, number);
      case "picture":
        return this.#picture(entry, number);
      default:
        return;
    }
  }

  async end(): Promise<void> {
    try {
      await this.#driver.end();
    } catch (error) {
      // The host may be gone: then nothing of it is left to end.
      if (!(error instanceof GpuError)) throw error;
    }
    this.#memory.release();
  }

  async #begin({ device, features }: TraceEntryOf<"session">, entry: number): Promise<void> {
    if (this.#device !== null && this.#device !== device) {
      throw new GpuError(
        "EINVAL",
        `the trace is of two devices, ${this.#device} and ${device}: only one can be replayed`,
      );
    }
    this.#device = device;
    this.#life += 1;
    const wanted = BigInt(`0x${features}`);
    const found = await this.#driver.bringUp(wanted);
    // Ring features are the transport's matter; what the device itself offers is compared.
    const [recorded, replayed] = [wanted & DEVICE_FEATURES, found & DEVICE_FEATURES];
    if (recorded !== replayed) {
      this.features.push({
        entry,
        what: "features of the device",
        recorded: `0x${recorded.toString(16)}`,
        replayed: `0x${replayed.toString(16)}`,
      });
    }
  }

  async #command(command: TraceEntryOf<"command">, entry: number): Promise<void> {
    const request = this.#memory.translate(Buffer.from(command.request, "hex"));
    const found = await this.#driver.send(command.queue === "control" ? 0 : 1, request, command.capacity);
    this.commands += 1;
    const recorded = this.#answers.get(`${this.#life} ${command.queue} ${command.sequence}`);
    // Never answered: the host had ended, or hung.
    if (recorded === undefined) return;
    const wanted = comparable(Buffer.from(recorded.bytes, "hex"));
    const got = comparable(found);
    if (Buffer.compare(wanted, got) === 0) return;
    this.differences.push({
      entry,
      what: describeRequest(wordsOf(Buffer.from(command.request, "hex"))),
      recorded: textOf(wanted),
      replayed: textOf(got),
    });
  }

  async #picture({ output, picture }: TraceEntryOf<"picture">, entry: number): Promise<void> {
    const found = await this.#machine.gpu.picture(output);
    this.pictures += 1;
    // A host without a word for a dark output shows something of its own there.
    if (picture === null) return;
    const hash = found === null ? null : sha256Of(found.rgba);
    if (hash === picture.sha256) return;
    const replayed = found === null ? "dark" : `${found.width}x${found.height} ${(hash ?? "").slice(0, 16)}`;
    const recorded = `${picture.width}x${picture.height} ${picture.sha256.slice(0, 16)}`;
    this.differences.push({ entry, what: `the picture of output ${output}`, recorded, replayed });
  }
}

/** Feature bits of the device type (0 to 23). */
const DEVICE_FEATURES = 0xff_ffffn;

/** The replies, by life, queue and sequence. */
function answersOf(entries: readonly TraceEntry[]): ReadonlyMap<string, TraceEntryOf<"reply">> {
  const answers = new Map<string, TraceEntryOf<"reply">>();
  let life = 0;
  for (const entry of entries) {
    if (entry.kind === "session") life += 1;
    if (entry.kind === "reply") answers.set(`${life} ${entry.queue} ${entry.sequence}`, entry);
  }
  return answers;
}

/** What of a reply both hosts have to agree about. */
function comparable(reply: Uint8Array): Uint8Array {
  const [type = 0] = wordsOf(reply.subarray(0, TYPE_BYTES));
  return HOSTS_OWN.has(type) ? reply.subarray(0, HEADER_BYTES) : reply;
}

function textOf(reply: Uint8Array): string {
  if (reply.byteLength < HEADER_BYTES) return `${reply.byteLength} bytes`;
  const [type = 0] = wordsOf(reply);
  return `${replyName(type)}, ${reply.byteLength} bytes ${Buffer.from(reply.subarray(TYPE_BYTES, 64)).toString("hex")}`;
}

interface Piece extends Range {
  readonly pages: Pages;
  readonly there: number;
}

/** The recorded machine's memory, at other addresses. */
class TranslatedMemory {
  readonly #allocator: PageAllocator;
  readonly #dma: DmaMap;
  readonly #pieces: readonly Piece[];

  constructor(allocator: PageAllocator, dma: DmaMap, ranges: readonly Range[]) {
    this.#allocator = allocator;
    this.#dma = dma;
    this.#pieces = ranges.map((range) => {
      const pages = allocator.allocate(range.byteLength, { contiguous: true });
      return { ...range, pages, there: dma.map(pages).addresses[0] ?? 0 };
    });
  }

  write(address: number, bytes: Uint8Array): void {
    const piece = this.#find(address);
    piece?.pages.write(address - piece.address, bytes);
  }

  /** The request with this machine's addresses. What names no memory of the trace stays as it is. */
  translate(request: Uint8Array): Uint8Array {
    const words = wordsOf(request);
    const entries = entriesOfRequest(words);
    if (entries === null) return request;
    for (const [index, { address }] of rangesOfRequest(words).entries()) {
      const piece = this.#find(address);
      if (piece === null) continue;
      const at = (entries.at + index * MEMORY_ENTRY_BYTES) >> 2;
      const there = piece.there + address - piece.address;
      words[at] = there;
      words[at + 1] = there / 2 ** 32;
    }
    return new Uint8Array(words.buffer, 0, request.byteLength);
  }

  release(): void {
    for (const { pages } of this.#pieces) {
      this.#dma.unmap(pages);
      this.#allocator.free(pages);
    }
  }

  #find(address: number): Piece | null {
    let [low, high] = [0, this.#pieces.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const piece = this.#pieces[middle];
      if (piece === undefined) return null;
      if (address < piece.address) high = middle - 1;
      else if (address >= piece.address + piece.byteLength) low = middle + 1;
      else return piece;
    }
    return null;
  }
}
