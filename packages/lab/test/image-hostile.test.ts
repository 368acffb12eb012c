/** Images made to harm: all checksums are right, and what they say is not. */
import { brotliCompressSync, constants, crc32, deflateSync } from "node:zlib";
import { GpuError } from "@virtgpu/core/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeDirectory, type StreamEntry } from "../src/image/directory.ts";
import { encodeHeader, type HeaderFields } from "../src/image/header.ts";
import { openImage } from "../src/image/index.ts";
import { checksumSeed } from "../src/image/layout.ts";
import { encodeRecordHeader, type RecordHeader } from "../src/image/record.ts";
import { CrashDisk } from "./support/crash-disk.ts";
import { MACHINE, pages, PAGE_BYTES, readAll } from "./support/image-content.ts";

const PATH = "/images/hostile.img";
const ID = "00000000-0000-4000-8000-000000000001";
const SEED = checksumSeed(ID);
const DATA_AT = 512;

/** A chunk and what its header says, where that is not what it should. */
interface Forged {
  readonly data: Uint8Array;
  readonly says?: Partial<RecordHeader>;
}

const section = (data: string, says: Partial<RecordHeader> = {}): Forged => ({
  data: Buffer.from(data),
  says: { bitmap: null, ...says },
});

const ram = (says: Partial<RecordHeader> = {}, data: Uint8Array = pages(7)): Forged => ({
  data,
  says: { bitmap: Uint8Array.from([1]), ...says },
});

function recordBytes({ data, says }: Forged, stream: number, index: number): { header: Uint8Array; bytes: Uint8Array } {
  const checksum = crc32(data, SEED);
  const sizes = { dataBytes: data.length, storedBytes: data.length };
  const fields: RecordHeader = { stream, index, ...sizes, codec: "raw", checksum, bitmap: null, ...says };
  const header = encodeRecordHeader(fields, SEED);
  return { header, bytes: Buffer.concat([header, data]) };
}

/** What to forge; everything else is as it should be. */
interface Forgery {
  /** Chunks of two sections `a` and `b`, and of RAM, a page each. */
  readonly a?: readonly Forged[];
  readonly b?: readonly Forged[];
  readonly ram?: readonly Forged[];
  readonly header?: Partial<HeaderFields>;
  readonly streams?: (streams: readonly StreamEntry[]) => readonly StreamEntry[];
}

function forge({
  a = [section("A")],
  b = [section("B")],
  ram: memory = [ram()],
  header,
  streams,
}: Forgery): Uint8Array {
  const parts: Uint8Array[] = [];
  const entries: StreamEntry[] = [];
  let offset = DATA_AT;
  for (const [number, chunks] of [a, b, memory].entries()) {
    const records = chunks.map((chunk, index) => recordBytes(chunk, number, index));
    const storedBytes = records.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const dataBytes = chunks.reduce((sum, { data, says }) => sum + (says?.dataBytes ?? data.length), 0);
    const checksum = records.reduce((sum, record) => crc32(record.header, sum), SEED);
    const byteLength = number === 2 ? 2 * PAGE_BYTES : dataBytes;
    const name = ["a", "b", ""][number] ?? "";
    entries.push({ name, byteLength, dataBytes, storedBytes, chunks: chunks.length, offset, checksum });
    parts.push(...records.map(({ bytes }) => bytes));
    offset += storedBytes;
  }
  const directory = encodeDirectory(streams === undefined ? entries : streams(entries), ID);
  const head = encodeHeader({
    id: ID,
    identity: { machine: MACHINE, generation: 1 },
    writtenAtMs: 0,
    ramBytes: 2 * PAGE_BYTES,
    chunkBytes: PAGE_BYTES,
    directoryOffset: offset,
    directoryBytes: directory.length,
    streams: 3,
    ...header,
  });
  return Buffer.concat([head, ...parts, directory]);
}

/** The message with which an image is refused; null when all of it can be read. */
async function refusal(bytes: Uint8Array): Promise<string | null> {
  try {
    await readAll(await openImage(PATH, { files: new CrashDisk(new Map([["hostile.img", bytes]])) }));
    return null;
  } catch (error) {
    if (error instanceof GpuError) return error.message;
    throw error;
  }
}

const change =
  (number: number, entry: (stream: StreamEntry) => Partial<StreamEntry>) =>
  (streams: readonly StreamEntry[]): readonly StreamEntry[] =>
    streams.map((stream, index) => (index === number ? { ...stream, ...entry(stream) } : stream));

const RAM = 2;
const bomb = new Uint8Array(16 << 20);
const packedBomb = brotliCompressSync(bomb, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });

const HARM: readonly (readonly [what: string, forgery: Forgery, sentence: RegExp])[] = [
  [
    "sections that overlap",
    { streams: change(1, ({ offset }) => ({ offset: offset - 1 })) },
    /not where the one before/,
  ],
  [
    "a gap between sections",
    { streams: change(1, ({ offset }) => ({ offset: offset + 1 })) },
    /not where the one before/,
  ],
  ["a section in the header", { streams: change(0, () => ({ offset: 0 })) }, /not where the one before/],
  ["sections out of order", { streams: ([a, b, c]) => [b, a, c].flatMap((s) => s ?? []) }, /not where the one before/],
  ["two sections of a name", { streams: change(1, () => ({ name: "a" })) }, /two sections "a"/],
  ["a name with an escape", { streams: change(1, () => ({ name: "\u001b[2J" })) }, /no proper name/],
  ["RAM that is not last", { streams: ([a, b, c]) => [a, c, b].flatMap((s) => s ?? []) }, /no proper name/],
  ["an image without RAM", { header: { streams: 2 } }, /does not end with RAM/],
  ["no streams", { header: { streams: 0 } }, /number of sections is impossible/],
  ["4 billion sections", { header: { streams: 2 ** 32 - 1 } }, /number of sections is impossible/],
  ["more streams than entries", { header: { streams: 4 } }, /no proper name|shorter/],
  ["a section of 2^52 bytes", { streams: change(0, () => ({ byteLength: 2 ** 52 })) }, /impossible size/],
  [
    "a section of 2^32 chunks",
    { streams: change(0, () => ({ byteLength: 2 ** 43, dataBytes: 2 ** 43, chunks: 2 ** 31 })) },
    /impossible size/,
  ],
  ["a section that ends behind the file", { streams: change(0, () => ({ storedBytes: 2 ** 50 })) }, /impossible size/],
  [
    "RAM that is not as large as the header says",
    { streams: change(RAM, () => ({ byteLength: 4096 })) },
    /impossible size/,
  ],
  ["more RAM in the file than there is", { streams: change(RAM, () => ({ dataBytes: 2 ** 40 })) }, /impossible size/],
  ["chunks that are not all of them", { streams: change(RAM, () => ({ checksum: 1 })) }, /belong together/],
  ["RAM of 2^60 bytes", { header: { ramBytes: 2 ** 60 } }, /RAM size is impossible/],
  ["half a page of RAM", { header: { ramBytes: 2048 } }, /RAM size is impossible/],
  ["chunks of 2 GiB", { header: { chunkBytes: 2 ** 31 } }, /chunk size is impossible/],
  ["chunks of nothing", { header: { chunkBytes: 0 } }, /chunk size is impossible/],
  ["chunks of three pages", { header: { chunkBytes: 3 * PAGE_BYTES } }, /chunk size is impossible/],
  ["a directory of 4 GiB", { header: { directoryBytes: 2 ** 32 - 1 } }, /directory size is impossible/],
  ["a directory in the header", { header: { directoryOffset: 8 } }, /directory offset is impossible/],
  ["a directory behind the file", { header: { directoryOffset: 2 ** 40 } }, /cut off/],
  ["an empty directory", { header: { directoryBytes: 0 } }, /follow its end|directory's checksum/],
  ["a chunk of another stream", { b: [section("B", { stream: 0 })] }, /wrong place/],
  ["a section that begins with its second chunk", { a: [section("A", { index: 1 })] }, /out of order/],
  ["the same chunk of RAM twice", { ram: [ram(), ram({ index: 0 })] }, /out of order/],
  ["a chunk behind the end of RAM", { ram: [ram({ index: 2 })] }, /behind the end/],
  ["chunk 4 billion", { ram: [ram({ index: 2 ** 32 - 1 })] }, /behind the end/],
  ["a chunk larger than a chunk", { ram: [ram({ dataBytes: 2 ** 31 })] }, /impossible size|not the size/],
  ["a page that is not there", { ram: [ram({ bitmap: Uint8Array.from([3]) })] }, /not the size/],
  ["a chunk without pages", { ram: [ram({ bitmap: Uint8Array.from([0]) })] }, /not the size/],
  ["a chunk stored longer than the file", { ram: [ram({ storedBytes: 2 ** 32 - 1 })] }, /impossible number/],
  ["raw bytes fewer than they are", { ram: [ram({ storedBytes: 100 })] }, /impossible number/],
  ["a packed chunk that grew", { ram: [ram({ codec: "deflate" })] }, /impossible number/],
  ["packed rubbish", { ram: [ram({ codec: "brotli", dataBytes: PAGE_BYTES }, Buffer.from("rubbish"))] }, /be unpacked/],
  [
    "too few bytes packed",
    { ram: [ram({ codec: "deflate", dataBytes: PAGE_BYTES }, deflateSync(bomb.subarray(0, 4095)))] },
    /be unpacked/,
  ],
  [
    "one byte too many packed",
    { ram: [ram({ codec: "deflate", dataBytes: PAGE_BYTES }, deflateSync(bomb.subarray(0, 4097)))] },
    /be unpacked/,
  ],
  ["a brotli bomb", { ram: [ram({ codec: "brotli", dataBytes: PAGE_BYTES }, packedBomb)] }, /be unpacked/],
];

describe("a hostile image", () => {
  it("is made of an image that is accepted as long as nothing in it is changed", async () => {
    expect(await refusal(forge({}))).toBeNull();
    expect(
      await refusal(forge({ ram: [ram(), ram()], a: [], b: [section("x".repeat(4096)), section("y")] })),
    ).toBeNull();
    const packed = ram({ codec: "deflate", dataBytes: PAGE_BYTES }, deflateSync(bomb.subarray(0, 4096)));
    expect(await refusal(forge({ ram: [packed] }))).toBeNull();
  });

  it.each(HARM)("is refused: %s", async (_what, forgery, sentence) => {
    const message = await refusal(forge(forgery));
    expect(message).toMatch(sentence);
    expect(message).toMatch(/^\/images\/hostile\.img: .*\((EINVAL|ENOTSUP)\)$/);
  });

  it("with a codec of the future is refused", async () => {
    const bytes = forge({});
    const at = DATA_AT + 2 * 33;
    const record = bytes.subarray(at, at + 33);
    new DataView(record.buffer, record.byteOffset).setUint32(16, 9, true);
    const checksum = crc32(record.subarray(32), crc32(record.subarray(0, 28), SEED));
    new DataView(record.buffer, record.byteOffset).setUint32(28, checksum, true);
    expect(await refusal(bytes)).toMatch(/packed in a way that this program does not know/);
  });

  it("that uses space which is reserved is refused", async () => {
    const bytes = Buffer.from(forge({}));
    bytes[200] = 1;
    bytes.writeUInt32LE(crc32(bytes.subarray(16, 508), crc32(bytes.subarray(0, 8))), 508);
    expect(await refusal(bytes)).toMatch(/reserved space is impossible/);
  });

  it("takes no memory by what it says: a bomb of 16 MiB is unpacked no further than a page", async () => {
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const watched = forge({ ram: [ram({ codec: "brotli", dataBytes: PAGE_BYTES }, packedBomb)] });
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }, 0);
    expect(await refusal(watched)).toMatch(/be unpacked/);
    clearInterval(watch);
    expect(most).toBeLessThan(bomb.length / 4);
  });

  it("ends in an error or in being read, whatever its header and its directory say", async () => {
    const size = fc.oneof(fc.nat(5000), fc.constantFrom(2 ** 31, 2 ** 32 - 1), fc.maxSafeNat());
    const u32 = fc.oneof(fc.nat(5000), fc.constantFrom(2 ** 31, 2 ** 32 - 1));
    const header = fc.record(
      {
        writtenAtMs: size,
        ramBytes: fc.oneof(size, fc.constant(4 * PAGE_BYTES)),
        chunkBytes: fc.oneof(u32, fc.constantFrom(4096, 8192, 1 << 24)),
        directoryOffset: size,
        directoryBytes: u32,
        streams: u32,
      },
      { requiredKeys: [] },
    );
    const entry = fc.record(
      { offset: size, byteLength: size, dataBytes: size, storedBytes: size, chunks: u32, checksum: u32 },
      { requiredKeys: [] },
    );
    const property = fc.asyncProperty(header, fc.nat(2), entry, async (head, number, changes) => {
      await refusal(forge({ header: head, streams: change(number, () => changes) }));
      await refusal(forge({ streams: change(number, () => changes) }));
      await refusal(forge({ header: head }));
    });
    await fc.assert(property, { numRuns: 300 });
  });
});
