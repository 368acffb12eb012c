/**
 * A slot that is reached without a bus: calls straight into the device.
 */
import { LoopbackTransport } from "../../virtio/loopback.ts";
import type { VirtioDevice } from "../../virtio/machinery/index.ts";
import type {
  ConfigAccess,
  FunctionPower,
  InterruptHandler,
  QueueAddresses,
  QueueRegisters,
  SharedMemoryRegion,
  Transport,
} from "../../virtio/transport.ts";
import { type Slot, emptySlot } from "./wiring.ts";

/** See the file's head. One interrupt handler at a time: the one set last. */
export class LoopbackSlot implements Slot {
  readonly label: string;
  readonly deviceId: number;
  #device: VirtioDevice | null = null;
  #current: LoopbackTransport | null = null;
  #handler: InterruptHandler | null = null;

  constructor(label: string, deviceId: number) {
    this.label = label;
    this.deviceId = deviceId;
  }

  get keepsOverSleep(): boolean {
    return false;
  }

  /** What is in the slot. Throws GpuError ENODEV when it is empty. */
  get current(): LoopbackTransport {
    if (this.#current === null) throw emptySlot(this.label);
    return this.#current;
  }

  connect(): Transport {
    return new SlotTransport(this);
  }

  plug(device: VirtioDevice): void {
    this.#device = device;
    this.#current = new LoopbackTransport(device);
    this.#current.setInterruptHandler(this.#handler);
  }

  unplug(): void {
    this.#current?.unplug();
    this.#current = null;
    this.#device = null;
  }

  busReset(): void {
    this.#device?.reset();
  }

  /** There are no registers but the device's. */
  save(): null {
    return null;
  }

  restore(): void {}

  setHandler(handler: InterruptHandler | null): void {
    this.#handler = handler;
    this.#current?.setInterruptHandler(handler);
  }
}

/** Whatever is in the slot at the moment of each access. */
class SlotTransport implements Transport {
  readonly completion: "interrupts" | "polled" = "interrupts";
  readonly power: FunctionPower | null = null;
  readonly config: ConfigAccess;
  readonly #slot: LoopbackSlot;

  constructor(slot: LoopbackSlot) {
    this.#slot = slot;
    this.config = {
      read8: (offset) => slot.current.config.read8(offset),
      read32: (offset) => slot.current.config.read32(offset),
      write32: (offset, value) => slot.current.config.write32(offset, value),
      generation: () => slot.current.config.generation(),
    };
  }

  get label(): string {
    return this.#slot.label;
  }

  get deviceId(): number {
    return this.#slot.deviceId;
  }

  readStatus(): number {
    return this.#slot.current.readStatus();
  }

  writeStatus(status: number): void {
    this.#slot.current.writeStatus(status);
  }

  readDeviceFeatures(): bigint {
    return this.#slot.current.readDeviceFeatures();
  }

  writeDriverFeatures(features: bigint): void {
    this.#slot.current.writeDriverFeatures(features);
  }

  queueSizeMax(queue: number): number {
    return this.#slot.current.queueSizeMax(queue);
  }

  enableQueue(queue: number, addresses: QueueAddresses): void {
    this.#slot.current.enableQueue(queue, addresses);
  }

  readQueue(queue: number): QueueRegisters {
    return this.#slot.current.readQueue(queue);
  }

  resetQueue(queue: number): void {
    this.#slot.current.resetQueue(queue);
  }

  queueResetDone(queue: number): boolean {
    return this.#slot.current.queueResetDone(queue);
  }

  notify(queue: number): void {
    this.#slot.current.notify(queue);
  }

  sharedMemory(id: number): SharedMemoryRegion | null {
    return this.#slot.current.sharedMemory(id);
  }

  setInterruptHandler(handler: InterruptHandler | null): void {
    this.#slot.setHandler(handler);
  }

  pollConfig(): boolean {
    return this.#slot.current.pollConfig();
  }

  reattach(): void {
    this.#slot.current.reattach();
  }

  detach(): void {
    this.#slot.current.detach();
  }
}
