import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../base/assert.ts";
import { GpuError } from "../base/errors.ts";
import { VirtualClock } from "../sim/virtual-clock.ts";
import { DeviceStatus, VirtioFeature, featureBit } from "../wire/virtio.ts";
import { negotiateFeatures, resetDevice, resetQueue, resumeDevice, suspendDevice } from "./bring-up.ts";
import { MmioTransport } from "./mmio/transport.ts";
import { PciTransport } from "./pci/transport.ts";
import { FakeDevice, FakePci, fakeMmio } from "./test-registers.ts";
import type { Transport } from "./transport.ts";

const LABEL = "fake";
const ADDRESSES = { size: 16, descriptors: 0x1000, driver: 0x2000, device: 0x3000 };
const RUNNING = 15;

interface SetUp {
  readonly device: FakeDevice;
  readonly transport: Transport;
  readonly clock: VirtualClock;
}

const faces: readonly (readonly [string, (device: FakeDevice) => Transport])[] = [
  ["PCI", (device) => PciTransport.open(new FakePci(device))],
  ["MMIO", (device) => MmioTransport.open({ label: LABEL, registers: fakeMmio(device) })],
];

async function failure(work: Promise<unknown>): Promise<GpuError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof GpuError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

const thrown = (work: () => unknown): Promise<GpuError> => failure(Promise.resolve().then(work));

describe.each(faces)("bring-up over %s", (_face, open) => {
  const setUp = (): SetUp => {
    const device = new FakeDevice();
    return { device, transport: open(device), clock: new VirtualClock() };
  };

  describe("a reset", () => {
    it("is done when the status reads 0, from any state, without waiting where there is nothing to wait for", async () => {
      for (const status of [0, 1, RUNNING, RUNNING | DeviceStatus.NEEDS_RESET, DeviceStatus.FAILED | 3]) {
        const { device, transport, clock } = setUp();
        device.status = status;
        await resetDevice(transport, clock, 100);
        expect([device.status, clock.nowMs()]).toEqual([0, 0]);
      }
    });

    it("waits for a slow device, and never longer than its deadline", async () => {
      const { device, transport, clock } = setUp();
      device.status = RUNNING;
      device.resetReads = 50;
      await clock.run(resetDevice(transport, clock, 100));
      expect(clock.nowMs()).toBe(50);

      device.status = RUNNING;
      device.resetReads = Infinity;
      const started = clock.nowMs();
      const error = await failure(clock.run(resetDevice(transport, clock, 100)));
      expect(error.code).toBe("ETIMEDOUT");
      expect(error.device).toBe(transport.label);
      expect(clock.nowMs() - started).toBe(100);
      expect(clock.timers).toBe(0);
    });

    it("looks one last time at the deadline", async () => {
      const { device, transport, clock } = setUp();
      device.status = RUNNING;
      device.resetReads = 10;
      await clock.run(resetDevice(transport, clock, 10));
      device.status = RUNNING;
      device.resetReads = 11;
      expect((await failure(clock.run(resetDevice(transport, clock, 10)))).code).toBe("ETIMEDOUT");
    });

    it("ends with ENODEV when the device vanishes, before it or meanwhile", async () => {
      for (const gone of ["reads ones", "throws"] as const) {
        const { device, transport, clock } = setUp();
        device.gone = gone;
        expect((await failure(resetDevice(transport, clock, 100))).code).toBe("ENODEV");
        device.gone = false;
        device.status = RUNNING;
        device.resetReads = Infinity;
        const reset = failure(resetDevice(transport, clock, 100));
        await clock.advance(10);
        device.gone = gone;
        await clock.advance(10);
        expect((await reset).code).toBe("ENODEV");
      }
    });
  });

  describe("feature negotiation", () => {
    const bits = (...features: readonly number[]): bigint => features.reduce((all, bit) => all | featureBit(bit), 0n);
    const { VERSION_1, ACCESS_PLATFORM, RING_RESET, EVENT_IDX, ORDER_PLATFORM } = VirtioFeature;

    it("takes the steps of VIRTIO 1.2 section 3.1.1, and accepts what is both offered and wanted", () => {
      const { device, transport } = setUp();
      device.features = bits(0, 1, VERSION_1, EVENT_IDX, 50);
      const wish = { wanted: bits(1, RING_RESET, 50), required: 0n, previous: null };
      expect(negotiateFeatures(transport, wish)).toBe(bits(1, VERSION_1, 50));
      expect(device.driverFeatures).toBe(bits(1, VERSION_1, 50));
      expect(device.statusWrites).toEqual([1, 3, 11]);
    });

    it("accepts an IOMMU and its ordering where they are offered, wanted or not", () => {
      const { device, transport } = setUp();
      device.features = bits(VERSION_1, ACCESS_PLATFORM, ORDER_PLATFORM);
      const accepted = negotiateFeatures(transport, { wanted: 0n, required: 0n, previous: null });
      expect(accepted).toBe(bits(VERSION_1, ACCESS_PLATFORM, ORDER_PLATFORM));
    });

    it("drops features whose needs are not met, to the end of the chain", () => {
      const { device, transport } = setUp();
      device.features = bits(VERSION_1, 3, 4, 5);
      const needs = [
        [5, 4],
        [4, 0],
        [3, VERSION_1],
      ] as const;
      const wish = { wanted: bits(0, 3, 4, 5), required: 0n, previous: null, needs };
      expect(negotiateFeatures(transport, wish)).toBe(bits(VERSION_1, 3));
      const strict = { ...wish, required: bits(5) };
      expect(() => negotiateFeatures(transport, strict)).toThrow(expect.objectContaining({ code: "ENOTSUP" }));
    });

    it("names the feature that is missing: never offered (ENOTSUP), or gone since the last life (ENODEV)", async () => {
      const { device, transport } = setUp();
      device.features = bits(1);
      const wish = { wanted: bits(1), required: 0n, previous: null };
      const never = await thrown(() => negotiateFeatures(transport, wish));
      expect([never.code, never.message.includes("bit 32 (VERSION_1)")]).toEqual(["ENOTSUP", true]);
      expect(device.statusWrites.at(-1)).toBe(3 | DeviceStatus.FAILED);

      device.features = bits(VERSION_1);
      const lost = { wanted: 0n, required: bits(3), previous: bits(VERSION_1, 3) };
      const other = await thrown(() => negotiateFeatures(transport, lost));
      expect([other.code, other.message.includes("bit 3,")]).toEqual(["ENODEV", true]);
    });

    it("goes on without a feature of the last life that it does not need, and takes new ones", () => {
      const { device, transport } = setUp();
      device.features = bits(VERSION_1, 2);
      const wish = { wanted: bits(1, 2), required: 0n, previous: bits(VERSION_1, 1) };
      expect(negotiateFeatures(transport, wish)).toBe(bits(VERSION_1, 2));
    });

    it("leaves FAILED and throws ENODEV when the device refuses the set", async () => {
      const { device, transport } = setUp();
      device.refusesFeatures = true;
      const error = await thrown(() => negotiateFeatures(transport, { wanted: 0n, required: 0n, previous: null }));
      expect(error.code).toBe("ENODEV");
      expect(device.status).toBe(3 | DeviceStatus.FAILED);
    });

    it("does not take all ones for an offer", async () => {
      const { device, transport } = setUp();
      device.gone = "reads ones";
      const error = await thrown(() => negotiateFeatures(transport, { wanted: 0n, required: 0n, previous: null }));
      expect(error.code).toBe("ENODEV");
    });

    it("calls it a bug to want what the rings can't do", () => {
      const { transport } = setUp();
      const wish = { wanted: bits(VirtioFeature.IN_ORDER), required: 0n, previous: null };
      expect(() => negotiateFeatures(transport, wish)).toThrow(InvariantViolation);
    });
  });

  describe("the reset of a queue", () => {
    it("waits until it is done, and the queue can be enabled anew", async () => {
      const { device, transport, clock } = setUp();
      transport.enableQueue(1, ADDRESSES);
      device.queueResetReads = 20;
      await clock.run(resetQueue(transport, 1, clock, 100));
      expect(clock.nowMs()).toBe(20);
      expect(transport.readQueue(1).enabled).toBe(false);
      transport.enableQueue(1, ADDRESSES);
      expect(transport.readQueue(1).enabled).toBe(true);
    });

    it("is given up at its deadline, when the device is gone, and when the queue stays enabled", async () => {
      const { device, transport, clock } = setUp();
      transport.enableQueue(0, ADDRESSES);
      device.queueResetReads = Infinity;
      expect((await failure(clock.run(resetQueue(transport, 0, clock, 30)))).code).toBe("ETIMEDOUT");
      expect(clock.nowMs()).toBe(30);
      const reset = failure(resetQueue(transport, 0, clock, 30));
      device.gone = "reads ones";
      await clock.advance(5);
      expect((await reset).code).toBe("ENODEV");
      device.gone = false;
      device.queueResetReads = 1;
      const late = failure(clock.run(resetQueue(transport, 0, clock, 30)));
      device.queue.enabled = 1;
      expect((await late).code).toBe("EPROTO");
    });
  });

  describe("suspend and resume (v1.4)", () => {
    it("wait until the device has come to rest, and until it runs", async () => {
      const { device, transport, clock } = setUp();
      transport.writeStatus(RUNNING);
      device.suspendReads = 7;
      await clock.run(suspendDevice(transport, clock, 100));
      expect(transport.readStatus()).toBe(11 | DeviceStatus.SUSPEND);
      expect(clock.nowMs()).toBe(7);
      await clock.run(resumeDevice(transport, clock, 100));
      expect(transport.readStatus()).toBe(RUNNING);
      expect(clock.nowMs()).toBe(14);
    });

    it("are given up at the deadline, when the device needs a reset, and when it is gone", async () => {
      for (const step of [suspendDevice, resumeDevice]) {
        const { device, transport, clock } = setUp();
        transport.writeStatus(RUNNING);
        if (step === resumeDevice) await clock.run(suspendDevice(transport, clock, 100));
        device.suspendReads = Infinity;
        expect((await failure(clock.run(step(transport, clock, 40)))).code).toBe("ETIMEDOUT");
        expect(clock.nowMs()).toBe(40);
        device.suspendReads = "fails";
        expect((await failure(clock.run(step(transport, clock, 40)))).code).toBe("EIO");
        device.gone = "reads ones";
        expect((await failure(clock.run(step(transport, clock, 40)))).code).toBe("ENODEV");
      }
    });
  });
});
