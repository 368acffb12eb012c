/**
 * What a queue's commands pass through: the chain, a private copy of the request, and the reply on its way out
 * (VIRTIO 1.2 section 5.7.6.7).
 *
 * The request's fixed part is copied once, before anything looks at it; entries and data that follow are copied once
 * more, by the command that wants them. So it does no harm if the guest changes a request while it is read, or points it
 * at the rings, at its own reply, or at no memory at all.
 */
import { assert } from "../base/assert.ts";
import { type GuestMemory, MemoryRangeError } from "../memory/guest-memory.ts";
import { ScatterAccess } from "../memory/scatter-list.ts";
import { Chain } from "../virtio/queue.ts";
import { EDID_REPLY_BYTES, HEADER_BYTES, Header, SET_SCANOUT_BLOB_BYTES } from "../wire/gpu.gen.ts";
import { HeaderFlag } from "../wire/gpu.ts";

/** No structure of fixed size is larger. */
const FIXED_BYTES_MAX = SET_SCANOUT_BLOB_BYTES;
/** What follows the fixed part is copied without an allocation up to this size: 256 memory entries. */
const SCRATCH_BYTES = 4096;

/** See the file's head. One serves one command at a time, within one life of the device. */
export class CommandLane {
  readonly chain: Chain = new Chain();
  /** The request's fixed part, as words. Behind {@link CommandLane.requestBytes} it means nothing. */
  readonly request: Uint32Array = new Uint32Array(FIXED_BYTES_MAX >> 2);
  /** Bytes of the whole request. */
  requestBytes: number = 0;
  /** The reply: its body is written by the command, its header by {@link CommandLane.answer}. */
  readonly reply: Uint32Array = new Uint32Array(EDID_REPLY_BYTES >> 2);
  /** Bytes of the reply, header included. */
  replyBytes: number = HEADER_BYTES;
  /** What follows the header in a reply without a fixed size. */
  replyTail: Uint8Array | null = null;

  readonly #memory: GuestMemory;
  readonly #access: ScatterAccess;
  readonly #requestView: Uint8Array = new Uint8Array(this.request.buffer);
  readonly #replyView: Uint8Array = new Uint8Array(this.reply.buffer);
  readonly #scratch: Uint32Array = new Uint32Array(SCRATCH_BYTES >> 2);
  readonly #scratchView: Uint8Array = new Uint8Array(this.#scratch.buffer);

  constructor(memory: GuestMemory) {
    this.#memory = memory;
    this.#access = new ScatterAccess(memory);
  }

  /** Copies the fixed part of the request; false when not all of it is memory. A header that is not whole counts as zero. */
  read(): boolean {
    const { chain } = this;
    const bytes = Math.min(chain.readableBytes, FIXED_BYTES_MAX);
    this.requestBytes = chain.readableBytes;
    this.replyBytes = HEADER_BYTES;
    this.replyTail = null;
    try {
      this.#access.use(chain.list).gather(0, this.#requestView, 0, bytes);
      if (bytes < HEADER_BYTES) this.request.fill(0);
      return true;
    } catch (error) {
      if (!(error instanceof MemoryRangeError)) throw error;
      this.request.fill(0);
      return false;
    }
  }

  /**
   * Copies what follows the fixed part as words, as {@link CommandLane.copy} does; they are this lane's until its next copy.
   */
  copyWords(offset: number, byteLength: number): Uint32Array | null {
    if (byteLength > SCRATCH_BYTES) {
      const bytes = this.copy(offset, byteLength);
      return bytes === null ? null : new Uint32Array(bytes.buffer);
    }
    return this.#copyInto(this.#scratchView, offset, byteLength) ? this.#scratch : null;
  }

  /** Copies what follows the fixed part; null when the request is shorter, or not all of it is memory. */
  copy(offset: number, byteLength: number): Uint8Array | null {
    if (offset + byteLength > this.requestBytes) return null;
    const bytes = new Uint8Array(byteLength);
    return this.#copyInto(bytes, offset, byteLength) ? bytes : null;
  }

  #copyInto(target: Uint8Array, offset: number, byteLength: number): boolean {
    if (offset + byteLength > this.requestBytes) return false;
    try {
      this.#access.use(this.chain.list).gather(offset, target, 0, byteLength);
      return true;
    } catch (error) {
      if (!(error instanceof MemoryRangeError)) throw error;
      return false;
    }
  }

  /**
   * Writes the reply, cut to what the driver left room for and to what is memory. Returns the bytes written. With FENCE the
   * header repeats the fence and the context, and with `ringFences` (CONTEXT_INIT) the ring; nothing else of the request.
   */
  answer(type: number, ringFences: boolean): number {
    this.#writeHeader(type, ringFences);
    const { chain, replyTail } = this;
    const room = chain.writableBytes;
    if (room === 0) return 0;
    assert(replyTail === null || this.replyBytes === HEADER_BYTES, "a tail follows the header");
    const wanted = Math.min(this.replyBytes, room);
    const written = this.#write(0, this.#replyView, wanted);
    if (replyTail === null || written < this.replyBytes) return written;
    return written + this.#write(written, replyTail, Math.min(replyTail.byteLength, room - written));
  }

  /** Drops the view of guest memory, which may be gone the next time. */
  forget(): void {
    this.#access.forget();
  }

  #writeHeader(type: number, ringFences: boolean): void {
    const { reply, request } = this;
    const flags = request[Header.FLAGS] ?? 0;
    reply[Header.TYPE] = type;
    if ((flags & HeaderFlag.FENCE) === 0) {
      reply.fill(0, Header.FLAGS, HEADER_BYTES >> 2);
      return;
    }
    const ring = ringFences ? flags & HeaderFlag.INFO_RING_IDX : 0;
    reply[Header.FLAGS] = HeaderFlag.FENCE | ring;
    reply[Header.FENCE_LOW] = request[Header.FENCE_LOW] ?? 0;
    reply[Header.FENCE_HIGH] = request[Header.FENCE_HIGH] ?? 0;
    reply[Header.CONTEXT_ID] = request[Header.CONTEXT_ID] ?? 0;
    reply[Header.RING_INDEX] = ring === 0 ? 0 : (request[Header.RING_INDEX] ?? 0) & 0xff;
  }

  /** Writes to byte `at` of the writable part; returns the bytes written before the first that is not memory. */
  #write(at: number, source: Uint8Array, byteLength: number): number {
    const offset = this.chain.readableBytes + at;
    try {
      return this.#access.use(this.chain.list).scatter(offset, source, 0, byteLength);
    } catch (error) {
      if (!(error instanceof MemoryRangeError)) throw error;
      return this.#bytesInMemory(offset, byteLength);
    }
  }

  #bytesInMemory(offset: number, byteLength: number): number {
    const { list } = this.chain;
    let skip = offset;
    let done = 0;
    for (let index = 0; index < list.count && done < byteLength; index += 1) {
      const length = list.lengths[index] ?? 0;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const bytes = Math.min(length - skip, byteLength - done);
      if (!this.#memory.contains((list.addresses[index] ?? 0) + skip, bytes)) break;
      done += bytes;
      skip = 0;
    }
    return done;
  }
}
