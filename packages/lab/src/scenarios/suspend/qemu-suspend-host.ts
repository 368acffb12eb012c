/** A real QEMU as the suite's host. */
import { GpuError } from "@virtgpu/core/base";
import type { PowerOffMode } from "@virtgpu/core/sleep";
import type { BusAccess, Transport } from "@virtgpu/core/virtio";
import { GpuConfig, GpuEvent, PciCommand, PciHeader } from "@virtgpu/core/wire";
import type { HostCursor, HostPicture } from "../../hosts/machine.ts";
import type { QemuHost } from "../../hosts/qemu/qemu-host.ts";
import { QemuGpu } from "../../hosts/qemu/qemu-machine.ts";
import type { SuspendHost } from "./subject.ts";

/** How long QEMU may take to hear of a monitor's size, in milliseconds. */
const MONITOR_WAIT_MS = 5000;

/** See the file's head. It may have served before: what it said then is forgiven. */
export class QemuSuspendHost implements SuspendHost {
  readonly seesHiding: boolean = false;
  readonly held: null = null;
  readonly faults: null = null;
  readonly #qemu: QemuHost;
  readonly #gpu: QemuGpu;
  /** What processes said that have ended. */
  readonly #past: string[] = [];
  #forgiven: number;

  constructor(qemu: QemuHost, window: "bars" | "pci-cfg") {
    this.#qemu = qemu;
    this.#gpu = new QemuGpu(qemu, qemu.device, window);
    this.#forgiven = qemu.errorLines.length;
  }

  get isOn(): boolean {
    return this.#qemu.isRunning;
  }

  get config(): BusAccess | null {
    return this.#qemu.device.pci?.config ?? null;
  }

  /** A transport of its own, for one driver. */
  connect(): Transport {
    return this.#gpu.connect();
  }

  async powerOn(): Promise<void> {
    this.#past.push(...this.#qemu.errorLines);
    await this.#qemu.restart();
    this.#enumerate();
  }

  async powerOff(mode: PowerOffMode): Promise<void> {
    if (mode === "platform") await this.#qemu.s4();
    else if (mode === "reboot") await this.systemReset();
    else await this.#qemu.kill();
  }

  async kill(): Promise<void> {
    await this.#qemu.kill();
  }

  async enterS3(): Promise<void> {
    await this.#qemu.enterS3();
  }

  async wakeFromS3(): Promise<void> {
    await this.#qemu.wakeFromS3();
    this.#enumerate();
  }

  async systemReset(): Promise<void> {
    await this.#qemu.systemReset();
    this.#enumerate();
    // Firmware leaves a function that can be reached.
    const { config } = this;
    config?.write16(PciHeader.COMMAND, config.read16(PciHeader.COMMAND) | PciCommand.MEMORY);
  }

  async resetDevice(): Promise<void> {
    this.#reach().writeStatus(0);
  }

  /** A transport of our own onto the function, wherever its bus has it. */
  #reach(): Transport {
    const transport = this.connect();
    transport.reattach();
    return transport;
  }

  picture(output: number): Promise<HostPicture | null> {
    return this.#gpu.picture(output);
  }

  cursor(output: number): Promise<HostCursor | null> {
    return this.#gpu.cursor(output);
  }

  errors(): readonly string[] {
    return [...this.#past, ...this.#qemu.errorLines].slice(this.#forgiven);
  }

  forgive(): void {
    this.#forgiven += this.errors().length;
  }

  /** Through a viewer's window, whose size the guest gets as a display change. */
  async setMonitor(output: number, size: { readonly width: number; readonly height: number }): Promise<void> {
    const viewer = await this.#qemu.viewer(output);
    try {
      viewer.setDesktopSize(size.width, size.height);
      await this.#untilDisplayEvent();
    } finally {
      viewer.close();
    }
  }

  /** The device has something to tell about its displays: then QEMU has heard of it. */
  async #untilDisplayEvent(): Promise<void> {
    const { config } = this.#reach();
    const end = performance.now() + MONITOR_WAIT_MS;
    while ((config.read32(GpuConfig.EVENTS_READ) & GpuEvent.DISPLAY) === 0) {
      if (performance.now() > end) throw new GpuError("ETIMEDOUT", "QEMU did not hear of its viewer's size");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** What firmware does on the way to the kernel: bridges and functions have their places again. */
  #enumerate(): void {
    this.#qemu.device.pci?.assignBars();
  }

  release(): void {}

  breakDevice(): void {
    throw new GpuError("ENOTSUP", "a real host breaks by no plan");
  }

  forget(): void {
    throw new GpuError("ENOTSUP", "a real host forgets by no plan");
  }

  powerOnPoorer(): Promise<void> {
    return Promise.reject(new GpuError("ENOTSUP", "the next QEMU is like this one"));
  }
}
