/** A real QEMU as the suite's host. */
import { GpuError } from "@virtgpu/core/base";
import type { PowerOffMode } from "@virtgpu/core/sleep";
import type { BusAccess, Transport } from "@virtgpu/core/virtio";
import { resetQueue } from "@virtgpu/core/virtio";
import { GpuConfig, GpuEvent, GpuQueue, PciCommand, PciHeader, PciPowerState } from "@virtgpu/core/wire";
import { createNodeClock } from "../../hosts/node-clock.ts";
import type { PciFunction } from "../../hosts/qemu/pci-bus.ts";
import type { HostCursor, HostPicture } from "../../hosts/machine.ts";
import type { QemuDevice, QemuHost } from "../../hosts/qemu/qemu-host.ts";
import { QemuGpu } from "../../hosts/qemu/qemu-machine.ts";
import { setPowerState } from "./power-states.ts";
import type { SuspendHost } from "./subject.ts";

/** How long QEMU may take to hear of a monitor's size, in milliseconds. */
const MONITOR_WAIT_MS = 5000;
/** How long a queue's reset may take, in milliseconds. */
const QUEUE_RESET_WAIT_MS = 1000;

/** What a {@link QemuSuspendHost} is made of. */
export interface QemuSuspendHostOptions {
  /** Which of QEMU's devices. */
  readonly device: QemuDevice;
  /** How its registers are reached on PCI. */
  readonly window: "bars" | "pci-cfg";
  /** Whoever drives it: does nothing while its processors are held. */
  readonly guest: { hold(): void; goOn(): void };
}

/** See the file's head. It may have served before: what it said then is forgiven. */
export class QemuSuspendHost implements SuspendHost {
  readonly seesHiding: boolean = false;
  readonly held: null = null;
  readonly faults: null = null;
  readonly #qemu: QemuHost;
  readonly #device: QemuDevice;
  readonly #guest: QemuSuspendHostOptions["guest"];
  readonly #gpu: QemuGpu;
  /** What processes said that have ended. */
  readonly #past: string[] = [];
  #forgiven: number;

  constructor(qemu: QemuHost, { device, window, guest }: QemuSuspendHostOptions) {
    this.#qemu = qemu;
    this.#device = device;
    this.#guest = guest;
    this.#gpu = new QemuGpu(qemu, device, window);
    this.#forgiven = qemu.errorLines.length;
  }

  get isOn(): boolean {
    return this.#qemu.isRunning;
  }

  get functions(): readonly BusAccess[] {
    const { pci } = this.#device;
    return pci === null ? [] : [pci.config];
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
    for (const { pci } of this.#qemu.devices) {
      pci?.config.write16(PciHeader.COMMAND, pci.config.read16(PciHeader.COMMAND) | PciCommand.MEMORY);
    }
  }

  async resetDevice(): Promise<void> {
    this.#reach().writeStatus(0);
  }

  deviceStatus(): number {
    return this.#reach().readStatus();
  }

  async functionLevelReset(): Promise<void> {
    this.#resetting((pci) => pci.functionLevelReset());
  }

  async busReset(): Promise<void> {
    this.#resetting((pci) => pci.secondaryBusReset());
  }

  async cyclePower(): Promise<void> {
    this.#resetting(({ config }) => {
      setPowerState(config, PciPowerState.D3HOT);
      setPowerState(config, PciPowerState.D0);
    });
  }

  async resetQueue(): Promise<void> {
    await resetQueue(this.#reach(), GpuQueue.CONTROL, createNodeClock(), QUEUE_RESET_WAIT_MS);
  }

  async snapshot(): Promise<void> {
    this.#past.push(...this.#qemu.errorLines);
    this.#guest.hold();
    try {
      await this.#qemu.migrate();
    } finally {
      this.#guest.goOn();
    }
  }

  /** As a kernel resets a function: what it had in configuration space is there again. */
  #resetting(reset: (pci: PciFunction) => void): void {
    const { pci } = this.#device;
    if (pci === null) throw new GpuError("ENOTSUP", "there is no PCI function", { device: this.#device.id });
    const command = pci.config.read16(PciHeader.COMMAND);
    reset(pci);
    pci.assignBars();
    pci.config.write16(PciHeader.COMMAND, command);
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
    const viewer = await this.#qemu.viewer(output, this.#device.id);
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
    for (const { pci } of this.#qemu.devices) pci?.assignBars();
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
