/**
 * Foresees the transfers that end QEMU 7.2: a row of the source that starts behind the backing's last byte fails an
 * assertion in its `iov_to_buf`. A sequence with such a request tells nothing more, and a new QEMU costs as much time
 * as ten sequences, so such requests are left out. What is foreseen need not be exact: a QEMU that ends all the same is
 * a known difference.
 */
import type { SequenceRequest } from "./sequence.ts";

interface Image {
  readonly width: number;
  readonly height: number;
  /** Bytes of the backing; 0 without one. */
  backing: number;
}

const FORMATS: ReadonlySet<number> = new Set([1, 2, 3, 4, 67, 68, 121, 134]);
const [CREATE, UNREF, TRANSFER, ATTACH, DETACH] = [0x101, 0x102, 0x105, 0x106, 0x107];

/** The state of one device, as far as this needs it. */
export class AbortForecast {
  readonly #images = new Map<number, Image>();

  /** The requests that are safe to send. */
  safe(requests: readonly SequenceRequest[]): readonly SequenceRequest[] {
    return requests.filter(({ request }) => {
      if (request.length < 32) return true;
      const view = new DataView(request.buffer, request.byteOffset, request.length);
      const words = Array.from({ length: request.length >> 2 }, (_, index) => view.getUint32(4 * index, true));
      if (words[0] === TRANSFER && request.length >= 56) return !this.#ends(words);
      this.#apply(words);
      return true;
    });
  }

  /** The device was reset. */
  forget(): void {
    this.#images.clear();
  }

  #apply(words: readonly number[]): void {
    const [type] = words;
    const [id = 0, second = 0, width = 0, height = 0] = words.slice(6);
    const image = this.#images.get(id);
    if (type === UNREF) this.#images.delete(id);
    else if (type === DETACH && image !== undefined) image.backing = 0;
    else if (type === ATTACH && image?.backing === 0) image.backing = backingBytes(words.slice(8), second);
    else if (type === CREATE && words.length >= 10 && id !== 0 && image === undefined && FORMATS.has(second)) {
      this.#images.set(id, { width, height, backing: 0 });
    }
  }

  #ends(words: readonly number[]): boolean {
    const [x = 0, y = 0, width = 0, height = 0, low = 0, high = 0, id = 0] = words.slice(6);
    const image = this.#images.get(id);
    if (image === undefined || image.backing === 0) return false;
    if (x + width > image.width || y + height > image.height) return false;
    const offset = high * 2 ** 32 + low;
    if (offset === 0 && x === 0 && y === 0 && width === image.width) return false;
    // The offset of each row is cut to 32 bits.
    const starts = Array.from({ length: height }, (_, row) => (low + row * image.width * 4) % 2 ** 32);
    return starts.some((start) => start > image.backing);
  }
}

/** What is attached by these entries, 0 if they are refused. */
function backingBytes(entries: readonly number[], count: number): number {
  let sum = 0;
  if (entries.length < count * 4) return 0;
  for (let index = 0; index < count; index += 1) {
    const length = entries[4 * index + 2] ?? 0;
    if (length === 0 || length === 0xffffffff || (entries[4 * index + 1] ?? 0) !== 0) return 0;
    sum += length;
  }
  return sum;
}
