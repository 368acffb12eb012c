import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { encode } from "fast-png";
import { readPicture } from "../../src/scenarios/scene/picture-file.ts";
import type { FuzzTarget } from "../engine/program.ts";
import { refusing } from "./expected.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-fuzz-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "picture.png");
const SIGNATURE_BYTES = 8;

const png = (channels: number, depth: 8 | 16): Uint8Array =>
  encode({
    width: 16,
    height: 16,
    channels,
    depth,
    data: depth === 8 ? new Uint8Array(256 * channels) : new Uint16Array(256 * channels),
  });

/** The same chunks with checksums that are right: else no mutation would come past the first of them. */
function sealed(input: Uint8Array): Uint8Array {
  const bytes = Buffer.from(input);
  for (let at = SIGNATURE_BYTES; at + 12 <= bytes.length; ) {
    const end = at + 12 + bytes.readUInt32BE(at);
    if (end > bytes.length) break;
    bytes.writeUInt32BE(crc32(bytes.subarray(at + 4, end - 4)), end - 4);
    at = end;
  }
  return bytes;
}

export const target: FuzzTarget = {
  about: "PNG files",
  bytesMax: 2048,
  seeds: () => [png(1, 8), png(2, 8), png(3, 8), png(4, 16)],
  fuzz: (input) => {
    writeFileSync(file, sealed(input));
    refusing(() => readPicture(file));
  },
};
