/**
 * Hibernation images on this machine's disk, written and synced, and read: against a loop over the same chunks that
 * checksums and knows no format. Both take turns, so that neither has the disk to itself.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { BenchRow } from "../../../scripts/bench.ts";
import { type ImageCodec, openImage, type RamSink, type RamSource, writeImage } from "../src/image/index.ts";

const MIB = 1 << 20;
const CHUNK_BYTES = MIB;
const RAM_BYTES = 256 * MIB;
const ZERO_BYTES = 1024 * MIB;
const ROUNDS = 9;
const IDENTITY = { machine: "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9", generation: 1 };

const middle = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

function memory(bytes: Uint8Array): RamSource & RamSink {
  return {
    byteLength: bytes.length,
    read: (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
    write: (offset, source) => bytes.set(source, offset),
  };
}

/** Pixels as of a desktop: surfaces of one colour, slopes of colour, and a quarter like photographs, as noise. */
function pictures(): Uint8Array {
  const words = new Uint32Array(RAM_BYTES / 4);
  let state = 1;
  for (let at = 0; at < words.length; at += 1) {
    const kind = (at >> 16) & 3;
    if (kind === 0) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[at] = state;
    } else words[at] = kind === 1 ? 0xff_28_2c_34 : 0xff_00_00_00 | (((at % 1920) >> 3) * 0x01_01_00);
  }
  return new Uint8Array(words.buffer);
}

/** Writes and reads without a format. */
class PlainLoop {
  readonly #path: string;
  readonly #sums: number[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  async write(ram: RamSource): Promise<void> {
    const file = await open(this.#path, "w");
    const chunk = new Uint8Array(CHUNK_BYTES);
    this.#sums.length = 0;
    for (let offset = 0; offset < ram.byteLength; offset += CHUNK_BYTES) {
      await ram.read(offset, chunk);
      this.#sums.push(crc32(chunk));
      await file.write(chunk, 0, chunk.length, offset);
    }
    await file.datasync();
    await file.close();
  }

  async read(ram: RamSink): Promise<void> {
    const file = await open(this.#path, "r");
    const chunk = new Uint8Array(CHUNK_BYTES);
    for (let offset = 0; offset < ram.byteLength; offset += CHUNK_BYTES) {
      await file.read(chunk, 0, chunk.length, offset);
      if (crc32(chunk) !== this.#sums[offset / CHUNK_BYTES]) throw new Error("a wrong checksum");
      await ram.write(offset, chunk);
    }
    await file.close();
  }
}

async function writeOurs(path: string, ram: RamSource, codec: ImageCodec): Promise<number> {
  const { fileBytes } = await writeImage(path, { identity: IDENTITY, ram, sections: new Map(), codec });
  return fileBytes;
}

async function readOurs(path: string, ram: RamSink): Promise<void> {
  const image = await openImage(path);
  await image.readRam(ram);
  await image.close();
}

async function msOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** MiB/s of both, in turns, and which goes first changes; the first round is thrown away. */
async function inTurns(
  byteLength: number,
  ours: () => Promise<unknown>,
  theirs: () => Promise<unknown>,
  before: () => void = () => {},
): Promise<{ readonly ours: number; readonly theirs: number }> {
  const times: { readonly ours: number[]; readonly theirs: number[] } = { ours: [], theirs: [] };
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const turn of [round, round + 1]) {
      before();
      const isOurs = turn % 2 === 0;
      const ms = await msOf(isOurs ? ours : theirs);
      if (round > 0) times[isOurs ? "ours" : "theirs"].push(ms);
    }
  }
  const rate = (values: readonly number[]): number => byteLength / MIB / (middle(values) / 1000);
  return { ours: rate(times.ours), theirs: rate(times.theirs) };
}

function rateRow(name: string, { ours, theirs }: { readonly ours: number; readonly theirs: number }): BenchRow {
  const ratio = ours / theirs;
  return { name, value: ours, unit: "MiB/s", against: theirs, ratio, target: "ratio >= 0.9", met: ratio >= 0.9 };
}

const shown = (name: string, value: number, unit: string, against: number | null = null): BenchRow => {
  const ratio = against === null ? null : value / against;
  return { name, value, unit, against, ratio, target: "", met: null };
};

async function rawRows(folder: string, bytes: Uint8Array): Promise<readonly BenchRow[]> {
  const [path, plainPath] = [join(folder, "raw.img"), join(folder, "plain")];
  const ram = memory(bytes);
  const plain = new PlainLoop(plainPath);
  const clear = (): void => {
    for (const old of [path, plainPath]) rmSync(old, { force: true });
  };
  const written = await inTurns(
    RAM_BYTES,
    () => writeOurs(path, ram, "raw"),
    () => plain.write(ram),
    clear,
  );
  await writeOurs(path, ram, "raw");
  await plain.write(ram);
  const read = await inTurns(
    RAM_BYTES,
    () => readOurs(path, ram),
    () => plain.read(ram),
  );
  clear();
  return [
    rateRow("image, raw, written and synced (against chunks with checksum, no format)", written),
    rateRow("image, raw, read (against chunks with checksum, no format)", read),
  ];
}

async function packedRows(folder: string, bytes: Uint8Array, codec: ImageCodec): Promise<readonly BenchRow[]> {
  const [path, rawPath] = [join(folder, "packed.img"), join(folder, "raw.img")];
  const ram = memory(bytes);
  const written = await inTurns(
    RAM_BYTES,
    () => writeOurs(path, ram, codec),
    () => writeOurs(rawPath, ram, "raw"),
  );
  const fileBytes = await writeOurs(path, ram, codec);
  const read = await inTurns(
    RAM_BYTES,
    () => readOurs(path, ram),
    () => readOurs(rawPath, ram),
  );
  return [
    shown(`image, ${codec}, written and synced (against raw)`, written.ours, "MiB/s", written.theirs),
    shown(`image, ${codec}, read (against raw)`, read.ours, "MiB/s", read.theirs),
    shown(`image, ${codec}: the file (against memory)`, fileBytes / MIB, "MiB", RAM_BYTES / MIB),
  ];
}

/** Zero pages must be read to be known; what is left of the cost is looking at them. */
async function zeroRows(folder: string): Promise<readonly BenchRow[]> {
  const path = join(folder, "zeros.img");
  const zeros = new Uint8Array(CHUNK_BYTES);
  const ram: RamSource = { byteLength: ZERO_BYTES, read: (_offset, target) => target.set(zeros) };
  const readOnly = async (): Promise<void> => {
    const target = new Uint8Array(CHUNK_BYTES);
    for (let offset = 0; offset < ZERO_BYTES; offset += CHUNK_BYTES) {
      await ram.read(offset, target);
      if (Buffer.compare(target, zeros) !== 0) throw new Error("not zero");
    }
  };
  const { ours, theirs } = await inTurns(ZERO_BYTES, () => writeOurs(path, ram, "raw"), readOnly);
  return [
    shown("image of 1 GiB of zeros, written (against reading and comparing them)", ours, "MiB/s", theirs),
    shown("image of 1 GiB of zeros: the file", await writeOurs(path, ram, "raw"), "bytes"),
  ];
}

/** See the file's head. */
export async function rows(): Promise<readonly BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-bench-"));
  try {
    const bytes = pictures();
    return [
      ...(await rawRows(folder, bytes)),
      ...(await packedRows(folder, bytes, "deflate")),
      ...(await packedRows(folder, bytes, "brotli")),
      ...(await zeroRows(folder)),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
