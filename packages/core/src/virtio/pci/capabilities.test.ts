import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GpuError } from "../../base/errors.ts";
import { CommonConfig, PciCapId, PciHeader, VirtioCapType } from "../../wire/pci.ts";
import { type FakeCapability, FakeDevice, FakePci, soundCapabilities, vendorCapability } from "../test-registers.ts";
import { type PciCapabilities, msixVectors, readPciCapabilities } from "./capabilities.ts";

const PLACE = { offset: 0, length: CommonConfig.BYTES };
const FOUR = [4, 0, 0, 0];

function read(capabilities: readonly FakeCapability[], spoil: (pci: FakePci) => unknown = () => {}): PciCapabilities {
  const pci = new FakePci(new FakeDevice(), capabilities);
  spoil(pci);
  return readPciCapabilities(pci.config, pci.label);
}

const codes = (code: string): unknown => expect.objectContaining({ code, device: "0000:00:02.0" });

describe("the capability list of a PCI function", () => {
  it("tells where everything lies", () => {
    const found = read(soundCapabilities());
    expect(found.common).toEqual([{ bar: 4, offset: 0, byteLength: 64 }]);
    expect(found.notify).toEqual([{ bar: 4, offset: 0x3000, byteLength: 64, multiplier: 4 }]);
    expect(found.isr).toEqual([{ bar: 4, offset: 0x1000, byteLength: 1 }]);
    expect(found.device).toEqual([{ bar: 4, offset: 0x2000, byteLength: 16 }]);
    expect(found.sharedMemory.size).toBe(0);
    for (const offset of [found.window, found.power, found.msix]) expect(offset).toBeGreaterThanOrEqual(64);
    const pci = new FakePci(new FakeDevice());
    expect(msixVectors(pci.config, found.msix ?? 0)).toBe(3);
  });

  it("may be absent", () => {
    const found = read(soundCapabilities(), (pci) => pci.config.write16(PciHeader.STATUS, 0));
    expect([found.common.length, found.power]).toEqual([0, null]);
  });

  it("keeps several of a type, in order, and ignores reserved types, reserved BARs, and the vendor's own", () => {
    const found = read([
      vendorCapability(VirtioCapType.COMMON, { ...PLACE, bar: 6 }),
      vendorCapability(VirtioCapType.COMMON, { ...PLACE, bar: 255 }),
      vendorCapability(77, PLACE),
      { id: PciCapId.VENDOR, bytes: [4, VirtioCapType.VENDOR] },
      { id: PciCapId.VENDOR, bytes: [0, 0] },
      vendorCapability(VirtioCapType.COMMON, { ...PLACE, bar: 2 }),
      vendorCapability(VirtioCapType.COMMON, { ...PLACE, bar: 4 }),
    ]);
    expect(found.common.map(({ bar }) => bar)).toEqual([2, 4]);
  });

  it("keeps shared memory by id, the first of each, none that is empty", () => {
    const region = (regionId: number, length: number, high: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0]) =>
      vendorCapability(VirtioCapType.SHARED_MEMORY, { offset: 0x10, length, regionId }, high);
    const found = read([region(1, 4096), region(1, 8192), region(2, 0), region(3, 16, [1, 0, 0, 0, 2, 0, 0, 0])]);
    expect([...found.sharedMemory]).toEqual([
      [1, { bar: 4, offset: 0x10, byteLength: 4096 }],
      [3, { bar: 4, offset: 0x1_0000_0010, byteLength: 0x2_0000_0010 }],
    ]);
    expect(() => read([region(1, 16, [0, 0, 0, 0, 0, 0, 0x20, 0])])).toThrow(codes("EPROTO"));
    expect(() => read([region(1, 16, [255, 255, 31, 0, 255, 255, 31, 0])])).toThrow(codes("EPROTO"));
  });

  const lies: readonly (readonly [string, readonly FakeCapability[], ((pci: FakePci) => unknown)?])[] = [
    ["a loop of one", soundCapabilities(), (pci) => (pci.space[0x41] = 0x40)],
    ["a loop of two", soundCapabilities(), (pci) => (pci.space[(pci.space[0x41] ?? 0) + 1] = 0x40)],
    ["a pointer into the header", soundCapabilities(), (pci) => (pci.space[0x41] = 0x10)],
    ["a first pointer into the header", soundCapabilities(), (pci) => (pci.space[PciHeader.CAPABILITIES] = 0x04)],
    [
      "a capability cut off by the end",
      [],
      (pci) => {
        pci.space[PciHeader.CAPABILITIES] = 0xf4;
        pci.space.set([PciCapId.VENDOR, 0, 16, VirtioCapType.COMMON], 0xf4);
      },
    ],
    ["one too short", [{ id: PciCapId.VENDOR, bytes: [12, VirtioCapType.COMMON, 4, 0, 0, 0] }]],
    ["a notification structure without multiplier", [vendorCapability(VirtioCapType.NOTIFY, PLACE)]],
    ["an odd multiplier", [vendorCapability(VirtioCapType.NOTIFY, PLACE, [1, 0, 0, 0])]],
    ["a multiplier of 6", [vendorCapability(VirtioCapType.NOTIFY, PLACE, [6, 0, 0, 0])]],
    ["an empty notification structure", [vendorCapability(VirtioCapType.NOTIFY, { offset: 0, length: 1 }, FOUR)]],
    ["a window without data", [vendorCapability(VirtioCapType.PCI_ACCESS, PLACE)]],
    ["shared memory of 32 bits", [vendorCapability(VirtioCapType.SHARED_MEMORY, PLACE)]],
    ["a short common configuration", [vendorCapability(VirtioCapType.COMMON, { offset: 0, length: 55 })]],
    ["a misaligned common configuration", [vendorCapability(VirtioCapType.COMMON, { offset: 2, length: 64 })]],
    ["an empty ISR", [vendorCapability(VirtioCapType.ISR, { offset: 0, length: 0 })]],
    ["a misaligned configuration", [vendorCapability(VirtioCapType.DEVICE, { offset: 6, length: 16 })]],
    ["an empty configuration", [vendorCapability(VirtioCapType.DEVICE, { offset: 0, length: 0 })]],
    ["a place beyond 4 GiB", [vendorCapability(VirtioCapType.COMMON, { offset: 2 ** 32 - 4, length: 64 })]],
  ];

  for (const [name, capabilities, spoil] of lies) {
    it(`is refused with ${name}`, () => {
      expect(() => read(capabilities, spoil)).toThrow(codes("EPROTO"));
    });
  }

  it("is ENODEV where nothing answers", () => {
    expect(() => read([], (pci) => (pci.device.gone = "reads ones"))).toThrow(codes("ENODEV"));
  });

  it("ends, whatever stands in configuration space, with places inside BARs or an error that has a code", () => {
    const bytes = fc.uint8Array({ minLength: 192, maxLength: 192 });
    const heads = fc.array(fc.tuple(fc.nat(47), fc.nat(255), fc.nat(40), fc.nat(9)), { maxLength: 20 });
    fc.assert(
      fc.property(bytes, heads, (space, vendors) => {
        const pci = new FakePci(new FakeDevice(), []);
        pci.space.set(space, 64);
        pci.space[PciHeader.CAPABILITIES] = 64;
        for (const [slot, next, length, type] of vendors) pci.space.set([9, next, length, type], 64 + 4 * slot);
        try {
          const { common, notify, isr, device } = readPciCapabilities(pci.config, pci.label);
          for (const region of [...common, ...notify, ...isr, ...device]) {
            expect(region.bar).toBeLessThan(6);
            expect(region.offset + region.byteLength).toBeLessThanOrEqual(2 ** 32);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(GpuError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
