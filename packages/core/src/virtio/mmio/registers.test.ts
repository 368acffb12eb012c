import { describe, expect, it } from "vitest";
import { GuestRam } from "../../memory/guest-ram.ts";
import { MMIO_MAGIC, MmioRegister } from "../../wire/mmio.ts";
import { ECHO_RAM_BYTES, EchoDriver } from "../machinery/echo-driver.ts";
import { EchoModel } from "../machinery/echo-model.ts";
import { VirtioDevice } from "../machinery/virtio-device.ts";
import { MmioRegisters } from "./registers.ts";
import { MmioTransport } from "./transport.ts";

const R = MmioRegister;

function block() {
  const ram = GuestRam.of(ECHO_RAM_BYTES);
  const model = new EchoModel({
    sharedMemory: [
      { id: 1, bytes: new Uint8Array(64) },
      { id: 3, bytes: new Uint8Array(64) },
    ],
  });
  const device = new VirtioDevice({ model, memory: ram, label: "virtio-mmio@0" });
  const line: boolean[] = [];
  const registers = new MmioRegisters({
    device,
    setInterruptLine: (asserted) => line.push(asserted),
    sharedMemoryAddresses: new Map([[1, 0x12_0000_1000]]),
  });
  const transport = MmioTransport.open({ label: device.label, registers, interrupts: registers.interrupts });
  return { ram, model, device, registers, line, transport, driver: new EchoDriver(transport, ram) };
}

describe("an MMIO register block", () => {
  it("says what it is", () => {
    const { registers } = block();
    expect([R.MAGIC, R.VERSION, R.DEVICE_ID, R.VENDOR_ID].map((offset) => registers.read32(offset))).toEqual([
      MMIO_MAGIC,
      2,
      16,
      0x1af4,
    ]);
    expect(registers.byteLength).toBe(512);
  });

  it("gives narrow reads their part, and ignores narrow writes, below the configuration space", () => {
    const { registers } = block();
    expect([0, 1, 2, 3].map((offset) => registers.read8(offset))).toEqual([0x76, 0x69, 0x72, 0x74]);
    expect([registers.read16(0), registers.read16(2), registers.read16(1), registers.read16(3)]).toEqual([
      0x6976, 0x7472, 0x7269, 0,
    ]);
    registers.write8(R.STATUS, 1);
    registers.write16(R.STATUS, 1);
    expect(registers.read32(R.STATUS)).toBe(0);
    registers.write32(R.STATUS, 1);
    expect(registers.read32(R.STATUS)).toBe(1);
  });

  it("gives its configuration in any width", () => {
    const { registers } = block();
    registers.write32(R.CONFIG, 0x0403_0201);
    registers.write16(R.CONFIG + 4, 0x0605);
    registers.write8(R.CONFIG + 6, 7);
    expect(registers.read32(R.CONFIG + 1)).toBe(0x0504_0302);
    expect(registers.read16(R.CONFIG + 5)).toBe(0x0706);
    expect(registers.read8(R.CONFIG + 6)).toBe(7);
    expect(registers.read32(R.CONFIG + 255)).toBe(0);
  });

  it("holds the line up until everything pending is acknowledged", () => {
    const { driver, registers, line, model, transport } = block();
    driver.start();
    transport.setInterruptHandler(null);
    driver.echo("HAL");
    model.host.configChanged();
    expect([registers.read32(R.INTERRUPT_STATUS), line]).toEqual([3, [true]]);
    registers.write32(R.INTERRUPT_ACK, 1);
    expect([registers.read32(R.INTERRUPT_STATUS), line]).toEqual([2, [true]]);
    // A handler that comes late finds the line up.
    transport.setInterruptHandler({ onQueue: () => {}, onConfig: () => line.push(true) });
    expect([registers.read32(R.INTERRUPT_STATUS), line]).toEqual([0, [true, false, true]]);
  });

  it("lets the line fall with a reset", () => {
    const { driver, registers, line, model, transport } = block();
    driver.start();
    transport.setInterruptHandler(null);
    model.host.configChanged();
    registers.write32(R.STATUS, 0);
    expect([registers.read32(R.INTERRUPT_STATUS), line]).toEqual([0, [true, false]]);
  });

  it("does not cut a queue size to 16 bits", () => {
    const { driver, registers, device } = block();
    driver.start({ driverOk: false });
    device.resetQueue(0);
    registers.write32(R.QUEUE_SEL, 0);
    registers.write32(R.QUEUE_SIZE, 0x1_0008);
    registers.write32(R.QUEUE_DESC_LOW, 0x1000);
    registers.write32(R.QUEUE_DRIVER_LOW, 0x1080);
    registers.write32(R.QUEUE_DEVICE_LOW, 0x10c0);
    registers.write32(R.QUEUE_READY, 1);
    expect(registers.read32(R.QUEUE_READY)).toBe(0);
    expect(device.stopReason).toBe("queue 0: 65535 entries, where 64 are the most");
  });

  it("stops a queue when QueueReady is written as 0", () => {
    const { driver, registers } = block();
    driver.start();
    registers.write32(R.QUEUE_SEL, 0);
    registers.write32(R.QUEUE_READY, 0);
    expect(registers.read32(R.QUEUE_READY)).toBe(0);
    expect(driver.echo("HAL")).toBeNull();
    expect(driver.echo("HAL", 1)).toBe("IBM");
  });

  it("has shared memory where it was given an address, and elsewhere a length of all ones", () => {
    const { registers } = block();
    const region = (id: number): readonly number[] => {
      registers.write32(R.SHM_SEL, id);
      return [R.SHM_LEN_LOW, R.SHM_LEN_HIGH, R.SHM_BASE_LOW, R.SHM_BASE_HIGH].map((at) => registers.read32(at));
    };
    expect(region(1)).toEqual([64, 0, 0x1000, 0x12]);
    expect(region(3)).toEqual([0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff]);
    expect(region(0)).toEqual(region(3));
  });

  it("is the same after a restore, the line included, and refuses what can't be", () => {
    const before = block();
    before.driver.start();
    before.transport.setInterruptHandler(null);
    before.model.host.configChanged();
    before.registers.write32(R.QUEUE_SEL, 1);
    const saved = before.registers.save();
    const after = block();
    after.device.restore(before.device.save());
    after.registers.restore(JSON.parse(JSON.stringify(saved)));
    expect([after.registers.save(), after.line]).toEqual([saved, [true]]);
    for (const change of [{ version: 2 }, { interruptStatus: 4 }, { queueSelect: -1 }, { sharedMemorySelect: null }]) {
      expect(() => after.registers.restore({ ...saved, ...change })).toThrow(/EINVAL/);
    }
    expect(() => after.registers.restore(null)).toThrow(/EINVAL/);
    expect(after.registers.save()).toEqual(saved);
  });
});
