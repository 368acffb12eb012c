/** The host of a simulated machine as the suite sees it. */
import type { VirtioGpuDeviceOptions } from "@virtgpu/core/device";
import { type CommandFaults, SeededRandom, type SimHost, type SimMachine } from "@virtgpu/core/sim";
import type { PowerOffMode } from "@virtgpu/core/sleep";
import type { BusAccess } from "@virtgpu/core/virtio";
import { GpuCommand, GpuQueue, GpuReply, PciHeader, PciPowerState, commandName, replyName } from "@virtgpu/core/wire";
import type { HostCursor, HostPicture } from "../../hosts/machine.ts";
import { resetFunction } from "../../hosts/pci-resets.ts";
import { setPowerState } from "./power-states.ts";
import type { SuspendHost } from "./subject.ts";

const CURSOR_SIZE = 64;

/** Each output has a size of its own. */
export const SIMULATED_OUTPUTS: readonly { readonly width: number; readonly height: number }[] = [
  { width: 64, height: 48 },
  { width: 32, height: 32 },
];

/** The device of every power-on but those of another host. */
export function simulatedDevice(blobs: boolean): VirtioGpuDeviceOptions {
  return { outputs: SIMULATED_OUTPUTS, blob: blobs, random: new SeededRandom(7) };
}

/** Commands after which a host that keeps resources over a reset may say that it has them. */
const MAY_EXIST: ReadonlySet<number> = new Set([GpuCommand.RESOURCE_CREATE_2D, GpuCommand.RESOURCE_CREATE_BLOB]);

/** See the file's head. */
export class SimulatedHost implements SuspendHost {
  readonly seesHiding: boolean = true;
  readonly #machine: SimMachine;
  readonly #device: VirtioGpuDeviceOptions;
  readonly #isPci: boolean;
  readonly #host: SimHost;

  /** `device`: of every power-on but those of another host. */
  constructor(machine: SimMachine, device: VirtioGpuDeviceOptions, isPci: boolean, host: SimHost = machine.host) {
    this.#machine = machine;
    this.#host = host;
    this.#device = device;
    this.#isPci = isPci;
  }

  get isOn(): boolean {
    return this.#host.isOn;
  }

  get functions(): readonly BusAccess[] {
    return this.#isPci && this.isOn ? [this.#host.function.config] : [];
  }

  get faults(): CommandFaults {
    return this.#host.commands;
  }

  async powerOn(): Promise<void> {
    this.#host.powerOn(this.#device);
  }

  async powerOff(mode: PowerOffMode): Promise<void> {
    if (mode === "reboot") this.#host.systemReset();
    else this.#host.kill();
  }

  async kill(): Promise<void> {
    this.#host.kill();
  }

  async enterS3(): Promise<void> {}

  async wakeFromS3(): Promise<void> {
    this.#host.wakeFromS3();
  }

  async systemReset(): Promise<void> {
    this.#host.systemReset();
  }

  async resetDevice(): Promise<void> {
    this.#host.resetDevice();
  }

  deviceStatus(): number {
    return this.#host.machinery.status;
  }

  async functionLevelReset(): Promise<void> {
    this.#resetting((config) => resetFunction(config, this.#host.label));
  }

  async busReset(): Promise<void> {
    this.#resetting(() => this.#host.systemReset());
  }

  async cyclePower(): Promise<void> {
    this.#resetting((config) => {
      setPowerState(config, PciPowerState.D3HOT);
      setPowerState(config, PciPowerState.D0);
    });
  }

  async resetQueue(): Promise<void> {
    this.#host.connect().resetQueue(GpuQueue.CONTROL);
  }

  async snapshot(): Promise<void> {
    this.#host.powerOnFrom(this.#host.save());
  }

  /** As a kernel resets a function: what it had in configuration space is there again. */
  #resetting(reset: (config: BusAccess) => void): void {
    const { config } = this.#host.function;
    const command = config.read16(PciHeader.COMMAND);
    reset(config);
    this.#host.function.assignBars();
    config.write16(PciHeader.COMMAND, command);
  }

  async picture(output: number): Promise<HostPicture | null> {
    return this.#host.device.screenshot(output);
  }

  async cursor(output: number): Promise<HostCursor | null> {
    const cursor = this.#host.device.save().cursors[output];
    if (cursor === undefined || !cursor.visible) return null;
    const { x, y, hotX, hotY, rgba } = cursor;
    return { width: CURSOR_SIZE, height: CURSOR_SIZE, rgba, hotX, hotY, place: { x, y } };
  }

  readonly held = (): ReadonlyMap<number, Uint8Array> => {
    const { resources } = this.#host.device.save();
    return new Map(
      resources.map(({ id, kind, width, height, pixels, entries }) => {
        if (kind === "2d") return [id, pixels ?? new Uint8Array(width * height * 4)];
        return [id, this.#gather(entries)];
      }),
    );
  };

  errors(): readonly string[] {
    const exempt = this.#host.variant === "keeps" ? GpuReply.ERR_INVALID_RESOURCE_ID : 0;
    return this.#host.log
      .errorReplies()
      .filter(({ type, reply }) => !(reply === exempt && MAY_EXIST.has(type)))
      .map(({ type, reply }) => `${commandName(type)} was refused with ${replyName(reply)}`);
  }

  forgive(): void {
    this.#host.log.clear();
  }

  async setMonitor(output: number, size: { readonly width: number; readonly height: number }): Promise<void> {
    this.#host.device.setOutput(output, size);
  }

  release(): void {
    this.#host.commands.clear();
    if (this.isOn) this.#host.resume();
  }

  breakDevice(): void {
    this.#host.breakDevice();
  }

  forget(): void {
    this.#host.forget();
  }

  async powerOnPoorer(): Promise<void> {
    this.#host.powerOn({ ...this.#device, outputs: SIMULATED_OUTPUTS.slice(0, 1), blob: false });
  }

  /** Bytes of memory as the device reads them: by bus address. */
  #gather(entries: readonly { readonly address: number; readonly byteLength: number }[]): Uint8Array {
    const pieces = entries.map(({ address, byteLength }) => {
      const piece = new Uint8Array(byteLength);
      this.#machine.deviceMemory.read(address, piece);
      return piece;
    });
    return new Uint8Array(Buffer.concat(pieces));
  }
}
