/** How chunks are packed, and unpacked into no more bytes than they may have. */
import { promisify } from "node:util";
import { brotliCompress, brotliDecompress, constants, deflate, inflate } from "node:zlib";
import type { ImageCodec } from "./types.ts";

/** In a record: the index is the codec's number. */
export const CODECS: readonly ImageCodec[] = ["raw", "deflate", "brotli"];

const brotliCompressAsync = promisify(brotliCompress);
const brotliDecompressAsync = promisify(brotliDecompress);
const deflateAsync = promisify(deflate);
const inflateAsync = promisify(inflate);

/** A window of 1 MiB: what the default chunk has. */
const BROTLI_WINDOW_BITS = 20;

/** The packed bytes, or null where they would take as much room as `bytes`. */
export async function pack(bytes: Uint8Array, codec: ImageCodec): Promise<Uint8Array | null> {
  if (codec === "raw") return null;
  const packed = await (codec === "deflate" ? deflateAsync(bytes, deflateOptions(bytes)) : packBrotli(bytes));
  return packed.length < bytes.length ? packed : null;
}

const deflateOptions = (bytes: Uint8Array): { level: number; chunkSize: number } => ({
  level: 1,
  chunkSize: outputRoom(bytes.length),
});

function packBrotli(bytes: Uint8Array): Promise<Buffer> {
  return brotliCompressAsync(bytes, {
    chunkSize: outputRoom(bytes.length),
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 1,
      [constants.BROTLI_PARAM_LGWIN]: BROTLI_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });
}

/** Room for the output in one piece, since each further piece is a trip to another thread; zlib wants 64 bytes at least. */
const outputRoom = (byteLength: number): number => Math.max(64, byteLength);

/** Unpacks to exactly `byteLength` bytes; null where that is not what comes out. A bomb is stopped at that length. */
export async function unpack(
  packed: Uint8Array,
  codec: Exclude<ImageCodec, "raw">,
  byteLength: number,
): Promise<Uint8Array | null> {
  const options = { maxOutputLength: byteLength, chunkSize: outputRoom(byteLength) };
  try {
    const bytes = await (codec === "deflate" ? inflateAsync : brotliDecompressAsync)(packed, options);
    return bytes.length === byteLength ? bytes : null;
  } catch {
    return null;
  }
}
