/**
 * The two sides that are held against each other: a real QEMU, and any device behind the core's transport.
 */
import type { PositionedFile } from "@virtgpu/core/memory";
import type { RgbPicture } from "../hosts/qemu/ppm.ts";
import { QemuHost } from "../hosts/qemu/qemu-host.ts";
import { QemuPort } from "./qemu-port.ts";
import { RingGuest } from "./ring-guest.ts";

/** Outputs of both sides. */
export const ORACLE_OUTPUTS = 2;
/** Guest RAM of both sides, in bytes. Between 640 KiB and 1 MiB there is none. */
export const ORACLE_RAM_BYTES: number = 32 << 20;

/** A device with the guest that drives it. */
export interface OracleSide {
  readonly guest: RingGuest;
  readonly ram: PositionedFile;
  /** What an output shows, or null when it is known to show nothing. */
  picture(output: number): Promise<RgbPicture | null>;
}

/** See the file's head. A QEMU that ends is replaced by {@link QemuSide.revive}. */
export class QemuSide implements OracleSide {
  readonly ram: PositionedFile;
  readonly #host: QemuHost;
  #guest: RingGuest;

  private constructor(host: QemuHost) {
    this.#host = host;
    this.ram = host.ram;
    this.#guest = new RingGuest(new QemuPort(host));
  }

  /** Starts a QEMU with one virtio-gpu-pci. */
  static async start(): Promise<QemuSide> {
    const devices = [{ outputs: ORACLE_OUTPUTS }];
    return new QemuSide(await QemuHost.start({ ramBytes: ORACLE_RAM_BYTES, devices }));
  }

  get guest(): RingGuest {
    return this.#guest;
  }

  /** Whether it runs, as far as is known. */
  get isRunning(): boolean {
    return this.#host.isRunning;
  }

  /** The last thing QEMU said. */
  get lastWords(): string {
    return this.#host.errorLines.at(-1) ?? "";
  }

  async picture(output: number): Promise<RgbPicture> {
    return this.#host.screendump(output);
  }

  /** Starts another QEMU on the same memory after one has ended. */
  async revive(): Promise<void> {
    await this.#host.restart();
    this.#guest = new RingGuest(new QemuPort(this.#host));
  }

  /** For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host.stop();
  }
}

/**
 * Whether this is what QEMU shows where there is no scanout: grey words on black. (A scanout of black alone looks the
 * same; nothing else does.)
 */
export function isPlaceholder({ rgb }: RgbPicture): boolean {
  for (let index = 0; index < rgb.length; index += 3) {
    const level = rgb[index];
    if (level !== rgb[index + 1] || level !== rgb[index + 2] || (level !== 0 && level !== 0xaa)) return false;
  }
  return true;
}
