import { describe, expect, it } from "vitest";
import { GpuError } from "../../base/errors.ts";
import { MMIO_MAGIC, MmioRegister } from "../../wire/mmio.ts";
import { FakeDevice, fakeMmio } from "../test-registers.ts";
import { MmioTransport } from "./transport.ts";

const ADDRESSES = { size: 16, descriptors: 0x12_3456_7000, driver: 0x1_0000_0010, device: 0x20 };

function setUp(options: { interrupts?: boolean; identity?: number[] } = {}) {
  const device = new FakeDevice();
  let raise: (() => void) | null = null;
  const transport = MmioTransport.open({
    label: "virtio-mmio@feb02e00",
    registers: fakeMmio(device, options.identity),
    interrupts: options.interrupts === true ? { setHandler: (handler) => (raise = handler) } : null,
    sharedMemoryView: (address, byteLength) => new Uint8Array(byteLength).fill(address & 0xff),
  });
  return { device, transport, raise: () => raise?.() };
}

const codes = (code: string): unknown => expect.objectContaining({ code });

describe("virtio over MMIO", () => {
  it("refuses what is no device, an empty slot, and the legacy interface, each with its own code", () => {
    const open = (...identity: number[]) => setUp({ identity });
    expect(open(MMIO_MAGIC, 2, 16).transport.deviceId).toBe(16);
    expect(() => open(0xffff_ffff, 0xffff_ffff, 0xffff_ffff)).toThrow(codes("ENODEV"));
    expect(() => open(0, 0, 0)).toThrow(codes("ENODEV"));
    expect(() => open(MMIO_MAGIC, 2, 0)).toThrow(codes("ENODEV"));
    expect(() => open(MMIO_MAGIC, 1, 16)).toThrow(codes("ENOTSUP"));
  });

  it("writes 64-bit addresses as two halves, and enables the queue it selected", () => {
    const { device, transport } = setUp();
    transport.enableQueue(1, ADDRESSES);
    expect(device.queues[1]).toMatchObject({
      size: 16,
      enabled: 1,
      words: [0x3456_7000, 0x12, 0x10, 1, 0x20, 0],
    });
    expect(device.queues[0]?.enabled).toBe(0);
    expect(transport.readQueue(1)).toEqual({ enabled: true, addresses: null });
    expect(transport.readQueue(0).enabled).toBe(false);
    expect(transport.queueSizeMax(0)).toBe(64);
    expect(transport.queueSizeMax(7)).toBe(0);
  });

  it("notifies with the queue's number, or with what NOTIFICATION_DATA wants", () => {
    const { device, transport } = setUp();
    transport.notify(1);
    transport.notify(1, 0x8003_0001);
    expect(device.kicks.map(([, , value]) => value)).toEqual([1, 0x8003_0001]);
  });

  it("reads and writes features and configuration", () => {
    const { device, transport } = setUp();
    device.features = 0xfedc_ba98_7654_3210n;
    expect(transport.readDeviceFeatures()).toBe(0xfedc_ba98_7654_3210n);
    transport.writeDriverFeatures(0x8000_0001_4000_0002n);
    expect(device.driverFeatures).toBe(0x8000_0001_4000_0002n);
    expect(transport.config.read8(5)).toBe(5);
    expect(transport.config.read32(4)).toBe(0x0706_0504);
    transport.config.write32(8, 0xaabb_ccdd);
    expect(device.config[8]).toBe(0xdd);
    device.generation = 9;
    expect(transport.config.generation()).toBe(9);
  });

  it("tells a queue enabled too early, one that can't be enabled, and one too large from a device that is gone", () => {
    const { device, transport } = setUp();
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
  });

  it("acknowledges what it tells of, and nothing of a device that is gone", () => {
    const { device, transport, raise } = setUp({ interrupts: true });
    expect(transport.completion).toBe("interrupts");
    const heard: string[] = [];
    const handler = {
      onQueue: (queue: number | undefined) => heard.push(`queue ${queue}`),
      onConfig: () => heard.push("config"),
    };
    transport.setInterruptHandler(handler);
    for (const isr of [1, 2, 3, 0]) {
      device.isr = isr;
      raise();
      expect(device.isr).toBe(0);
    }
    expect(heard.splice(0)).toEqual(["queue undefined", "config", "queue undefined", "config"]);
    device.isr = 3;
    for (const gone of ["reads ones", "throws"] as const) {
      device.gone = gone;
      raise();
    }
    device.gone = false;
    transport.setInterruptHandler(null);
    raise();
    expect(heard).toEqual([]);
    expect(transport.pollConfig()).toBe(false);
  });

  it("polls the configuration interrupt, once, where there are no interrupts", () => {
    const { device, transport } = setUp();
    expect(transport.completion).toBe("polled");
    transport.setInterruptHandler({ onQueue: () => {}, onConfig: () => {} });
    device.isr = 3;
    expect(transport.pollConfig()).toBe(true);
    expect(device.isr).toBe(0);
    expect(transport.pollConfig()).toBe(false);
    device.gone = "reads ones";
    expect(transport.pollConfig()).toBe(false);
  });

  it("finds shared memory by id, and refuses a region that can't be", () => {
    const { device, transport } = setUp();
    expect(transport.sharedMemory(1)).toBeNull();
    device.sharedMemory.set(1, [0x2_0000_0010, 0x1_0000_0000]);
    const region = transport.sharedMemory(1);
    expect(region).toMatchObject({ id: 1, byteLength: 0x1_0000_0000 });
    expect(region?.view(1, 4)).toEqual(new Uint8Array(4).fill(0x11));
    expect(() => region?.view(0xffff_ffff, 2)).toThrow("inside the shared memory");
    device.sharedMemory.set(1, [0, 0]);
    expect(transport.sharedMemory(1)).toBeNull();
    device.sharedMemory.set(1, [2 ** 53 - 8, 16]);
    expect(() => transport.sharedMemory(1)).toThrow(codes("EPROTO"));
    device.sharedMemory.set(1, [0, 2 ** 60]);
    expect(() => transport.sharedMemory(1)).toThrow(codes("EPROTO"));
  });

  it("asks for the reset of the queue it selected", () => {
    const { device, transport } = setUp();
    transport.enableQueue(1, ADDRESSES);
    device.queueResetReads = 2;
    transport.resetQueue(1);
    transport.readQueue(0);
    expect([0, 1, 2].map(() => transport.queueResetDone(1))).toEqual([false, false, true]);
    expect(device.queues[1]?.enabled).toBe(0);
  });

  it("notices another kind of device where its own was", () => {
    const device = new FakeDevice();
    const identity = [MMIO_MAGIC, 2, 16];
    const transport = MmioTransport.open({ label: "m", registers: fakeMmio(device, identity) });
    transport.reattach();
    identity[2] = 2;
    const failed = (): GpuError | null => {
      try {
        transport.reattach();
        return null;
      } catch (error) {
        return error instanceof GpuError ? error : null;
      }
    };
    expect(failed()).toMatchObject({ code: "ENODEV", device: "m" });
    expect(MmioRegister.CONFIG).toBe(0x100);
  });
});
