/**
 * A transport onto a device on the same thread: no register encoding, every access a call (VIRTIO 1.2 section 4 asks for
 * no particular one). Interrupts arrive on the stack of what caused them, often the driver's own kick.
 */
import { GpuError } from "../base/errors.ts";
import type { InterruptSource, VirtioDevice } from "./machinery/virtio-device.ts";
import type {
  ConfigAccess,
  FunctionPower,
  InterruptHandler,
  QueueAddresses,
  QueueRegisters,
  SharedMemoryRegion,
  Transport,
} from "./transport.ts";

const FEATURE_WORD_BITS = 32n;

/** See the file's head. Takes over the device's interrupts. */
export class LoopbackTransport implements Transport {
  readonly label: string;
  readonly deviceId: number;
  readonly completion: "interrupts" | "polled" = "interrupts";
  readonly config: ConfigAccess;
  readonly power: FunctionPower | null = null;
  readonly #connected: VirtioDevice;
  #unplugged = false;
  #handler: InterruptHandler | null = null;

  constructor(device: VirtioDevice) {
    this.label = device.label;
    this.deviceId = device.model.deviceId;
    this.#connected = device;
    this.config = {
      read8: (offset) => this.#device.readConfig(offset, 1),
      read32: (offset) => this.#device.readConfig(offset, 4),
      write32: (offset, value) => this.#device.writeConfig(offset, 4, value >>> 0),
      generation: () => this.#device.configGeneration,
    };
    device.setInterruptSink((source) => this.#interrupt(source));
    device.setMemoryAccess(true);
  }

  /** The device is gone: it stops, and every access ends with GpuError ENODEV. */
  unplug(): void {
    this.#connected.setMemoryAccess(false);
    this.#connected.setInterruptSink(null);
    this.#connected.reset();
    this.#unplugged = true;
  }

  readStatus(): number {
    return this.#device.status;
  }

  writeStatus(status: number): void {
    this.#device.writeStatus(status);
  }

  readDeviceFeatures(): bigint {
    return this.#device.offeredFeatures;
  }

  writeDriverFeatures(features: bigint): void {
    this.#device.writeDriverFeatureWord(0, Number(BigInt.asUintN(32, features)));
    this.#device.writeDriverFeatureWord(1, Number(BigInt.asUintN(32, features >> FEATURE_WORD_BITS)));
  }

  queueSizeMax(queue: number): number {
    return this.#device.queueSizeMax(queue);
  }

  enableQueue(queue: number, addresses: QueueAddresses): void {
    this.#device.setQueueAddresses(queue, addresses);
    this.#device.enableQueue(queue);
  }

  readQueue(queue: number): QueueRegisters {
    return { enabled: this.#device.queueEnabled(queue), addresses: this.#device.queueAddresses(queue) };
  }

  /** Done when it returns. Ignored unless RING_RESET was accepted. */
  resetQueue(queue: number): void {
    if (this.#device.ringResetAccepted) this.#device.resetQueue(queue);
  }

  queueResetDone(queue: number): boolean {
    return !this.#device.queueEnabled(queue);
  }

  notify(queue: number): void {
    this.#device.notify(queue);
  }

  sharedMemory(id: number): SharedMemoryRegion | null {
    const region = this.#device.model.sharedMemory.find((candidate) => candidate.id === id);
    if (region === undefined) return null;
    const { bytes } = region;
    return {
      id,
      byteLength: bytes.byteLength,
      view: (offset, byteLength) =>
        offset >= 0 && byteLength >= 0 && offset + byteLength <= bytes.byteLength
          ? bytes.subarray(offset, offset + byteLength)
          : null,
    };
  }

  setInterruptHandler(handler: InterruptHandler | null): void {
    this.#handler = handler;
  }

  pollConfig(): boolean {
    return false;
  }

  reattach(): void {
    this.#device.setMemoryAccess(true);
  }

  detach(): void {
    this.#device.setMemoryAccess(false);
  }

  get #device(): VirtioDevice {
    if (this.#unplugged) throw new GpuError("ENODEV", "the device was unplugged", { device: this.label });
    return this.#connected;
  }

  #interrupt(source: InterruptSource): void {
    if (source === "config") this.#handler?.onConfig();
    else this.#handler?.onQueue(source);
  }
}
