/**
 * One command after the other, written by hand, to a real QEMU: {@link RingGuest} and {@link QemuPort} put together.
 */
import type { BusAccess } from "@virtgpu/core/virtio";
import type { QemuHost } from "../hosts/qemu/qemu-host.ts";
import type { RamFile } from "../hosts/qemu/ram-file.ts";
import { QemuPort } from "./qemu-port.ts";
import { NO_FENCE, type RawCommand, type RawFence, replyCapacity, requestBytes } from "./raw-commands.ts";
import { type QueueIndex, RingGuest, whole } from "./ring-guest.ts";

/** VERSION_1 and EDID. */
const FEATURES = (1n << 32n) | 2n;

/** See the file's head. */
export class RawGpu {
  readonly ram: RamFile;
  readonly #port: QemuPort;
  readonly #guest: RingGuest;

  constructor(host: QemuHost) {
    this.ram = host.ram;
    this.#port = new QemuPort(host);
    this.#guest = new RingGuest(this.#port);
    this.reset();
  }

  /** Device configuration space. */
  get config(): BusAccess {
    return this.#port.config;
  }

  /** The features the device offers. */
  offered(): bigint {
    return this.#port.offered();
  }

  /** Resets the device and brings it up with VERSION_1 and EDID and both queues. */
  reset(): void {
    this.#guest.reset(FEATURES);
  }

  /** The device status. */
  status(): number {
    return this.#port.status();
  }

  /** Sends one command and gives exactly the bytes that the device says it wrote. */
  execute(command: RawCommand, fence: RawFence = NO_FENCE): Uint8Array {
    const queue = command.command === "update_cursor" || command.command === "move_cursor" ? 1 : 0;
    return this.send(queue, requestBytes(command, fence), replyCapacity(command));
  }

  /** Sends any bytes, with a reply buffer of `capacity` bytes, or without one if that is 0. */
  send(queue: QueueIndex, request: Uint8Array, capacity: number): Uint8Array {
    const [answer] = this.#guest.submit(queue, [whole(request, capacity)], true);
    return answer === undefined ? new Uint8Array(0) : answer.reply.slice(0, answer.used ?? 0);
  }
}
