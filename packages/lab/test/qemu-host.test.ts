/**
 * The QEMU host against a real QEMU: registers, RAM, the ways to sleep and to die. No driver yet: single registers tell
 * whether a device was reset and whether its BARs are there.
 */
import { GpuError } from "@virtgpu/core/base";
import { afterEach, describe, expect, it } from "vitest";
import { QemuHost, type QemuHostOptions } from "../src/hosts/qemu/qemu-host.ts";
import { RamFile } from "../src/hosts/qemu/ram-file.ts";

const hosts: QemuHost[] = [];

async function start(options: QemuHostOptions = {}): Promise<QemuHost> {
  const host = await QemuHost.start({ ramBytes: 32 << 20, ...options });
  hosts.push(host);
  return host;
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
});

/** Turns memory decoding on and gives the registers of the common configuration structure and of the device's status. */
function openCommon(host: QemuHost) {
  const pci = host.device.pci;
  if (pci === null) throw new Error("no PCI device");
  pci.assignBars();
  pci.config.write16(4, 6);
  const registers = pci.bar(4);
  if (registers === null) throw new Error("no BAR 4");
  return { pci, registers };
}

const STATUS = 20;
const QUEUES = 18;

function rejection(work: Promise<unknown>): Promise<GpuError> {
  return work.then(
    () => {
      throw new Error("it did not reject");
    },
    (error: unknown) => {
      if (error instanceof GpuError) return error;
      throw error;
    },
  );
}

describe("a QEMU host", () => {
  it("reaches the device's registers with every width", async () => {
    const host = await start();
    const { pci, registers } = openCommon(host);
    expect(pci.config.read32(0)).toBe(0x10501af4);
    expect(pci.config.read16(2)).toBe(0x1050);
    expect(pci.config.read8(11)).toBe(3);
    expect(registers.read16(QUEUES)).toBe(2);
    registers.write8(STATUS, 1);
    registers.write8(STATUS, 3);
    expect(registers.read8(STATUS)).toBe(3);
    registers.write32(0, 1);
    expect(registers.read32(4) & 1).toBe(1);
    registers.write8(STATUS, 0);
    expect(registers.read8(STATUS)).toBe(0);
  });

  it("shares its RAM with QEMU, both ways", async () => {
    const host = await start();
    host.ram.memory.write(0x123000, Uint8Array.of(0x78, 0x56, 0x34, 0x12));
    expect(host.channel.readMemory(0x123000, 4)).toBe(0x12345678);
    host.channel.writeMemory(0x123004, 2, 0xbeef);
    host.channel.drain();
    const bytes = new Uint8Array(2);
    host.ram.memory.read(0x123004, bytes);
    expect([...bytes]).toEqual([0xef, 0xbe]);
    expect([...host.ram.nonZeroPages()].map((page) => page.position)).toEqual([0x123000]);
  });

  it("ends every access with ENODEV once QEMU is dead, and serves the next QEMU on the same RAM", async () => {
    const host = await start();
    const { registers } = openCommon(host);
    registers.write8(STATUS, 1);
    host.ram.memory.write(0x200000, Uint8Array.of(42));
    expect(await host.kill()).toEqual({ code: 137, killed: true });
    expect(() => registers.read8(STATUS)).toThrow(expect.objectContaining({ code: "ENODEV" }));
    expect(() => registers.write8(STATUS, 1)).toThrow(expect.objectContaining({ code: "ENODEV" }));
    await host.restart();
    expect(registers.read8(STATUS)).not.toBe(1);
    openCommon(host);
    expect(registers.read8(STATUS)).toBe(0);
    expect(host.channel.readMemory(0x200000, 1)).toBe(42);
  });

  it("notices in the middle of a read that QEMU died", async () => {
    const host = await start();
    const { registers } = openCommon(host);
    // Nobody has read the exit event yet: the pipe's end alone tells.
    await host.qmp.execute("quit");
    const readForEver = (): never => {
      for (;;) registers.read8(STATUS);
    };
    expect(readForEver).toThrow(expect.objectContaining({ code: "ENODEV" }));
  });

  it("moves more lines than the pipes hold", async () => {
    const host = await start();
    const lines = Array.from(
      { length: 20_000 },
      (_, index) => `writel 0x${(0x100000 + 4 * index).toString(16)} ${index}`,
    );
    expect(host.channel.askAll(lines)).toHaveLength(20_000);
    expect(host.channel.readMemory(0x100000 + 4 * 19_999, 4)).toBe(19_999);
  });

  it("says what to install when QEMU is missing, and hands on QEMU's own words otherwise", async () => {
    const missing = await rejection(QemuHost.start({ binary: "qemu-system-nonesuch" }));
    expect(missing.code).toBe("ENODEV");
    expect(missing.message).toContain("apt-get install qemu-system-x86");
    const refused = await rejection(QemuHost.start({ devices: [{ outputs: 17 }] }));
    expect(refused.code).toBe("EINVAL");
    expect(refused.message).toContain("max_outputs");
    const unknown = await rejection(QemuHost.start({ devices: [{ properties: { nonesuch: "1" } }] }));
    expect(unknown.message).toContain("nonesuch");
  });

  it("hands on QEMU's refusal of a control command", async () => {
    const host = await start();
    const refused = await rejection(host.screendump(5));
    expect(refused.code).toBe("EIO");
    expect(refused.message).toContain("screendump");
  });
});

describe("sleep and reset of a QEMU host", () => {
  it("a system reset resets the device and its bus", async () => {
    const host = await start();
    const { pci, registers } = openCommon(host);
    registers.write8(STATUS, 1);
    await host.systemReset();
    expect(pci.config.read16(4)).toBe(0);
    openCommon(host);
    expect(registers.read8(STATUS)).toBe(0);
  });

  it.each(["q35", "pc"] as const)("%s: a real S3 keeps the device until it wakes, then resets it", async (machine) => {
    const host = await start({ machine });
    const { pci, registers } = openCommon(host);
    for (let cycle = 0; cycle < 2; cycle += 1) {
      registers.write8(STATUS, 1);
      await host.enterS3();
      expect(await host.qmp.execute("query-status")).toMatchObject({ status: "suspended" });
      expect(registers.read8(STATUS)).toBe(1);
      await host.wakeFromS3();
      expect(pci.config.read16(4)).toBe(0);
      openCommon(host);
      expect(registers.read8(STATUS)).toBe(0);
    }
  });

  it.each(["q35", "pc"] as const)("%s: a real S4 ends QEMU, and RAM is there for the next one", async (machine) => {
    const host = await start({ machine });
    host.ram.memory.write(0x300000, Uint8Array.of(7));
    const { qmp } = host;
    await host.s4();
    expect(qmp.events.map((event) => event.event).slice(0, 2)).toEqual(["SUSPEND_DISK", "SHUTDOWN"]);
    expect(host.isRunning).toBe(false);
    await host.restart();
    expect(host.channel.readMemory(0x300000, 1)).toBe(7);
  });

  it("behind a root port: function-level reset, secondary bus reset, D3hot", async () => {
    const host = await start({ devices: [{ rootPort: true }] });
    const { pci, registers } = openCommon(host);
    expect(pci.label).toBe("0000:01:00.0");
    registers.write8(STATUS, 1);
    pci.functionLevelReset();
    expect(pci.config.read16(4)).toBe(0);
    openCommon(host);
    expect(registers.read8(STATUS)).toBe(0);
    registers.write8(STATUS, 1);
    pci.secondaryBusReset();
    openCommon(host);
    expect(registers.read8(STATUS)).toBe(0);
    const power = pci.capability(1);
    expect(power).not.toBe(0);
    registers.write8(STATUS, 1);
    pci.config.write16(power + 4, 3);
    pci.config.write16(power + 4, 0);
    expect(registers.read8(STATUS)).toBe(1);
    await host.s3();
    openCommon(host);
    expect(registers.read8(STATUS)).toBe(0);
  });

  it("without a root port there is no such reset, and it says so", async () => {
    const host = await start();
    expect(() => host.device.pci?.secondaryBusReset()).toThrow(expect.objectContaining({ code: "ENOTSUP" }));
    expect(() => host.device.pci?.functionLevelReset()).toThrow(expect.objectContaining({ code: "ENOTSUP" }));
  });
});

describe("other machines and devices", () => {
  it("microvm: the device is a virtio-mmio register block", async () => {
    const host = await start({ machine: "microvm" });
    expect(host.device.pci).toBeNull();
    const registers = host.device.mmio?.registers;
    expect(registers?.read32(4)).toBe(2);
    expect(registers?.read32(8)).toBe(16);
    expect((await rejection(host.s3())).code).toBe("ENOTSUP");
  });

  it("virtio-vga, and two devices with several outputs", async () => {
    const vga = await start({ devices: [{ model: "virtio-vga" }] });
    expect(vga.device.pci?.config.read16(10)).toBe(0x0300);
    expect(vga.device.pci?.bar(2)).not.toBeNull();
    const two = await start({ devices: [{ outputs: 2 }, { outputs: 3 }] });
    expect(two.devices.map((device) => [device.id, device.outputs])).toEqual([
      ["gpu0", 2],
      ["gpu1", 3],
    ]);
    expect((await two.screendump(2, "gpu1")).width).toBeGreaterThan(0);
  });

  it("RAM that is the caller's outlives the host", async () => {
    const ram = RamFile.create(32 << 20);
    const host = await start({ ram });
    await host.stop();
    ram.writeAt(0, Uint8Array.of(1));
    ram.close();
    expect(() => ram.fd).toThrow(expect.objectContaining({ code: "ENODEV" }));
    expect((await rejection(QemuHost.start({ ramBytes: 12345 }))).code).toBe("EINVAL");
  });
});
