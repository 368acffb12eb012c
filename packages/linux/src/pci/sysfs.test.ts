import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PciSysfs } from "./sysfs.ts";

let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "virtgpu-sysfs-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(join(root, path, ".."), { recursive: true });
  writeFileSync(join(root, path), text);
}

function putDevice(address: string, vendor: string, device: string): void {
  put(`sys/bus/pci/devices/${address}/vendor`, `${vendor}\n`);
  put(`sys/bus/pci/devices/${address}/device`, `${device}\n`);
}

const lines = (...bars: string[]): string =>
  [...bars, ...Array.from({ length: 6 - bars.length }, () => EMPTY)].join("\n");
const EMPTY = "0x0000000000000000 0x0000000000000000 0x0000000000000000";

describe("PCI functions in sysfs", () => {
  it("are GPUs by their ids, in order, whatever else lies there", () => {
    putDevice("0000:00:07.0", "0x1af4", "0x1050");
    putDevice("0000:00:04.0", "0x1af4", "0x1050");
    putDevice("0000:00:05.0", "0x1af4", "0x1042");
    putDevice("0000:00:06.0", "0x8086", "0x1050");
    putDevice("../evil", "0x1af4", "0x1050");
    putDevice("readme", "0x1af4", "0x1050");
    expect(new PciSysfs(root).gpus()).toEqual(["0000:00:04.0", "0000:00:07.0"]);
    expect(new PciSysfs(join(root, "nowhere")).gpus()).toEqual([]);
  });

  it.each(["", "0000:00:05.0", "../../0000:00:04.0", "0000:00:04.9", "4"])(
    "are refused by the address %j",
    (address) => {
      putDevice("0000:00:04.0", "0x1af4", "0x1050");
      expect(() => new PciSysfs(root).assertGpu(address)).toThrow(/there are 0000:00:04\.0 \(ENODEV\)/);
    },
  );

  it("tell of drivers, IOMMU groups and what they are reserved for", () => {
    const address = "0000:00:04.0";
    putDevice(address, "0x1af4", "0x1050");
    const sysfs = new PciSysfs(root);
    expect([sysfs.driver(address), sysfs.iommuGroup(address), sysfs.driverOverride(address)]).toEqual([
      null,
      null,
      null,
    ]);
    put(`sys/bus/pci/devices/${address}/driver_override`, "(null)\n");
    expect(sysfs.driverOverride(address)).toBeNull();
    put(`sys/bus/pci/devices/${address}/driver_override`, "vfio-pci\n");
    expect(sysfs.driverOverride(address)).toBe("vfio-pci");
    symlinkSync("../../../drivers/virtio-pci", join(root, `sys/bus/pci/devices/${address}/driver`));
    expect(sysfs.driver(address)).toBe("virtio-pci");
    symlinkSync("../../../../kernel/iommu_groups/7", join(root, `sys/bus/pci/devices/${address}/iommu_group`));
    put("sys/kernel/iommu_groups/7/type", "DMA-FQ\n");
    expect(sysfs.iommuGroup(address)).toEqual({ number: "7", type: "DMA-FQ" });
  });

  it("have BARs as the kernel assigned them", () => {
    const address = "0000:00:04.0";
    putDevice(address, "0x1af4", "0x1050");
    put(
      `sys/bus/pci/devices/${address}/resource`,
      lines(
        "0x000000000000c000 0x000000000000c03f 0x0000000000040101",
        "0x00000000febd1000 0x00000000febd1fff 0x0000000000040200",
        EMPTY,
        EMPTY,
        "0x000000ff00000000 0x000000ff00003fff 0x000000000014220c",
      ),
    );
    expect(new PciSysfs(root).bars(address)).toEqual([
      { index: 0, address: 0xc000n, byteLength: 64, kind: "ports" },
      { index: 1, address: 0xfebd1000n, byteLength: 4096, kind: "memory" },
      { index: 4, address: 0xff00000000n, byteLength: 16384, kind: "memory" },
    ]);
  });

  it.each([
    ["is missing", ""],
    ["is cut short", EMPTY],
    ["has words in it", lines("zero one two")],
    ["ends before it begins", lines("0x00000000febd1000 0x00000000febd0000 0x0000000000040200")],
    ["is larger than any BAR", lines("0x0000000000001000 0xffffffffffffffff 0x0000000000040200")],
  ])("are refused where a BAR %s", (_, text) => {
    putDevice("0000:00:04.0", "0x1af4", "0x1050");
    put("sys/bus/pci/devices/0000:00:04.0/resource", text);
    expect(() => new PciSysfs(root).bars("0000:00:04.0")).toThrow(expect.objectContaining({ code: "EPROTO" }));
  });

  it("say what the kernel says when a file can't be written", () => {
    putDevice("0000:00:04.0", "0x1af4", "0x1050");
    mkdirSync(join(root, "sys/bus/pci/devices/0000:00:04.0/enable"));
    expect(() => new PciSysfs(root).write("0000:00:04.0", "enable", "1")).toThrow(/failed with EISDIR/);
    expect(() => new PciSysfs(root).bind("0000:00:04.0", "../../evil")).toThrow(/no driver's name/);
    put("sys/bus/pci/drivers/vfio-pci/bind", "");
    new PciSysfs(root).bind("0000:00:04.0", "vfio-pci");
    expect(readFileSync(join(root, "sys/bus/pci/drivers/vfio-pci/bind"), "utf8")).toBe("0000:00:04.0");
  });
});
