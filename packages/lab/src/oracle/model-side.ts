/**
 * Our own device as the other side of a comparison: in this process, behind the loopback transport.
 */
import { GpuError } from "@virtgpu/core/base";
import { VirtioGpuDevice, type VirtioGpuDeviceOptions } from "@virtgpu/core/device";
import { GuestRam, type PositionedFile } from "@virtgpu/core/memory";
import { LoopbackTransport, type Transport, VirtioDevice } from "@virtgpu/core/virtio";
import type { RgbPicture } from "../hosts/qemu/ppm.ts";
import { type GuestPort, type PortQueue, type QueueIndex, RingGuest } from "./ring-guest.ts";
import { ORACLE_OUTPUTS, ORACLE_RAM_BYTES, type OracleSide } from "./side.ts";

/** Status bits: ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK. */
const STATUS_STEPS = [1, 3, 11] as const;
const DRIVER_OK = 15;
/** A PC has no RAM here. */
const HOLE_START = 0xa0000;
const HOLE_END = 0x100000;

/** A device behind a transport that works at once, for the {@link RingGuest}. */
class TransportPort implements GuestPort {
  readonly ram: PositionedFile;
  readonly #transport: Transport;

  constructor(transport: Transport, ram: PositionedFile) {
    this.#transport = transport;
    this.ram = ram;
  }

  bringUp(features: bigint, queues: readonly PortQueue[]): void {
    const transport = this.#transport;
    transport.writeStatus(0);
    transport.writeStatus(STATUS_STEPS[0]);
    transport.writeStatus(STATUS_STEPS[1]);
    transport.writeDriverFeatures(features);
    transport.writeStatus(STATUS_STEPS[2]);
    if (transport.readStatus() !== STATUS_STEPS[2]) throw new GpuError("EPROTO", "the device refused the features");
    for (const [index, queue] of queues.entries()) this.#enable(index, queue);
    transport.writeStatus(DRIVER_OK);
  }

  resetQueue(queue: QueueIndex, as: PortQueue): void {
    this.#transport.resetQueue(queue);
    if (!this.#transport.queueResetDone(queue)) throw new GpuError("EPROTO", "the queue was not reset");
    this.#enable(queue, as);
  }

  notify(queue: QueueIndex): void {
    this.#transport.notify(queue);
  }

  status(): number {
    return this.#transport.readStatus();
  }

  #enable(index: number, { size, descriptors, available, used }: PortQueue): void {
    this.#transport.enableQueue(index, { size, descriptors, driver: available, device: used });
  }
}

/** See the file's head. The outputs are those that QEMU has: the first one with a monitor, of 1280 x 800. */
export class ModelSide implements OracleSide {
  readonly device: VirtioGpuDevice;
  readonly guest: RingGuest;
  readonly ram: PositionedFile;

  /** `options` are the device's, besides its outputs. */
  constructor(options: VirtioGpuDeviceOptions = {}) {
    const bytes = new Uint8Array(ORACLE_RAM_BYTES);
    this.ram = {
      readAt: (position, target) => target.set(bytes.subarray(position, position + target.length)),
      writeAt: (position, source) => bytes.set(source, position),
    };
    const memory = new GuestRam([
      { address: 0, buffer: bytes.subarray(0, HOLE_START) },
      { address: HOLE_END, buffer: bytes.subarray(HOLE_END) },
    ]);
    const outputs = Array.from({ length: ORACLE_OUTPUTS }, (_, index) =>
      index === 0 ? { width: 1280, height: 800 } : null,
    );
    this.device = new VirtioGpuDevice({ ...options, outputs });
    const machinery = new VirtioDevice({ model: this.device, memory, label: "the device under test" });
    this.guest = new RingGuest(new TransportPort(new LoopbackTransport(machinery), this.ram));
  }

  async picture(output: number): Promise<RgbPicture | null> {
    const shot = this.device.screenshot(output);
    if (shot === null) return Promise.resolve(null);
    const { width, height, rgba } = shot;
    const rgb = new Uint8Array(width * height * 3);
    for (let pixel = 0; pixel < width * height; pixel += 1) {
      rgb[3 * pixel] = rgba[4 * pixel] ?? 0;
      rgb[3 * pixel + 1] = rgba[4 * pixel + 1] ?? 0;
      rgb[3 * pixel + 2] = rgba[4 * pixel + 2] ?? 0;
    }
    return Promise.resolve({ width, height, rgb });
  }
}
