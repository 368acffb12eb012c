/** A transport whose kicks can be held back: to the driver the host looks hung, and answers when they go through. */
import type {
  ConfigAccess,
  FunctionPower,
  InterruptHandler,
  QueueAddresses,
  QueueRegisters,
  SharedMemoryRegion,
  Transport,
} from "@virtgpu/core/virtio";

/** See the file's head. */
export class PausableTransport implements Transport {
  readonly #inner: Transport;
  /** Kicks that were held back, by queue: the last one speaks for all. */
  #held: Map<number, number | undefined> | null = null;

  constructor(inner: Transport) {
    this.#inner = inner;
  }

  /** Holds kicks back. */
  pause(): void {
    this.#held ??= new Map();
  }

  /** Lets them through. */
  resume(): void {
    const held = this.#held ?? new Map<number, number | undefined>();
    this.#held = null;
    for (const [queue, data] of held) this.notify(queue, data);
  }

  get label(): string {
    return this.#inner.label;
  }

  get deviceId(): number {
    return this.#inner.deviceId;
  }

  get completion(): "interrupts" | "polled" {
    return this.#inner.completion;
  }

  get config(): ConfigAccess {
    return this.#inner.config;
  }

  get power(): FunctionPower | null {
    return this.#inner.power;
  }

  readStatus(): number {
    return this.#inner.readStatus();
  }

  writeStatus(status: number): void {
    // What was held back was meant for the queues that a reset ends.
    if (status === 0) this.#held?.clear();
    this.#inner.writeStatus(status);
  }

  readDeviceFeatures(): bigint {
    return this.#inner.readDeviceFeatures();
  }

  writeDriverFeatures(features: bigint): void {
    this.#inner.writeDriverFeatures(features);
  }

  queueSizeMax(queue: number): number {
    return this.#inner.queueSizeMax(queue);
  }

  enableQueue(queue: number, addresses: QueueAddresses): void {
    this.#inner.enableQueue(queue, addresses);
  }

  readQueue(queue: number): QueueRegisters {
    return this.#inner.readQueue(queue);
  }

  resetQueue(queue: number): void {
    this.#inner.resetQueue(queue);
  }

  queueResetDone(queue: number): boolean {
    return this.#inner.queueResetDone(queue);
  }

  notify(queue: number, data?: number): void {
    if (this.#held === null) this.#inner.notify(queue, data);
    else this.#held.set(queue, data);
  }

  sharedMemory(id: number): SharedMemoryRegion | null {
    return this.#inner.sharedMemory(id);
  }

  setInterruptHandler(handler: InterruptHandler | null): void {
    this.#inner.setInterruptHandler(handler);
  }

  pollConfig(): boolean {
    return this.#inner.pollConfig();
  }

  reattach(): void {
    this.#inner.reattach();
  }

  detach(): void {
    this.#inner.detach();
  }
}
