/**
 * The driver's transports and rings against a real QEMU: bring-up, both queues, a command and its answer, the resets.
 */
import { type ErrorCode, GpuError, type Clock } from "@virtgpu/core/base";
import {
  DescriptorList,
  type DriverQueue,
  MmioTransport,
  PciTransport,
  type Transport,
  createDriverQueue,
  driverQueueBytes,
  driverQueueSize,
  negotiateFeatures,
  resetDevice,
  resetQueue,
} from "@virtgpu/core/virtio";
import { DeviceStatus, VirtioFeature, featureBit } from "@virtgpu/core/wire";
import { afterEach, describe, expect, it } from "vitest";
import { createNodeClock } from "../src/hosts/node-clock.ts";
import { QemuHost, type QemuHostOptions } from "../src/hosts/qemu/qemu-host.ts";

const CONTROL = 0;
const CURSOR = 1;
const DEADLINE_MS = 10_000;
const RINGS_AT = 0x200000;
const REQUEST_AT = 0x300000;
const REPLY_AT = 0x301000;
const REPLY_BYTES = 408;
const GET_DISPLAY_INFO = 0x100;
const OK_DISPLAY_INFO = 0x1101;
const EVERYTHING = [
  VirtioFeature.INDIRECT_DESC,
  VirtioFeature.EVENT_IDX,
  VirtioFeature.RING_PACKED,
  VirtioFeature.RING_RESET,
].reduce((mask, bit) => mask | featureBit(bit), 0n);

const clock: Clock = createNodeClock();
const hosts: QemuHost[] = [];

async function start(options: QemuHostOptions = {}): Promise<QemuHost> {
  const host = await QemuHost.start({ ramBytes: 32 << 20, ...options });
  hosts.push(host);
  return host;
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
});

function open(host: QemuHost, window: "bars" | "pci-cfg" = "bars"): Transport {
  const { pci, mmio } = host.device;
  if (mmio !== null) return MmioTransport.open(mmio);
  if (pci === null) throw new Error("no device");
  return PciTransport.open(pci, { window });
}

/** A driver that can do one thing. */
class TinyDriver {
  readonly transport: Transport;
  readonly features: bigint;
  readonly queues: DriverQueue[] = [];
  readonly #host: QemuHost;

  private constructor(host: QemuHost, transport: Transport, features: bigint) {
    this.#host = host;
    this.transport = transport;
    this.features = features;
  }

  static async start(host: QemuHost, transport: Transport): Promise<TinyDriver> {
    await resetDevice(transport, clock, DEADLINE_MS);
    const features = negotiateFeatures(transport, { wanted: EVERYTHING, required: 0n, previous: null });
    const driver = new TinyDriver(host, transport, features);
    driver.enable(CONTROL);
    driver.enable(CURSOR);
    transport.writeStatus(transport.readStatus() | DeviceStatus.DRIVER_OK);
    return driver;
  }

  has(feature: number): boolean {
    return (this.features & featureBit(feature)) !== 0n;
  }

  enable(queue: number): void {
    const packed = this.has(VirtioFeature.RING_PACKED);
    const size = driverQueueSize({ max: this.transport.queueSizeMax(queue), wanted: 50, packed });
    const shape = { size, packed, indirectEntries: this.has(VirtioFeature.INDIRECT_DESC) ? 4 : 0 };
    const address = RINGS_AT + queue * 0x10000;
    const memory = this.#host.ram.memory.ringMemory(address, driverQueueBytes(shape));
    const eventIndex = this.has(VirtioFeature.EVENT_IDX);
    this.queues[queue] = createDriverQueue({ ...shape, eventIndex, memory, address });
    this.transport.enableQueue(queue, this.#queue(queue).addresses);
  }

  /** Sends GET_DISPLAY_INFO and gives the reply's type, and how many bytes were written. */
  async displayInfo(): Promise<readonly [type: number, byteLength: number]> {
    const { memory } = this.#host.ram;
    const request = new Uint8Array(24);
    new DataView(request.buffer).setUint32(0, GET_DISPLAY_INFO, true);
    memory.write(REQUEST_AT, request);
    memory.write(REPLY_AT, new Uint8Array(REPLY_BYTES));
    const list = new DescriptorList();
    list.pushReadable(REQUEST_AT, request.length);
    list.pushWritable(REPLY_AT, REPLY_BYTES);
    const queue = this.#queue(CONTROL);
    expect(queue.add(list)).toBeGreaterThanOrEqual(0);
    if (queue.shouldNotify()) this.transport.notify(CONTROL);
    await this.#until(() => queue.pop());
    const reply = new Uint8Array(4);
    memory.read(REPLY_AT, reply);
    return [new DataView(reply.buffer).getUint32(0, true), queue.used.byteLength];
  }

  #queue(index: number): DriverQueue {
    const queue = this.queues[index];
    if (queue === undefined) throw new Error(`queue ${index} is not there`);
    return queue;
  }

  async #until(done: () => boolean): Promise<void> {
    const deadline = clock.nowMs() + DEADLINE_MS;
    while (!done()) {
      expect(this.#queue(CONTROL).broken).toBeNull();
      if (clock.nowMs() > deadline) throw new Error("QEMU does not answer the command");
      await new Promise<void>((resolve) => clock.after(0, resolve));
    }
  }
}

const ANSWER = [OK_DISPLAY_INFO, REPLY_BYTES] as const;

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | "none"> {
  try {
    await work;
    return "none";
  } catch (error) {
    if (error instanceof GpuError) return error.code;
    throw error;
  }
}

const device = (properties: Readonly<Record<string, string>>): QemuHostOptions => ({ devices: [{ properties }] });

describe("the driver's side of virtio against QEMU", () => {
  const cases: readonly (readonly [string, QemuHostOptions, "bars" | "pci-cfg"])[] = [
    ["by PCI BARs", {}, "bars"],
    ["by the window in configuration space", {}, "pci-cfg"],
    ["on virtio-vga", { devices: [{ model: "virtio-vga" }] }, "bars"],
    ["on MMIO", { machine: "microvm" }, "bars"],
    ["on packed rings", device({ packed: "on" }), "bars"],
    ["on packed rings on MMIO", { machine: "microvm", ...device({ packed: "on" }) }, "bars"],
    ["behind a root port, by the window", { devices: [{ rootPort: true }] }, "pci-cfg"],
    ["with a page for each queue's notifications", device({ "page-per-vq": "on" }), "bars"],
    ["with an I/O port for notifications beside the memory", device({ "modern-pio-notify": "on" }), "bars"],
    ["without indirect descriptors and event index", device({ indirect_desc: "off", event_idx: "off" }), "bars"],
    ["packed, without event index", device({ packed: "on", event_idx: "off" }), "bars"],
  ];

  it.each(cases)("gets an answer %s, also after a queue reset and a device reset", async (name, options, window) => {
    const host = await start(options);
    const transport = open(host, window);
    expect([transport.deviceId, transport.completion]).toEqual([16, "polled"]);
    const driver = await TinyDriver.start(host, transport);
    expect(driver.has(VirtioFeature.VERSION_1)).toBe(true);
    expect(driver.has(VirtioFeature.RING_PACKED)).toBe(name.includes("packed"));
    expect(driver.has(VirtioFeature.INDIRECT_DESC)).toBe(!name.includes("without indirect"));
    expect(driver.has(VirtioFeature.EVENT_IDX)).toBe(!name.includes("event index"));
    expect(transport.config.read32(8)).toBe(1);
    for (let count = 0; count < 60; count += 1) expect(await driver.displayInfo()).toEqual(ANSWER);
    expect(driver.has(VirtioFeature.RING_RESET)).toBe(true);
    const reset = await codeOf(resetQueue(transport, CONTROL, clock, DEADLINE_MS));
    // QEMU 7.2 offers RING_RESET on MMIO without having the register.
    expect(reset === "none" || (host.machine === "microvm" && reset === "EPROTO")).toBe(true);
    if (reset === "none") {
      driver.enable(CONTROL);
      expect(await driver.displayInfo()).toEqual(ANSWER);
    }
    const again = await TinyDriver.start(host, transport);
    expect(await again.displayInfo()).toEqual(ANSWER);
    expect(transport.pollConfig()).toBe(false);
    expect(host.errorLines.filter((line) => !line.includes("virtio_mmio"))).toEqual([]);
  });

  it("reads back on PCI what it wrote, and sees by it that a reset took it", async () => {
    const host = await start();
    const transport = open(host);
    const driver = await TinyDriver.start(host, transport);
    for (const index of [CONTROL, CURSOR]) {
      expect(transport.readQueue(index)).toEqual({ enabled: true, addresses: driver.queues[index]?.addresses });
    }
    expect(transport.readQueue(CURSOR).addresses?.size).toBe(16);
    await resetDevice(transport, clock, DEADLINE_MS);
    expect(transport.readQueue(CONTROL).enabled).toBe(false);
    expect(transport.queueSizeMax(2)).toBe(0);
    expect(transport.sharedMemory(1)).toBeNull();
  });

  it("accepts an IOMMU that it did not ask for: QEMU refuses FEATURES_OK without it", async () => {
    const host = await start(device({ iommu_platform: "on" }));
    const transport = open(host);
    const driver = await TinyDriver.start(host, transport);
    expect(driver.has(VirtioFeature.ACCESS_PLATFORM)).toBe(true);
    expect(await driver.displayInfo()).toEqual(ANSWER);
    await resetDevice(transport, clock, DEADLINE_MS);
    transport.writeStatus(1);
    transport.writeStatus(3);
    transport.writeDriverFeatures(featureBit(VirtioFeature.VERSION_1));
    transport.writeStatus(11);
    expect(transport.readStatus() & DeviceStatus.FEATURES_OK).toBe(0);
  });

  it("moves to D3hot and back behind a root port, without No_Soft_Reset, and goes on where it was", async () => {
    const host = await start({ devices: [{ rootPort: true }] });
    const transport = open(host);
    const driver = await TinyDriver.start(host, transport);
    expect(transport.power?.noSoftReset).toBe(false);
    transport.power?.enterD3hot();
    transport.power?.enterD0();
    // QEMU 7.2 keeps all over this.
    expect(await driver.displayInfo()).toEqual(ANSWER);
    transport.power?.enterD3hot();
    transport.reattach();
    expect(await driver.displayInfo()).toEqual(ANSWER);
    expect(open(await start()).power).toBeNull();
  });

  it.each(["bars", "pci-cfg"] as const)("is back by %s after S3, a reboot and a bus reset", async (window) => {
    const host = await start({ devices: [{ rootPort: true }] });
    const transport = open(host, window);
    await TinyDriver.start(host, transport);
    const resets = [
      async (): Promise<void> => host.s3(),
      async (): Promise<void> => host.systemReset(),
      async (): Promise<void> => host.device.pci?.secondaryBusReset(),
      async (): Promise<void> => host.device.pci?.functionLevelReset(),
    ];
    for (const reset of resets) {
      await reset();
      transport.reattach();
      expect(transport.readStatus()).toBe(0);
      const driver = await TinyDriver.start(host, transport);
      expect(await driver.displayInfo()).toEqual(ANSWER);
    }
  });

  it.each(["q35", "microvm"] as const)(
    "ends with ENODEV when the host dies (%s), and serves the next host",
    async (machine) => {
      const host = await start({ machine });
      const transport = open(host);
      const driver = await TinyDriver.start(host, transport);
      expect(await driver.displayInfo()).toEqual(ANSWER);
      await host.kill();
      expect(await codeOf(driver.displayInfo())).toBe("ENODEV");
      expect(await codeOf(resetDevice(transport, clock, DEADLINE_MS))).toBe("ENODEV");
      expect(await codeOf(resetQueue(transport, CONTROL, clock, DEADLINE_MS))).toBe("ENODEV");
      expect(await codeOf(Promise.resolve().then(() => transport.reattach()))).toBe("ENODEV");
      await host.restart();
      transport.reattach();
      const next = await TinyDriver.start(host, transport);
      expect(await next.displayInfo()).toEqual(ANSWER);
    },
  );
});
