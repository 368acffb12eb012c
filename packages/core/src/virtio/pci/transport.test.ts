import { describe, expect, it } from "vitest";
import { CommonConfig, PciCapId, PciCommand, PciHeader, VirtioCapType } from "../../wire/pci.ts";
import {
  type FakeCapability,
  FakeDevice,
  FakePci,
  FakeQueue,
  msixEnabled,
  soundCapabilities,
  vendorCapability,
} from "../test-registers.ts";
import { PciTransport } from "./transport.ts";

const ADDRESSES = { size: 16, descriptors: 0x12_3456_7000, driver: 0x1_0000_0010, device: 0x20 };
const { BUS_MASTER, MEMORY, INTX_DISABLE } = PciCommand;
const codes = (code: string): unknown => expect.objectContaining({ code });

function setUp(capabilities?: readonly FakeCapability[]) {
  const device = new FakeDevice();
  const pci = new FakePci(device, capabilities);
  return { device, pci, open: (window: "bars" | "pci-cfg" = "bars") => PciTransport.open(pci, { window }) };
}

const command = (pci: FakePci): number => pci.space16(PciHeader.COMMAND);
const isMaster = (pci: FakePci): boolean => (command(pci) & BUS_MASTER) !== 0;

describe.each(["bars", "pci-cfg"] as const)("virtio over PCI, reached by %s", (window) => {
  it("writes 64-bit addresses as two halves, and enables the queue it selected", () => {
    const { device, open } = setUp();
    const transport = open(window);
    expect([transport.deviceId, transport.label]).toEqual([16, "0000:00:02.0"]);
    transport.enableQueue(1, ADDRESSES);
    expect(device.queues[1]).toMatchObject({ size: 16, enabled: 1, words: [0x3456_7000, 0x12, 0x10, 1, 0x20, 0] });
    expect(device.queues[0]?.enabled).toBe(0);
    expect(transport.readQueue(1)).toEqual({ enabled: true, addresses: ADDRESSES });
    expect(transport.readQueue(0)).toMatchObject({ enabled: false });
    expect([0, 1, 2, 0xffff].map((queue) => transport.queueSizeMax(queue))).toEqual([64, 16, 0, 0]);
  });

  it("reads and writes features and configuration, and nothing behind the configuration's end", () => {
    const { device, open } = setUp();
    const transport = open(window);
    device.features = 0xfedc_ba98_7654_3210n;
    expect(transport.readDeviceFeatures()).toBe(0xfedc_ba98_7654_3210n);
    transport.writeDriverFeatures(0x8000_0001_4000_0002n);
    expect(device.driverFeatures).toBe(0x8000_0001_4000_0002n);
    expect(transport.config.read32(12)).toBe(0x0f0e_0d0c);
    expect(transport.config.read8(15)).toBe(15);
    expect([transport.config.read32(16), transport.config.read8(16)]).toEqual([0, 0]);
    transport.config.write32(8, 0xaabb_ccdd);
    transport.config.write32(16, 1);
    expect([device.config[8], device.config[16]]).toEqual([0xdd, undefined]);
    device.generation = 200;
    expect(transport.config.generation()).toBe(200);
  });

  it("notifies where the queue says, 16 bits wide, 32 with NOTIFICATION_DATA, and no queue that is not enabled", () => {
    const { device, open } = setUp();
    const transport = open(window);
    transport.notify(1);
    transport.enableQueue(1, ADDRESSES);
    transport.notify(1);
    transport.notify(1, 0x8003_0001);
    transport.writeStatus(0);
    transport.notify(1);
    expect(device.kicks).toEqual([
      [4, 2, 1],
      [4, 4, 0x8003_0001],
    ]);
  });

  it("tells a queue enabled too early, one that can't be enabled, and one too large from a device that is gone", () => {
    const { device, open } = setUp();
    const transport = open(window);
    transport.enableQueue(0, ADDRESSES);
    expect(() => transport.enableQueue(0, ADDRESSES)).toThrow(codes("EPROTO"));
    device.refusesQueues = true;
    expect(() => transport.enableQueue(1, ADDRESSES)).toThrow(codes("EPROTO"));
    device.queue.size = 32_769;
    expect(() => transport.queueSizeMax(1)).toThrow(codes("EPROTO"));
    device.gone = "reads ones";
    expect(() => transport.queueSizeMax(1)).toThrow(codes("ENODEV"));
    expect(() => transport.enableQueue(1, ADDRESSES)).toThrow(codes("ENODEV"));
    expect(() => transport.reattach()).toThrow(codes("ENODEV"));
    expect(transport.readStatus()).toBe(0xff);
    expect(transport.pollConfig()).toBe(false);
    device.gone = "throws";
    expect(() => transport.readStatus()).toThrow(codes("ENODEV"));
  });
});

describe("interrupts of a PCI function", () => {
  const listen = (transport: PciTransport): string[] => {
    const heard: string[] = [];
    const onQueue = (queue: number | undefined): number => heard.push(`queue ${queue}`);
    transport.setInterruptHandler({ onQueue, onConfig: () => heard.push("config") });
    return heard;
  };

  it("have a vector each where they suffice, and share them else", () => {
    const cases = [
      [3, [0, 1, 2], ["config", "queue 0", "queue 1"]],
      [2, [0, 1, 1], ["config", "queue undefined"]],
      [1, [0, 0, 0], ["config", "queue undefined"]],
    ] as const;
    for (const [vectors, assigned, expected] of cases) {
      const { device, pci, open } = setUp();
      pci.withInterrupts(vectors);
      const transport = open();
      expect([transport.completion, msixEnabled(pci)]).toEqual(["interrupts", true]);
      expect(command(pci) & INTX_DISABLE).toBe(INTX_DISABLE);
      transport.enableQueue(0, ADDRESSES);
      transport.enableQueue(1, ADDRESSES);
      expect([device.configVector, ...device.queues.map((queue) => queue.vector)]).toEqual(assigned);
      const heard = listen(transport);
      for (let vector = 0; vector < vectors; vector += 1) pci.handler?.(vector);
      expect(heard).toEqual(expected);
    }
  });

  it("are no more than the function has vectors, and a device without room for one is told", () => {
    const { device, pci, open } = setUp();
    pci.withInterrupts(64);
    const transport = open();
    device.vectorsMax = 1;
    expect(() => transport.enableQueue(0, ADDRESSES)).toThrow(codes("ENOMEM"));
    device.vectorsMax = 3;
    transport.enableQueue(0, ADDRESSES);
    expect(device.queues[0]?.vector).toBe(1);
  });

  it("come by the line and the ISR register without MSI-X, which an earlier driver may have left on", () => {
    const { device, pci, open } = setUp();
    pci.withInterrupts(0);
    pci.config.write16(pci.capability(PciCapId.MSIX) + 2, 0xc002);
    pci.config.write16(PciHeader.COMMAND, INTX_DISABLE);
    const transport = open();
    expect([msixEnabled(pci), command(pci) & INTX_DISABLE]).toEqual([false, 0]);
    const heard = listen(transport);
    for (const isr of [1, 2, 3, 0]) {
      device.isr = isr;
      pci.handler?.(-1);
    }
    expect(heard.splice(0)).toEqual(["queue undefined", "config", "queue undefined", "config"]);
    for (const gone of ["reads ones", "throws"] as const) {
      device.gone = gone;
      pci.handler?.(-1);
    }
    expect(heard).toEqual([]);
    expect(transport.pollConfig()).toBe(false);
    transport.setInterruptHandler(null);
    expect(pci.handler).toBeNull();
  });

  it("are polled where there are none, with both kinds off", () => {
    const { device, pci, open } = setUp();
    pci.config.write16(pci.capability(PciCapId.MSIX) + 2, 0x8002);
    const transport = open();
    expect([transport.completion, msixEnabled(pci), command(pci) & INTX_DISABLE]).toEqual([
      "polled",
      false,
      INTX_DISABLE,
    ]);
    device.isr = 3;
    expect([transport.pollConfig(), transport.pollConfig()]).toEqual([true, false]);
  });
});

describe("bus mastering and reattachment of a PCI function", () => {
  it("comes on at once for a device that is reset, and goes off with detach", () => {
    const { pci, open } = setUp();
    const transport = open();
    expect([isMaster(pci), command(pci) & MEMORY]).toEqual([true, MEMORY]);
    transport.detach();
    expect(isMaster(pci)).toBe(false);
    transport.reattach();
    expect(isMaster(pci)).toBe(true);
  });

  it("stays off while an earlier driver's rings may still be in the device", () => {
    const { device, pci, open } = setUp();
    device.status = 15;
    const transport = open();
    expect(isMaster(pci)).toBe(false);
    transport.writeStatus(0);
    expect(isMaster(pci)).toBe(false);
    transport.writeStatus(1);
    expect(isMaster(pci)).toBe(true);

    transport.enableQueue(0, ADDRESSES);
    transport.writeStatus(15);
    transport.detach();
    transport.reattach();
    expect(isMaster(pci)).toBe(true);
    transport.detach();
    device.queues[0]?.words.fill(0x1000);
    transport.reattach();
    expect(isMaster(pci)).toBe(false);
  });

  it("leaves it on where it was on: nothing was lost", () => {
    const { device, pci, open } = setUp();
    device.status = 15;
    pci.config.write16(PciHeader.COMMAND, BUS_MASTER);
    open();
    expect(isMaster(pci)).toBe(true);
  });

  it("puts back BARs, decoding, interrupts, and finds structures that have moved", () => {
    const { device, pci, open } = setUp();
    pci.withInterrupts(3);
    const transport = open();
    const assigned = pci.assigned;
    pci.config.write16(PciHeader.COMMAND, 0);
    pci.config.write16(pci.capability(PciCapId.MSIX) + 2, 2);
    transport.reattach();
    expect(pci.assigned).toBeGreaterThan(assigned);
    expect([command(pci) & MEMORY, msixEnabled(pci)]).toEqual([MEMORY, true]);

    const other = new FakePci(device, soundCapabilities().slice(1));
    pci.space.set(other.space);
    expect(() => transport.reattach()).toThrow(codes("ENODEV"));
  });

  it("refuses another function in its place", () => {
    const { pci, open } = setUp();
    const transport = open();
    pci.config.write16(PciHeader.DEVICE_ID, 0x1041);
    expect(() => transport.reattach()).toThrow(codes("ENODEV"));
    pci.config.write16(PciHeader.VENDOR_ID, 0x8086);
    expect(() => transport.reattach()).toThrow(codes("ENODEV"));
  });
});

describe("power of a PCI function", () => {
  it("moves between D3hot and D0, and tells No_Soft_Reset", () => {
    const { pci, open } = setUp();
    const transport = open();
    const control = pci.capability(PciCapId.POWER_MANAGEMENT) + 4;
    expect(transport.power?.noSoftReset).toBe(false);
    pci.config.write16(control, 0x8108);
    expect(transport.power?.noSoftReset).toBe(true);
    transport.power?.enterD3hot();
    expect(pci.space16(control)).toBe(0x010b);
    transport.power?.enterD0();
    expect(pci.space16(control)).toBe(0x0108);
  });

  it("is turned on before anything else, and its BARs are put back after that", () => {
    const { pci, open } = setUp();
    const control = pci.capability(PciCapId.POWER_MANAGEMENT) + 4;
    pci.config.write16(control, 3);
    open();
    expect(pci.space16(control)).toBe(0);
    expect(pci.assigned).toBe(2);
  });

  it("is absent where the function has no such capability, and ENODEV where the function is gone", () => {
    const without = setUp(soundCapabilities().filter(({ id }) => id !== PciCapId.POWER_MANAGEMENT));
    expect(without.open().power).toBeNull();
    const { device, open } = setUp();
    const { power } = open();
    device.gone = "reads ones";
    expect(() => power?.noSoftReset).toThrow(codes("ENODEV"));
    expect(() => power?.enterD0()).toThrow(codes("ENODEV"));
  });
});

describe("a PCI function that is not what it should be", () => {
  const place = { offset: 0, length: CommonConfig.BYTES };

  it("is refused when it is no virtio device, lacks a structure, or has it in a BAR that can't be mapped", () => {
    const { device, pci, open } = setUp();
    pci.config.write16(PciHeader.DEVICE_ID, 0x1080);
    expect(() => open()).toThrow(codes("ENODEV"));
    for (let missing = 0; missing < 4; missing += 1) {
      const capabilities = soundCapabilities().filter((_, index) => index !== missing);
      const opened = (): PciTransport => PciTransport.open(new FakePci(device, capabilities));
      // Only the device's own configuration (the third) may be missing.
      if (missing === 2) expect(opened().config.read32(0)).toBe(0);
      else expect(opened).toThrow(codes("ENODEV"));
    }
    const bare = setUp();
    bare.pci.unmapped = [4];
    expect(() => bare.open()).toThrow(codes("ENODEV"));
    expect(bare.open("pci-cfg").deviceId).toBe(16);
    const closed = setUp(soundCapabilities().filter((_, index) => index !== 4));
    expect(() => closed.open("pci-cfg")).toThrow(codes("ENOTSUP"));
  });

  it("is a transitional device's modern face, with its id from the subsystem", () => {
    const { pci, open } = setUp();
    pci.config.write16(PciHeader.DEVICE_ID, 0x1009);
    pci.config.write16(PciHeader.SUBSYSTEM_ID, 9);
    expect(open().deviceId).toBe(9);
  });

  it("has RING_RESET masked out when its common configuration is too short for it", () => {
    const [, ...rest] = soundCapabilities();
    const short = vendorCapability(VirtioCapType.COMMON, { offset: 0, length: CommonConfig.BYTES_BASE });
    const { device, open } = setUp([short, ...rest]);
    device.features = (1n << 40n) | (1n << 32n);
    expect(open().readDeviceFeatures()).toBe(1n << 32n);
  });

  it("may not notify outside its notification structure", () => {
    const { device, open } = setUp();
    device.queues = Array.from({ length: 20 }, () => new FakeQueue(8));
    const transport = open();
    expect(() => transport.enableQueue(15, ADDRESSES)).not.toThrow();
    expect(() => transport.enableQueue(16, ADDRESSES)).toThrow(codes("EPROTO"));
  });

  it("has shared memory by id: 64 bits of place, and views through the BAR", () => {
    const region = vendorCapability(
      VirtioCapType.SHARED_MEMORY,
      { offset: 0x40, length: 0, regionId: 1 },
      [0, 0, 0, 0, 2, 0, 0, 0],
    );
    const { open } = setUp([...soundCapabilities(), region]);
    const transport = open();
    expect(transport.sharedMemory(0)).toBeNull();
    const found = transport.sharedMemory(1);
    expect(found).toMatchObject({ id: 1, byteLength: 2 ** 33 });
    expect(found?.view(2, 3)).toEqual(new Uint8Array(3).fill(0x42));
    expect(() => found?.view(2 ** 33 - 1, 2)).toThrow("inside the shared memory");
  });

  it("uses the first structure of a type that it can reach", () => {
    const elsewhere = vendorCapability(VirtioCapType.COMMON, { ...place, bar: 0 });
    const { open } = setUp([elsewhere, ...soundCapabilities()]);
    expect(open().queueSizeMax(0)).toBe(64);
  });
});
