/**
 * Commands as promises, for those whose pace is set by people: display queries, capability sets, 3D, tools. The
 * reconciler does not come this way.
 */
import { GpuError } from "../../base/errors.ts";
import type { CommandOwner, CommandQueue } from "./command-queue.ts";
import type { Reply } from "./reply.ts";

/** The size of what is sent and of what may come back, in bytes, headers included. */
export interface CommandShape {
  readonly requestBytes: number;
  readonly replyBytes: number;
  /** The resource concerned, for messages; 0: none. */
  readonly object: number;
  /** The fence that the header carries; 0: none. */
  readonly fence?: number;
}

/** An answer, copied: the caller's to keep. */
export interface Answer {
  readonly type: number;
  readonly byteLength: number;
  readonly words: Uint32Array;
}

/** Writes a request at word `at`. */
export type WriteRequest = (u32: Uint32Array, at: number) => void;

class SentCommand implements CommandOwner {
  readonly shape: CommandShape;
  readonly write: WriteRequest;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: GpuError) => void;

  constructor(
    shape: CommandShape,
    write: WriteRequest,
    resolve: (answer: Answer) => void,
    reject: (error: GpuError) => void,
  ) {
    this.shape = shape;
    this.write = write;
    this.resolve = resolve;
    this.reject = reject;
  }

  replied(_step: number, reply: Reply): void {
    if (reply.error !== null) this.reject(reply.error);
    else this.resolve({ type: reply.type, byteLength: reply.byteLength, words: reply.words.slice() });
  }

  expired(_step: number, error: GpuError): void {
    this.reject(error);
  }

  ended(_step: number, error: GpuError): void {
    this.reject(error);
  }
}

/** See the file's head. What finds no room waits its turn, in order. */
export class CommandSender {
  readonly #queue: CommandQueue;
  readonly #pumpSoon: () => void;
  readonly #waiting: SentCommand[] = [];
  #closed: GpuError | null = null;

  /** `pumpSoon` has {@link pump} called when it may be, and the queue kicked. */
  constructor(queue: CommandQueue, pumpSoon: () => void) {
    this.#queue = queue;
    this.#pumpSoon = pumpSoon;
  }

  /** Sends one command. Rejects with the host's refusal (EIO, ENOMEM, EPROTO), ETIMEDOUT, or ESTALE when the session ends first. */
  send(shape: CommandShape, write: WriteRequest): Promise<Answer> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    if (shape.requestBytes > this.#queue.largestBytes || shape.replyBytes > this.#queue.largestBytes) {
      return Promise.reject(
        new GpuError(
          "EINVAL",
          `a command of ${shape.requestBytes} bytes does not fit the queue's ${this.#queue.largestBytes}`,
        ),
      );
    }
    if (this.#queue.hung) return Promise.reject(new GpuError("ETIMEDOUT", "the host does not answer"));
    return new Promise((resolve, reject) => {
      this.#waiting.push(new SentCommand(shape, write, resolve, reject));
      this.#pumpSoon();
    });
  }

  /** Submits what waits, as far as there is room. */
  pump(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!this.#queue.begin(next.shape.requestBytes, next.shape.replyBytes)) return;
      this.#waiting.shift();
      next.write(this.#queue.u32, this.#queue.at);
      this.#queue.submit(next, 0, next.shape.object, next.shape.fence ?? 0);
    }
  }

  /** The host stopped answering: what is not yet with it fails now instead of waiting without limit. */
  failWaiting(error: GpuError): void {
    for (const command of this.#waiting.splice(0)) command.reject(error);
  }

  close(error: GpuError): void {
    this.#closed = error;
    this.failWaiting(error);
  }
}
