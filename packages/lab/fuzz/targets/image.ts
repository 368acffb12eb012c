import { type ImageFile, type ImageFiles, openImage, writeImage } from "../../src/image/index.ts";
import { encodeHeader } from "../../src/image/header.ts";
import type { FuzzTarget } from "../engine/program.ts";
import { refusingLater } from "./expected.ts";

/** One file in memory. */
class MemoryFile implements ImageFile {
  readonly identity = "1:1";
  bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  async size(): Promise<number> {
    return Promise.resolve(this.bytes.length);
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const part = this.bytes.subarray(position, position + target.length);
    target.set(part);
    return Promise.resolve(part.length);
  }

  async write(source: Uint8Array, position: number): Promise<void> {
    const grown = new Uint8Array(Math.max(this.bytes.length, position + source.length));
    grown.set(this.bytes);
    grown.set(source, position);
    this.bytes = grown;
    return Promise.resolve();
  }

  async sync(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }
}

const nothing = async (): Promise<void> => Promise.resolve();

function filesOf(file: MemoryFile): ImageFiles {
  return {
    create: async () => Promise.resolve(file),
    open: async () => Promise.resolve(file),
    kind: async () => Promise.resolve("file"),
    rename: nothing,
    remove: nothing,
    list: async () => Promise.resolve([]),
    syncFolder: nothing,
    claim: async () => Promise.resolve(nothing),
  };
}

const MACHINE = "6f0d2f4e-1b7a-4c55-9f62-3a2f4f0d8c11";
const RAM_BYTES = 4 * 4096;

/** A small image as it is written: one section, and RAM of which half is zero. */
async function written(codec: "raw" | "deflate"): Promise<Uint8Array> {
  const file = new MemoryFile(new Uint8Array(0));
  const ram = {
    byteLength: RAM_BYTES,
    read: (offset: number, target: Uint8Array) => {
      target.fill(offset === 0 ? 7 : 0);
    },
  };
  const identity = { machine: MACHINE, generation: 1 };
  const sections = new Map([["driver", Uint8Array.of(1, 2, 3)]]);
  await writeImage(
    "/image",
    { identity, ram, sections, codec },
    { files: filesOf(file), chunkBytes: 4096, newId: () => MACHINE },
  );
  return file.bytes;
}

/** The same bytes behind a header whose checksum is right, its fields being whatever the input says: else none would be looked at. */
function sealed(input: Uint8Array): Uint8Array {
  const view = new DataView(new Uint8Array(512).buffer);
  new Uint8Array(view.buffer).set(input.subarray(0, 512));
  const header = encodeHeader({
    id: MACHINE,
    identity: { machine: MACHINE, generation: 1 },
    writtenAtMs: 0,
    ramBytes: view.getUint32(64, true) * 4096,
    chunkBytes: view.getUint32(96, true),
    directoryOffset: view.getUint32(80, true),
    directoryBytes: view.getUint32(88, true),
    streams: view.getUint32(92, true),
  });
  const bytes = new Uint8Array(Math.max(512, input.length));
  bytes.set(input);
  bytes.set(header);
  return bytes;
}

export const target: FuzzTarget = {
  about: "hibernation images",
  bytesMax: 16384,
  seeds: async () => Promise.all([written("raw"), written("deflate")]),
  fuzz: async (input) => {
    for (const bytes of [input, sealed(input)]) {
      await refusingLater(async () => {
        const reader = await openImage("/image", { files: filesOf(new MemoryFile(bytes)) });
        try {
          await reader.verify();
        } finally {
          await reader.close();
        }
      });
    }
  },
};
