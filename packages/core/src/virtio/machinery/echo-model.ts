/**
 * The smallest device model that has everything: it returns each buffer's readable bytes, each plus one, in the writable
 * part. For tests of machinery, faces and transports; an example of a model.
 *
 * Configuration: byte 0 up to {@link ECHO_CONFIG_BYTES}, all writable; kept over a reset.
 */
import { GpuError } from "../../base/errors.ts";
import type { DeviceHost, DeviceModel, DeviceSharedMemory } from "../device-model.ts";
import { Chain, type DeviceQueue } from "../queue.ts";

/** Bytes of the echo device's configuration space. */
export const ECHO_CONFIG_BYTES = 20;
const BYTES_MAX = 4096;

/** A chain that the model keeps. */
interface Held {
  readonly queue: DeviceQueue;
  readonly index: number;
  readonly chain: Chain;
}

/** See the file's head. */
export class EchoModel implements DeviceModel {
  readonly deviceId: number = 16;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly configBytes: number = ECHO_CONFIG_BYTES;
  readonly sharedMemory: readonly DeviceSharedMemory[];
  readonly config: Uint8Array = new Uint8Array(ECHO_CONFIG_BYTES);
  /** Keep chains until {@link EchoModel.release}. */
  holding: boolean = false;
  /** Called for each chain taken, before it is answered: to lead back into the driver. */
  onChain: (() => void) | null = null;
  /** Of the last activation; null after a reset. */
  accepted: bigint | null = null;
  resets: number = 0;
  echoed: number = 0;

  #host: DeviceHost | null = null;
  readonly #chain: Chain = new Chain();
  readonly #bytes: Uint8Array = new Uint8Array(BYTES_MAX);
  readonly #held: Held[] = [];

  constructor(
    options: {
      readonly queueSizes?: readonly number[];
      readonly features?: bigint;
      readonly sharedMemory?: readonly DeviceSharedMemory[];
    } = {},
  ) {
    this.queueSizes = options.queueSizes ?? [64, 16];
    this.features = options.features ?? 0b11n;
    this.sharedMemory = options.sharedMemory ?? [];
  }

  /** The machinery around the model. */
  get host(): DeviceHost {
    if (this.#host === null) throw new GpuError("EBUSY", "the model is not attached");
    return this.#host;
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  readConfig8(offset: number): number {
    return this.config[offset] ?? 0;
  }

  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    for (let index = 0; index < width; index += 1) this.config[offset + index] = value >>> (8 * index);
  }

  activate(features: bigint): void {
    this.accepted = features;
  }

  process(index: number, queue: DeviceQueue): void {
    while (queue.pop(this.#chain)) {
      this.onChain?.();
      if (this.holding) {
        const chain = new Chain();
        copyChain(this.#chain, chain);
        this.#held.push({ queue, index, chain });
      } else {
        queue.push(this.#chain, this.#echo(this.#chain));
      }
    }
    if (queue.flush()) this.host.queueInterrupt(index);
  }

  /** Answers what was kept. */
  release(): void {
    for (const { queue, index, chain } of this.#held.splice(0)) {
      queue.push(chain, this.#echo(chain));
      if (queue.flush()) this.host.queueInterrupt(index);
    }
  }

  reset(): void {
    this.resets += 1;
    this.accepted = null;
    this.#held.length = 0;
  }

  save(): unknown {
    return { config: [...this.config], accepted: this.accepted === null ? null : Number(this.accepted) };
  }

  restore(state: unknown): void {
    const config = fieldOf(state, "config");
    const accepted = fieldOf(state, "accepted");
    if (!Array.isArray(config) || config.length !== ECHO_CONFIG_BYTES) {
      throw new GpuError("EINVAL", "an echo device's state has its configuration");
    }
    this.config.set(config.map(Number));
    this.accepted = typeof accepted === "number" && Number.isSafeInteger(accepted) ? BigInt(accepted) : null;
    this.#held.length = 0;
  }

  #echo(chain: Chain): number {
    this.echoed += 1;
    const { list } = chain;
    const { memory } = this.host;
    let length = 0;
    for (let index = 0; index < list.readable; index += 1) {
      const byteLength = Math.min(list.lengths[index] ?? 0, BYTES_MAX - length);
      const address = list.addresses[index] ?? 0;
      if (byteLength === 0 || !memory.contains(address, byteLength)) continue;
      memory.read(address, this.#bytes.subarray(length, length + byteLength));
      length += byteLength;
    }
    for (let index = 0; index < length; index += 1) this.#bytes[index] = (this.#bytes[index] ?? 0) + 1;
    let written = 0;
    for (let index = list.readable; index < list.count && written < length; index += 1) {
      const byteLength = Math.min(list.lengths[index] ?? 0, length - written);
      const address = list.addresses[index] ?? 0;
      if (!memory.contains(address, byteLength)) return written;
      memory.write(address, this.#bytes.subarray(written, written + byteLength));
      written += byteLength;
    }
    return written;
  }
}

function copyChain(source: Chain, target: Chain): void {
  target.id = source.id;
  target.slots = source.slots;
  target.readableBytes = source.readableBytes;
  target.writableBytes = source.writableBytes;
  target.list.addresses.set(source.list.addresses);
  target.list.lengths.set(source.list.lengths);
  target.list.count = source.list.count;
  target.list.readable = source.list.readable;
}

function fieldOf(state: unknown, name: string): unknown {
  return typeof state === "object" && state !== null ? Reflect.get(state, name) : undefined;
}
