/**
 * A real QEMU as the host of a machine: its device drives registers and memory, its screen dumps and its VNC server tell
 * what is shown, and its ACPI puts the machine to sleep.
 */
import { GpuError } from "@virtgpu/core/base";
import {
  type DmaMap,
  type GuestMemory,
  type MemoryRegion,
  PhysicalDmaMap,
  type RamPageAllocator,
} from "@virtgpu/core/memory";
import type { PowerOffMode, SleepTarget, Wake } from "@virtgpu/core/sleep";
import { MmioTransport, PciTransport, type Transport } from "@virtgpu/core/virtio";
import * as v from "valibot";
import { UsageError } from "../../usage-error.ts";
import type { Hardware, HostCursor, HostGpu, HostPicture, MachineHost } from "../machine.ts";
import type { RgbPicture } from "./ppm.ts";
import { type QemuDevice, type QemuDeviceOptions, QemuHost, type QemuMachine } from "./qemu-host.ts";
import { RamFile } from "./ram-file.ts";

const MIB = 1 << 20;
const MACHINES: readonly QemuMachine[] = ["q35", "pc", "microvm"];
/** Below it a device refuses what two screens and their off-screen buffers need. */
const HOST_MEMORY_MIN = 256 * MIB;
/** How long a viewer waits for a cursor that may not be there. */
const CURSOR_WAIT_MS = 1500;
/** Our own properties of a device: the rest is QEMU's. */
const ROOT_PORT = "root-port";
const WINDOW = "window";

/** Guest memory that a QEMU can be started on: filled first, where the machine comes back from an image. */
export class QemuMemory {
  readonly ram: RamFile;

  constructor(ramBytes: number) {
    this.ram = RamFile.create(ramBytes);
  }

  get memory(): GuestMemory {
    return this.ram.memory;
  }
}

/** See the file's head. */
export class QemuMachineHost implements MachineHost {
  readonly name: string = "QEMU";
  readonly version: string;
  readonly label: string;
  readonly usable: MemoryRegion;
  readonly #host: QemuHost;
  readonly #hardware: Hardware;
  #gpus: readonly QemuGpu[] = [];

  private constructor(host: QemuHost, hardware: Hardware, version: string) {
    this.#host = host;
    this.#hardware = hardware;
    this.version = version;
    this.label = `QEMU ${version}, ${host.machine}, ${hardware.device.type}`;
    // All of RAM above the first MiB and its hole, up to where a PC moves the rest.
    const first = host.ram.memory.regions.find(({ address }) => address === MIB);
    this.usable = first ?? { address: MIB, byteLength: host.ram.byteLength - MIB };
  }

  /** Starts QEMU on this memory. Throws UsageError for hardware it can't be asked for, GpuError as {@link QemuHost.start}. */
  static async start(hardware: Hardware, { ram }: QemuMemory): Promise<QemuMachineHost> {
    const { device, outputs, qemu } = hardware;
    const machine = MACHINES.find((name) => name === (hardware.machine ?? "q35"));
    if (machine === undefined) {
      throw new UsageError(`the machine type "${hardware.machine}" is none of ${MACHINES.join(", ")}`);
    }
    const { [ROOT_PORT]: rootPort, [WINDOW]: _, ...given } = device.properties;
    const properties = { ...hostMemory(hardware), ...given };
    const options: QemuDeviceOptions = {
      model: device.type,
      outputs: outputs.length,
      rootPort: rootPort === "on",
      properties,
    };
    const binary = qemu === null ? {} : { binary: qemu };
    const host = await QemuHost.start({ machine, devices: [options], ram, vnc: true, ...binary });
    try {
      return new QemuMachineHost(host, hardware, await askVersion(host));
    } catch (error) {
      await host.stop();
      throw error;
    }
  }

  get memory(): GuestMemory {
    return this.#host.ram.memory;
  }

  get errorLines(): readonly string[] {
    return this.#host.errorLines;
  }

  get gpus(): readonly HostGpu[] {
    return this.#gpus;
  }

  attach(allocator: RamPageAllocator): DmaMap {
    const window = this.#hardware.device.properties[WINDOW] === "pci-cfg" ? "pci-cfg" : "bars";
    this.#gpus = this.#host.devices.map((device) => new QemuGpu(this.#host, device, window));
    return new PhysicalDmaMap(allocator);
  }

  async sleep(target: SleepTarget): Promise<Wake> {
    if (target === "s2idle") return { source: "timer" };
    await this.#host.s3();
    return { source: "system_wakeup" };
  }

  async powerOff(mode: PowerOffMode): Promise<void> {
    if (mode === "platform") await this.#host.s4();
    else await this.#host.kill();
  }

  release(): void {}

  async kill(): Promise<void> {
    await this.#host.kill();
  }

  async stop(): Promise<void> {
    await this.#host.stop();
  }
}

/** One of its devices, seen from the host. */
export class QemuGpu implements HostGpu {
  readonly label: string;
  readonly held: null = null;
  readonly contexts: null = null;
  readonly forget: null = null;
  readonly faults: null = null;
  readonly #host: QemuHost;
  readonly #device: QemuDevice;
  readonly #window: "bars" | "pci-cfg";

  constructor(host: QemuHost, device: QemuDevice, window: "bars" | "pci-cfg") {
    this.label = device.id;
    this.#host = host;
    this.#device = device;
    this.#window = window;
  }

  connect(): Transport {
    const { mmio, pci, id } = this.#device;
    if (mmio !== null) return MmioTransport.open(mmio);
    if (pci === null) throw new GpuError("ENODEV", "QEMU shows no such device", { device: id });
    return PciTransport.open(pci, { window: this.#window });
  }

  async picture(output: number): Promise<HostPicture | null> {
    return toRgba(await this.#host.screendump(output, this.label));
  }

  /** A viewer of its own, for QEMU tells the cursor to viewers only, and its place to nobody. */
  async cursor(output: number): Promise<HostCursor | null> {
    const viewer = await this.#host.viewer(output, this.label);
    try {
      await viewer.until(() => viewer.cursor !== null, CURSOR_WAIT_MS);
    } catch (error) {
      if (error instanceof GpuError && error.code === "ETIMEDOUT") return null;
      throw error;
    } finally {
      viewer.close();
    }
    const { cursor } = viewer;
    // A hidden one is shown as one of which nothing is to be seen.
    if (cursor === null || cursor.mask.every((bit) => bit === 0)) return null;
    const picture = toRgba(cursor);
    cursor.mask.forEach((bit, pixel) => {
      // What lies behind a pixel that is not part of the cursor is nobody's.
      if (bit === 0) picture.rgba.fill(0, pixel * 4, pixel * 4 + 4);
    });
    return { ...picture, hotX: cursor.hotX, hotY: cursor.hotY, place: null };
  }
}

/** A device's host memory grows with its guest's, unless its user said how much it has. */
function hostMemory({ ramBytes }: Hardware): Readonly<Record<string, string>> {
  return { max_hostmem: `${Math.max(HOST_MEMORY_MIN, ramBytes + HOST_MEMORY_MIN) / MIB}M` };
}

const number = v.pipe(v.number(), v.integer());
const versionAnswer = v.object({ qemu: v.object({ major: number, minor: number, micro: number }) });

async function askVersion(host: QemuHost): Promise<string> {
  const { qemu } = v.parse(versionAnswer, await host.qmp.execute("query-version"));
  return `${qemu.major}.${qemu.minor}.${qemu.micro}`;
}

function toRgba({ width, height, rgb }: RgbPicture): HostPicture {
  const rgba = new Uint8Array(width * height * 4);
  for (let source = 0, target = 0; target < rgba.length; source += 3, target += 4) {
    rgba[target] = rgb[source] ?? 0;
    rgba[target + 1] = rgb[source + 1] ?? 0;
    rgba[target + 2] = rgb[source + 2] ?? 0;
    rgba[target + 3] = 0xff;
  }
  return { width, height, rgba };
}
