import { describe, expect, it } from "vitest";
import { CommonConfig, PciCommand, PciHeader, VirtioCap } from "../../wire/pci.ts";
import type { BusAccess } from "../bus-access.ts";
import { VirtioDevice } from "../machinery/virtio-device.ts";
import { PciFunction } from "./function.ts";
import { type RunningFunction, capabilitiesOf, functionOf, registersOf, running } from "./function-bench.ts";

const { IO, MEMORY, BUS_MASTER, INTX_DISABLE } = PciCommand;
const ALL_ONES = 0xffff_ffff;
const SHARED_BYTES = 6 * 4096;

/** Offset of the first capability with this id, or 0. */
function findCapability(config: BusAccess, id: number): number {
  let at = config.read8(PciHeader.CAPABILITIES);
  while (at !== 0 && config.read8(at) !== id) at = config.read8(at + 1);
  return at;
}

describe("configuration space", () => {
  it("names a virtio GPU", () => {
    const { config } = functionOf();
    expect(config.read32(0)).toBe(0x1050_1af4);
    expect(config.read32(8)).toBe(0x0380_0001);
    expect(config.read32(0x2c)).toBe(0x1100_1af4);
    expect(config.read16(PciHeader.STATUS)).toBe(0x10);
    expect(config.read8(PciHeader.INTERRUPT_PIN)).toBe(1);
  });

  it("takes writes only where there is something to write", () => {
    const { config } = functionOf({ shared: SHARED_BYTES });
    const before = Array.from({ length: 256 }, (_, at) => config.read8(at));
    const fixed = [...Array(4).keys(), 6, 7, 8, 9, 10, 11, 14, 0x2c, 0x2e, 0x34, 0x3d];
    for (const at of fixed) config.write8(at, 0x5a);
    expect(Array.from({ length: 256 }, (_, at) => config.read8(at))).toEqual(before);
    config.write8(PciHeader.INTERRUPT_LINE, 11);
    expect(config.read8(PciHeader.INTERRUPT_LINE)).toBe(11);
    config.write16(PciHeader.COMMAND, 0xffff);
    expect(config.read16(PciHeader.COMMAND)).toBe(MEMORY | BUS_MASTER | INTX_DISABLE);
  });

  it("reads all ones behind its end and writes nothing there", () => {
    for (const [express, end] of [
      [true, 4096],
      [false, 256],
    ] as const) {
      const { config } = functionOf({ express });
      for (const offset of [end, end - 1, -1, -4, 2 ** 40, 0.5, Number.NaN]) {
        config.write32(offset, 0);
        expect(config.read32(offset)).toBe(ALL_ONES);
        expect(config.read16(offset)).toBe(0xffff);
      }
      expect(config.read8(end - 1)).toBe(express ? 0 : config.read8(255));
    }
    expect(functionOf().config.read32(0x100)).toBe(0);
  });

  it("tells the size of its BARs by the bits that take no writes", () => {
    const { config, pci } = functionOf({ shared: SHARED_BYTES });
    const sized = Array.from({ length: 6 }, (_, index) => {
      config.write32(PciHeader.BAR_0 + 4 * index, ALL_ONES);
      return config.read32(PciHeader.BAR_0 + 4 * index);
    });
    // MSI-X 4 KiB; registers 16 KiB, 64 bits, prefetchable; shared memory 32 KiB, likewise.
    expect(sized).toEqual([0, 0xffff_f000, 0xffff_c00c, ALL_ONES, 0xffff_800c, ALL_ONES]);
    expect([0, 1, 2, 3, 4, 5].map((index) => pci.barBytes(index))).toEqual([0, 4096, 16384, 0, 32768, 0]);
  });

  it("with I/O ports has one BAR of 256 ports, and all structures in it", () => {
    const { config, pci } = functionOf({ bars: "io", shared: SHARED_BYTES });
    config.write32(PciHeader.BAR_0, ALL_ONES);
    expect(config.read32(PciHeader.BAR_0)).toBe(0xffff_ff01);
    config.write16(PciHeader.COMMAND, 0xffff);
    expect(config.read16(PciHeader.COMMAND)).toBe(IO | BUS_MASTER | INTX_DISABLE);
    const found = capabilitiesOf(pci);
    for (const region of [...found.common, ...found.notify, ...found.isr, ...found.device]) {
      expect(region.bar).toBe(0);
      expect(region.offset + region.byteLength).toBeLessThanOrEqual(256);
    }
    expect([found.msix, found.sharedMemory.size]).toEqual([null, 0]);
  });
});

describe("decoding", () => {
  it("needs the command bit, and an address in the BAR", () => {
    const { pci, config } = functionOf();
    const registers = registersOf(pci);
    expect(registers.read16(CommonConfig.NUM_QUEUES)).toBe(0xffff);
    config.write16(PciHeader.COMMAND, MEMORY);
    expect([registers.read8(0), pci.barAddress(4)]).toEqual([0xff, null]);
    pci.assignBars();
    expect([registers.read16(CommonConfig.NUM_QUEUES), pci.barAddress(4)]).toEqual([2, 0x8_0000_0000]);
    config.write16(PciHeader.COMMAND, 0);
    registers.write8(CommonConfig.DEVICE_STATUS, 1);
    expect([registers.read32(0), pci.barAddress(4)]).toEqual([ALL_ONES, null]);
    expect(pci.block(4)?.read8(CommonConfig.DEVICE_STATUS)).toBe(0);
  });

  it("gives views of shared memory while decoded, inside the region", () => {
    const { pci, bytes } = running({ shared: SHARED_BYTES });
    pci.barView(4, 8, 4)?.fill(7);
    pci.bar(4)?.write32(16, 0x0403_0201);
    expect([bytes[8], ...bytes.subarray(15, 20)]).toEqual([7, 0, 1, 2, 3, 4]);
    expect(pci.bar(4)?.read16(17)).toBe(0x0302);
    expect([pci.barView(4, SHARED_BYTES - 2, 4), pci.barView(4, -1, 1), pci.barView(2, 0, 4)]).toEqual([
      null,
      null,
      null,
    ]);
    expect(pci.bar(4)?.read32(SHARED_BYTES)).toBe(0);
    pci.config.write16(PciHeader.COMMAND, 0);
    expect(pci.barView(4, 0, 4)).toBeNull();
  });
});

describe("queue registers", () => {
  it("enable with 1 alone, and reset with 1 alone, where RING_RESET was accepted", () => {
    const { driver, pci } = running();
    const registers = registersOf(pci);
    const { QUEUE_SELECT, QUEUE_ENABLE, QUEUE_RESET, QUEUE_MSIX_VECTOR, QUEUE_SIZE } = CommonConfig;
    registers.write16(QUEUE_SELECT, 1);
    for (const value of [0, 2, 0xffff]) registers.write16(QUEUE_RESET, value);
    expect([registers.read16(QUEUE_ENABLE), registers.read16(QUEUE_MSIX_VECTOR)]).toEqual([1, 2]);
    registers.write16(QUEUE_RESET, 1);
    for (const value of [0, 2, 0xffff]) registers.write16(QUEUE_ENABLE, value);
    expect([QUEUE_ENABLE, QUEUE_RESET, QUEUE_MSIX_VECTOR, QUEUE_SIZE].map((at) => registers.read16(at))).toEqual([
      0, 0, 0xffff, 16,
    ]);
    driver.start({ wanted: 0n });
    registers.write16(QUEUE_SELECT, 1);
    registers.write16(QUEUE_RESET, 1);
    expect(registers.read16(QUEUE_ENABLE)).toBe(1);
  });

  it("are written in their own width, and read in any", () => {
    const { pci, device } = running();
    const registers = registersOf(pci);
    registers.write16(CommonConfig.DEVICE_STATUS, 0);
    registers.write32(CommonConfig.DEVICE_STATUS, 0);
    registers.write8(CommonConfig.QUEUE_SELECT, 0);
    expect([device.status, registers.read16(CommonConfig.QUEUE_SELECT)]).toEqual([15, 1]);
    device.configChanged();
    expect(registers.read32(CommonConfig.DEVICE_STATUS)).toBe(0x0001_010f);
    expect(registers.read8(CommonConfig.QUEUE_SIZE)).toBe(16);
  });
});

describe("the window in configuration space", () => {
  function window(config: BusAccess, at: number, bar: number, offset: number, width: number): number {
    config.write8(at + VirtioCap.BAR, bar);
    config.write32(at + VirtioCap.OFFSET, offset);
    config.write32(at + VirtioCap.LENGTH, width);
    return at + VirtioCap.PCI_DATA;
  }

  it("reaches the registers without decoding, in the width it was given", () => {
    const { config, pci, device } = functionOf();
    const at = capabilitiesOf(pci).window ?? 0;
    expect(config.read16(window(config, at, 4, CommonConfig.NUM_QUEUES, 2))).toBe(2);
    config.write8(window(config, at, 4, CommonConfig.DEVICE_STATUS, 1), 1);
    expect(device.status).toBe(1);
    config.write32(window(config, at, 4, 0x2000, 4), 0x0403_0201);
    expect(device.readConfig(0, 4)).toBe(0x0403_0201);
  });

  it("does nothing for a BAR, a width or an offset that can't be, or a write of another width", () => {
    const { config, pci, device } = functionOf();
    const at = capabilitiesOf(pci).window ?? 0;
    const { DEVICE_STATUS } = CommonConfig;
    for (const [bar, offset, width] of [
      [3, DEVICE_STATUS, 1],
      [255, DEVICE_STATUS, 1],
      [4, DEVICE_STATUS, 3],
      [4, DEVICE_STATUS, 0],
      [4, DEVICE_STATUS + 1, 4],
      [4, DEVICE_STATUS, ALL_ONES],
    ] as const) {
      config.write8(window(config, at, bar, offset, width), 1);
      config.read32(at + VirtioCap.PCI_DATA);
    }
    config.write32(window(config, at, 4, DEVICE_STATUS, 1), 1);
    config.write8(window(config, at, 4, DEVICE_STATUS, 1) + 1, 1);
    expect(device.status).toBe(0);
  });

  it("sleeps in D3hot", () => {
    const { config, pci, device } = functionOf();
    const at = capabilitiesOf(pci).window ?? 0;
    config.write16((capabilitiesOf(pci).power ?? 0) + 4, 3);
    config.write8(window(config, at, 4, CommonConfig.DEVICE_STATUS, 1), 1);
    expect(device.status).toBe(0);
  });
});

describe("bus mastering", () => {
  it("is needed to touch memory: a kick waits for it", () => {
    const { driver, transport, model } = running();
    transport.detach();
    expect(driver.echo("HAL")).toBeNull();
    expect(model.echoed).toBe(0);
    transport.reattach();
    expect(driver.take()).toBe("IBM");
  });

  it("is not needed on a bus that does not pass it on", () => {
    const { driver, transport } = running({ enforceBusMaster: false });
    transport.detach();
    expect(driver.echo("HAL")).toBe("IBM");
  });
});

describe("power states", () => {
  it("D3hot decodes nothing, does nothing, tells nothing, and with No_Soft_Reset loses nothing", () => {
    const { driver, transport, pci, model, device } = running();
    expect(transport.power?.noSoftReset).toBe(true);
    transport.power?.enterD3hot();
    expect([registersOf(pci).read8(0), transport.readStatus()]).toEqual([0xff, 0xff]);
    driver.add("HAL");
    driver.kick();
    model.host.configChanged();
    expect([model.echoed, driver.configInterrupts, device.status]).toEqual([0, 0, 15]);
    transport.power?.enterD0();
    expect([driver.configInterrupts, transport.readStatus()]).toEqual([1, 15]);
    transport.notify(0);
    expect(driver.take()).toBe("IBM");
  });

  it("D3hot holds the line down, and what was pending comes with D0", () => {
    const { transport, model, line } = running({ msix: false });
    transport.setInterruptHandler(null);
    transport.power?.enterD3hot();
    model.host.configChanged();
    expect(line).toEqual([]);
    transport.power?.enterD0();
    expect(line).toEqual([true]);
    transport.power?.enterD3hot();
    expect(line).toEqual([true, false]);
  });

  it("D3hot to D0 without No_Soft_Reset is a reset of the function", () => {
    const { driver, transport, config, device, model } = running({ noSoftReset: false });
    expect(transport.power?.noSoftReset).toBe(false);
    transport.power?.enterD3hot();
    expect(device.status).toBe(15);
    transport.power?.enterD0();
    expect([device.status, model.resets]).toEqual([0, 2]);
    expect([config.read16(PciHeader.COMMAND), config.read32(0x20), config.read32(0x24)]).toEqual([0, 0xc, 0]);
    driver.start();
    expect(driver.echo("HAL")).toBe("IBM");
    expect(driver.interrupts.get(0)).toBe(1);
  });

  it("D1 and D2 do not exist: such writes are discarded", () => {
    const { pci, config, transport } = running();
    const control = (capabilitiesOf(pci).power ?? 0) + 4;
    for (const state of [1, 2]) config.write16(control, state);
    expect([config.read16(control), transport.readStatus()]).toEqual([8, 15]);
    config.write16(control, 3);
    for (const state of [1, 2]) config.write8(control, state);
    expect(config.read16(control)).toBe(11);
  });

  it("are not there where they were left out", () => {
    const { transport } = running({ powerManagement: false });
    expect(transport.power).toBeNull();
  });
});

describe("a reset of the function", () => {
  const resets: ReadonlyMap<string, (parts: RunningFunction) => void> = new Map<
    string,
    (parts: RunningFunction) => void
  >([
    ["by the PCI Express capability", ({ config }) => config.write16(findCapability(config, 0x10) + 8, 0x8000)],
    ["by its upper byte", ({ config }) => config.write8(findCapability(config, 0x10) + 9, 0x80)],
    ["by the bus", ({ pci }) => pci.busReset()],
  ]);
  for (const [how, reset] of resets) {
    it(`forgets BARs, command, MSI-X and the device: ${how}`, () => {
      const parts = running();
      const { config, device, driver, pci, transport } = parts;
      config.write8(PciHeader.INTERRUPT_LINE, 11);
      reset(parts);
      expect(device.status).toBe(0);
      expect([config.read16(PciHeader.COMMAND), config.read32(0x20), config.read8(PciHeader.INTERRUPT_LINE)]).toEqual([
        0, 0xc, 0,
      ]);
      expect(config.read16((capabilitiesOf(pci).msix ?? 0) + 2)).toBe(2);
      expect(config.read16(findCapability(config, 0x10) + 8)).toBe(0);
      expect(transport.readStatus()).toBe(0);
      driver.start();
      expect(driver.echo("HAL")).toBe("IBM");
      expect(driver.interrupts.get(0)).toBe(1);
    });
  }

  it("is there for a conventional function too", () => {
    const { config, device } = running({ express: false });
    const at = findCapability(config, 0x13);
    expect([at > 0, findCapability(config, 0x10)]).toEqual([true, 0]);
    config.write8(at + 4, 1);
    expect([device.status, config.read8(at + 4), config.read16(PciHeader.COMMAND)]).toEqual([0, 0, 0]);
  });

  it("from inside processing ends it", () => {
    const { driver, pci, model, device } = running();
    model.onChain = () => pci.reset();
    expect(driver.echo("HAL")).toBeNull();
    expect(device.status).toBe(0);
  });
});

describe("an unplugged function", () => {
  it("reads all ones, and its device touches nothing", () => {
    const { driver, pci, config, transport, model } = running();
    const registers = registersOf(pci);
    pci.unplug();
    config.write16(PciHeader.COMMAND, 7);
    pci.assignBars();
    expect([config.read32(0), config.read8(0x40), registers.read32(0)]).toEqual([ALL_ONES, 0xff, ALL_ONES]);
    driver.add("HAL");
    driver.kick();
    expect(model.echoed).toBe(0);
    expect(() => transport.reattach()).toThrow(/ENODEV/);
  });
});

describe("a saved function", () => {
  it("is the same after a restore beside its device, and goes on", () => {
    for (const options of [{}, { msix: false }, { bars: "io" }, { express: false, noSoftReset: false }] as const) {
      const before = running(options);
      before.transport.setInterruptHandler(null);
      before.model.host.configChanged();
      before.config.write8(PciHeader.INTERRUPT_LINE, 9);
      before.driver.echo("HAL");
      const saved = before.pci.save();
      const after = functionOf(options);
      const device = new VirtioDevice({ model: after.model, memory: before.ram, label: "0000:00:02.0" });
      const pci = new PciFunction({ device, ...options });
      device.restore(before.device.save());
      pci.restore(JSON.parse(JSON.stringify(saved)));
      expect(pci.save()).toEqual(saved);
      // The same driver, now with the new function below it.
      const bar = capabilitiesOf(pci).notify[0];
      before.driver.add("HAL");
      pci.bar(bar?.bar ?? -1)?.write16(bar?.offset ?? 0, 0);
      expect(before.driver.take()).toBe("IBM");
    }
  });

  it("in D3hot is in D3hot after the restore", () => {
    const before = running();
    before.transport.power?.enterD3hot();
    const after = functionOf();
    after.device.restore(before.device.save());
    after.pci.restore(before.pci.save());
    expect([after.pci.barAddress(4), after.pci.save()]).toEqual([null, before.pci.save()]);
  });

  it("that can't be is refused, and nothing changes", () => {
    const { pci } = running();
    const saved = pci.save();
    const bytes = saved.config.with((capabilitiesOf(pci).power ?? 0) + 4, 1);
    const hostile: readonly unknown[] = [
      null,
      { ...saved, version: 0 },
      { ...saved, config: saved.config.slice(1) },
      { ...saved, config: bytes },
      { ...saved, registers: { ...saved.registers, queueSelect: 0x1_0000 } },
      { ...saved, interrupts: { ...saved.interrupts, isr: 4 } },
      { ...saved, interrupts: { ...saved.interrupts, pending: 8 } },
      { ...saved, interrupts: { ...saved.interrupts, table: [] } },
      { ...saved, interrupts: { ...saved.interrupts, queueVectors: [0] } },
    ];
    for (const state of hostile) expect(() => pci.restore(state)).toThrow(/EINVAL/);
    expect(pci.save()).toEqual(saved);
  });

  it("takes nothing from a state that configuration space would not take from a write", () => {
    const { pci } = functionOf();
    const fresh = functionOf().pci.save();
    pci.restore({ ...fresh, config: fresh.config.map((byte, at) => (at < 4 || (at >= 8 && at < 12) ? 0xee : byte)) });
    expect(pci.save()).toEqual(fresh);
  });
});
