/**
 * A real QEMU as the host of a virtio-gpu driver that runs in this process: the devices' registers over qtest, guest
 * RAM as a shared file, pixels by screen dump, and every way in which a host can sleep, reset or die.
 *
 * The register access that {@link QemuHost.devices} hands out outlives a QEMU: while none runs it throws ENODEV, and
 * after {@link QemuHost.restart} it reaches the new one, whose bus has forgotten its BARs (`assignBars` puts them back).
 */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { GpuError } from "@virtgpu/core/base";
import type { BusAccess } from "@virtgpu/core/virtio";
import { PciBus, type PciFunction } from "./pci-bus.ts";
import type { RgbPicture } from "./ppm.ts";
import { createPrivateFolder } from "./private-folder.ts";
import { type QemuExit, QemuProcess, withDeadline } from "./qemu-process.ts";
import type { QmpClient, QmpEvent } from "./qmp-client.ts";
import { memoryAccess, QtestChannel } from "./qtest-channel.ts";
import { RamFile } from "./ram-file.ts";
import { RfbClient } from "./rfb-client.ts";

/** The machines that work without firmware and KVM. */
export type QemuMachine = "q35" | "pc" | "microvm";

/** One virtio-gpu device. */
export interface QemuDeviceOptions {
  /** A type that QEMU knows, `virtio-gpu-pci` unless given; on microvm always `virtio-gpu-device`. */
  readonly model?: string;
  /** Outputs, 1 to 16 (1 unless given). */
  readonly outputs?: number;
  /** Behind a PCI Express root port: a power management capability, D-states and FLR (q35 only). */
  readonly rootPort?: boolean;
  /** More device properties, e.g. `{ max_hostmem: "16M" }`. */
  readonly properties?: Readonly<Record<string, string>>;
}

/** What {@link QemuHost.start} may be told. */
export interface QemuHostOptions {
  /** `q35` unless given. */
  readonly machine?: QemuMachine;
  /** One plain device unless given. */
  readonly devices?: readonly QemuDeviceOptions[];
  /** Size of new RAM in bytes (64 MiB unless given). */
  readonly ramBytes?: number;
  /** RAM to use instead; it stays the caller's and is not closed with the host. */
  readonly ram?: RamFile;
  /** A VNC server for every output. */
  readonly vnc?: boolean;
  /** More arguments for QEMU. */
  readonly args?: readonly string[];
  /** Program name or absolute path. */
  readonly binary?: string;
}

/** What a driver needs to reach one device. Exactly one of `pci` and `mmio` is there. */
export interface QemuDevice {
  /** QEMU's name of it: `gpu0`, `gpu1`, ... */
  readonly id: string;
  readonly outputs: number;
  readonly pci: PciFunction | null;
  /** A virtio-mmio register block of 512 bytes, and its name. */
  readonly mmio: { readonly label: string; readonly registers: BusAccess } | null;
}

const VIRTIO_VENDOR = 0x1af4;
const VIRTIO_GPU_PCI = 0x1050;
const MMIO_START = 0xfeb00000;
const MMIO_SLOTS = 24;
const MMIO_SLOT_BYTES = 512;
const MMIO_MAGIC = 0x74726976;
const VIRTIO_GPU = 16;

/** ACPI power management block, where {@link QemuHost} puts it; its control register and the values QEMU knows. */
const PM_BASE = 0x600;
const PM_CONTROL = PM_BASE + 4;
const SLEEP_S3 = 0x2400;
const SLEEP_S4 = 0x2800;
const SLEEP_DEADLINE_MS = 30_000;
const MIGRATION_DEADLINE_MS = 30_000;

const migrationAnswer = v.object({ status: v.optional(v.string()), "error-desc": v.optional(v.string()) });

/** See the file's head. */
export class QemuHost {
  /** Guest RAM: the device sees the same bytes. */
  readonly ram: RamFile;
  readonly machine: QemuMachine;
  /** In the order of {@link QemuHostOptions.devices}. */
  readonly devices: readonly QemuDevice[];
  readonly #options: QemuHostOptions;
  readonly #channel: QtestChannel;
  readonly #bus: PciBus;
  readonly #viewers = new Set<RfbClient>();
  #process: QemuProcess;

  private constructor(options: QemuHostOptions, ram: RamFile, channel: QtestChannel, process: QemuProcess) {
    this.#options = options;
    this.ram = ram;
    this.machine = machineOf(options);
    this.#channel = channel;
    this.#process = process;
    this.#bus = new PciBus(channel);
    this.devices = this.#findDevices();
  }

  /**
   * Starts a QEMU. Throws GpuError: ENODEV when the program is missing (the message names the package), EINVAL with
   * QEMU's own words when it refuses its arguments.
   */
  static async start(options: QemuHostOptions = {}): Promise<QemuHost> {
    const ram = options.ram ?? RamFile.create(options.ramBytes ?? 64 << 20);
    const channel = new QtestChannel();
    try {
      const process = await startProcess(options, ram, channel);
      try {
        return new QemuHost(options, ram, channel, process);
      } catch (error) {
        await process.kill();
        throw error;
      }
    } catch (error) {
      if (options.ram === undefined) ram.close();
      throw error;
    }
  }

  /** The one device of a host that has only one asked for. */
  get device(): QemuDevice {
    const device = this.devices[0];
    if (device === undefined) throw new GpuError("ENODEV", "this QEMU has no virtio-gpu device");
    return device;
  }

  /** QMP of the QEMU that runs now. */
  get qmp(): QmpClient {
    return this.#process.qmp;
  }

  /** Whether a QEMU runs. */
  get isRunning(): boolean {
    return this.#process.isRunning;
  }

  /** Lines QEMU wrote to its error stream since its start, with what it has to say about the guest's errors. */
  get errorLines(): readonly string[] {
    return this.#process.errorLines;
  }

  /** Raw qtest, for machine registers that are nobody's device. */
  get channel(): QtestChannel {
    return this.#channel;
  }

  /** What the output shows, without its cursor. */
  async screendump(head: number = 0, device: string = "gpu0"): Promise<RgbPicture> {
    return this.#process.screendump({ device, head });
  }

  /** Connects to the VNC server of an output. Throws GpuError ENOTSUP when the host was started without `vnc`. */
  async viewer(head: number = 0, device: string = "gpu0"): Promise<RfbClient> {
    const path = join(this.#process.folder, `${device}-${head}.vnc`);
    if (this.#options.vnc !== true || !existsSync(path)) {
      throw new GpuError("ENOTSUP", "there is no VNC server for this output: start the host with vnc: true", {
        device: `${device}.${head}`,
      });
    }
    const viewer = await RfbClient.connect(path);
    this.#viewers.add(viewer);
    return viewer;
  }

  /** SIGKILL: the host process is gone from one instruction to the next. RAM stays. */
  async kill(): Promise<QemuExit> {
    this.#closeViewers();
    return this.#process.kill();
  }

  /** A fresh QEMU on the same RAM, as after a hibernation; the one that runs is killed. */
  async restart(): Promise<void> {
    await this.kill();
    this.#process = await startProcess(this.#options, this.ram, this.#channel);
  }

  /**
   * A snapshot: all that QEMU knows but RAM is saved to a file, and a fresh process on the same RAM goes on from there.
   * Throws GpuError EIO with QEMU's own words where it can't be saved or loaded.
   */
  async migrate(): Promise<void> {
    const folder = createPrivateFolder();
    const file = shellWord(join(folder, "state"));
    try {
      await this.#shareRam();
      await this.qmp.execute("migrate", { uri: `exec:cat > ${file}` });
      await this.#untilMigrated();
      await this.kill();
      const args = [...(this.#options.args ?? []), "-incoming", "defer"];
      this.#process = await startProcess({ ...this.#options, args }, this.ram, this.#channel);
      await this.#shareRam();
      await this.qmp.execute("migrate-incoming", { uri: `exec:cat ${file}` });
      await this.#untilMigrated();
      await this.#untilRunning();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** A reboot: all devices are reset, RAM stays. Resolves when QEMU has done it. */
  async systemReset(): Promise<void> {
    await this.#causing("RESET", async () => {
      await this.qmp.execute("system_reset");
    });
  }

  /** Real ACPI S3: the guest's write to PM1_CNT. Resolves when the machine is suspended. */
  async enterS3(): Promise<void> {
    await this.#causing("SUSPEND", async () => this.#writeSleepRegister(SLEEP_S3));
  }

  /** Wakes the machine from S3; QEMU resets it on the way. */
  async wakeFromS3(): Promise<void> {
    await this.#causing("WAKEUP", async () => {
      await this.qmp.execute("system_wakeup");
    });
    await this.#untilRunning();
  }

  /** S3 and back. */
  async s3(): Promise<void> {
    await this.enterS3();
    await this.wakeFromS3();
  }

  /**
   * Real ACPI S4: the guest's write to PM1_CNT, upon which QEMU announces SUSPEND_DISK and powers the machine off; its
   * process is then ended. {@link restart} is the next power-on.
   */
  async s4(): Promise<void> {
    const off = this.qmp.nextEvent("SHUTDOWN");
    await this.#causing("SUSPEND_DISK", async () => this.#writeSleepRegister(SLEEP_S4));
    await this.#process.orExit(withDeadline(off, SLEEP_DEADLINE_MS, "QEMU did not power off"));
    await this.kill();
  }

  /** Ends QEMU and gives the RAM back, unless it was the caller's. */
  async stop(): Promise<void> {
    await this.kill();
    if (this.#options.ram === undefined) this.ram.close();
  }

  /** For `await using`: the same as {@link stop}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #causing(event: string, cause: () => Promise<void>): Promise<QmpEvent> {
    this.#channel.drain();
    const heard = this.qmp.nextEvent(event);
    await cause();
    const within = withDeadline(heard, SLEEP_DEADLINE_MS, `QEMU did not say ${event}`);
    return this.#process.orExit(within);
  }

  /** The wake-up event comes before the machine's processors and devices have been reset. */
  async #untilRunning(): Promise<void> {
    for (;;) {
      const status = await this.qmp.execute("query-status");
      if (typeof status === "object" && status !== null && "status" in status && status.status === "running") return;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** RAM is the same file for both processes: it is no part of what is saved. */
  async #shareRam(): Promise<void> {
    const capabilities = [{ capability: "x-ignore-shared", state: true }];
    await this.qmp.execute("migrate-set-capabilities", { capabilities });
  }

  async #untilMigrated(): Promise<void> {
    const end = performance.now() + MIGRATION_DEADLINE_MS;
    for (;;) {
      const { status, "error-desc": why } = v.parse(migrationAnswer, await this.qmp.execute("query-migrate"));
      if (status === "completed") return;
      if (status === "failed") throw new GpuError("EIO", `QEMU could not be moved: ${why ?? "it does not say why"}`);
      if (performance.now() > end) throw new GpuError("ETIMEDOUT", "QEMU could not be moved in time");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Firmware's part: the power management block's place is lost at each reset. */
  #writeSleepRegister(value: number): void {
    if (this.machine === "microvm") throw new GpuError("ENOTSUP", "a microvm has no ACPI sleep states");
    if (this.machine === "q35") {
      const bridge = this.#bus.config({ bus: 0, device: 0x1f, function: 0 });
      bridge.write32(0x40, PM_BASE | 1);
      bridge.write8(0x44, 0x80);
    } else {
      const power = this.#bus.config({ bus: 0, device: 1, function: 3 });
      power.write32(0x40, PM_BASE | 1);
      power.write8(0x80, 1);
    }
    this.#channel.writePort(PM_CONTROL, 2, value);
  }

  #closeViewers(): void {
    for (const viewer of this.#viewers) viewer.close();
    this.#viewers.clear();
  }

  #findDevices(): readonly QemuDevice[] {
    const wanted = devicesOf(this.#options);
    const found = this.machine === "microvm" ? this.#findMmio() : this.#bus.find(VIRTIO_VENDOR, VIRTIO_GPU_PCI);
    if (found.length !== wanted.length) {
      throw new GpuError("ENODEV", `QEMU shows ${found.length} virtio-gpu devices instead of ${wanted.length}`);
    }
    return found.map((place, index) => ({
      id: `gpu${index}`,
      outputs: wanted[index]?.outputs ?? 1,
      pci: "registers" in place ? null : place,
      mmio: "registers" in place ? place : null,
    }));
  }

  /** QEMU fills a microvm's slots from the last one down, so the first device of the command line is found last. */
  #findMmio(): readonly { readonly label: string; readonly registers: BusAccess }[] {
    const found: { readonly label: string; readonly registers: BusAccess }[] = [];
    for (let slot = MMIO_SLOTS - 1; slot >= 0; slot -= 1) {
      const base = MMIO_START + slot * MMIO_SLOT_BYTES;
      const registers = memoryAccess(this.#channel, base);
      if (registers.read32(0) !== MMIO_MAGIC || registers.read32(8) !== VIRTIO_GPU) continue;
      found.push({ label: `virtio-mmio@${base.toString(16)}`, registers });
    }
    return found;
  }
}

/** For the shell that QEMU has open a file. */
function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function machineOf(options: QemuHostOptions): QemuMachine {
  return options.machine ?? "q35";
}

function devicesOf(options: QemuHostOptions): readonly QemuDeviceOptions[] {
  return options.devices ?? [{}];
}

async function startProcess(options: QemuHostOptions, ram: RamFile, channel: QtestChannel): Promise<QemuProcess> {
  return QemuProcess.start({
    args: commandLine(options, ram),
    ramFd: ram.fd,
    channel,
    ...(options.binary === undefined ? {} : { binary: options.binary }),
  });
}

function commandLine(options: QemuHostOptions, ram: RamFile): readonly string[] {
  const machine = machineOf(options);
  const devices = devicesOf(options);
  const backend = `memory-backend-file,id=mem,size=${ram.byteLength},mem-path=/proc/self/fd/3,share=on`;
  const groups: readonly (readonly string[])[] = [
    ["-machine", `${machine},memory-backend=mem`, "-m", `${ram.byteLength / (1 << 20)}M`, "-object", backend],
    ["-d", "guest_errors"],
    machine === "microvm" ? ["-global", "virtio-mmio.force-legacy=false"] : [],
    devices.flatMap((device, index) => deviceArguments(device, index, machine)),
    options.vnc === true ? devices.flatMap(vncArguments) : [],
    options.args ?? [],
  ];
  return groups.flat();
}

function deviceArguments(device: QemuDeviceOptions, index: number, machine: QemuMachine): readonly string[] {
  const model = machine === "microvm" ? "virtio-gpu-device" : (device.model ?? "virtio-gpu-pci");
  const port = device.rootPort === true ? ["-device", `pcie-root-port,id=port${index},chassis=${index + 1}`] : [];
  const properties = Object.entries(device.properties ?? {}).map(([name, value]) => `${name}=${value}`);
  const parts = [
    `${model},id=gpu${index},max_outputs=${device.outputs ?? 1}`,
    ...(device.rootPort === true ? [`bus=port${index}`] : []),
    ...properties,
  ];
  return [...port, "-device", parts.join(",")];
}

function vncArguments(device: QemuDeviceOptions, index: number): readonly string[] {
  const heads = Array.from({ length: device.outputs ?? 1 }, (_, head) => head);
  return heads.flatMap((head) => ["-vnc", `unix:{folder}/gpu${index}-${head}.vnc,display=gpu${index},head=${head}`]);
}
