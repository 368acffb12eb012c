import { describe, expect, it } from "vitest";
import { GpuError } from "../../base/errors.ts";
import type { InterruptHandler, QueueAddresses, QueueRegisters, Transport } from "../../virtio/transport.ts";
import { DeviceStatus } from "../../wire/virtio.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { FaultyTransport, type TransportFaults } from "./faulty-transport.ts";

/** A device that does what it is told and nothing else. */
class PlainTransport implements Transport {
  readonly label: string = "gpu0";
  readonly deviceId: number = 16;
  completion: "interrupts" | "polled" = "interrupts";
  status = 0;
  generationNow = 5;
  readonly kicks: number[] = [];
  readonly queues: Map<number, QueueAddresses> = new Map();
  handler: InterruptHandler | null = null;
  readonly power: Transport["power"] = { noSoftReset: true, enterD3hot: () => {}, enterD0: () => {} };
  readonly config: Transport["config"] = {
    read8: (offset) => offset,
    read32: (offset) => offset * 0x01010101,
    write32: () => {},
    generation: () => this.generationNow,
  };
  readStatus(): number {
    return this.status;
  }
  writeStatus(status: number): void {
    this.status = status;
    if (status === 0) this.queues.clear();
  }
  readDeviceFeatures(): bigint {
    return 0xffn;
  }
  writeDriverFeatures(): void {}
  queueSizeMax(): number {
    return 64;
  }
  enableQueue(queue: number, addresses: QueueAddresses): void {
    this.queues.set(queue, addresses);
  }
  readQueue(queue: number): QueueRegisters {
    return { enabled: this.queues.has(queue), addresses: this.queues.get(queue) ?? null };
  }
  resetQueue(queue: number): void {
    this.queues.delete(queue);
  }
  queueResetDone(): boolean {
    return true;
  }
  notify(queue: number): void {
    this.kicks.push(queue);
  }
  sharedMemory(): null {
    return null;
  }
  setInterruptHandler(handler: InterruptHandler | null): void {
    this.handler = handler;
  }
  pollConfig(): boolean {
    return false;
  }
  reattach(): void {}
  detach(): void {}
}

const addresses: QueueAddresses = { size: 64, descriptors: 0x1000, driver: 0x2000, device: 0x3000 };

function setUp(faults: Partial<TransportFaults> = {}) {
  const clock = new VirtualClock();
  const plain = new PlainTransport();
  const faulty = new FaultyTransport(plain, { clock, faults });
  const heard: string[] = [];
  const handler: InterruptHandler = {
    onQueue: (queue) => heard.push(`queue ${queue}@${clock.nowMs()}`),
    onConfig: () => heard.push(`config@${clock.nowMs()}`),
  };
  faulty.setInterruptHandler(handler);
  return { clock, plain, faulty, heard };
}

describe("a faulty transport", () => {
  it("passes everything through where no fault is set", () => {
    const { plain, faulty, heard } = setUp();
    faulty.writeStatus(3);
    faulty.enableQueue(1, addresses);
    faulty.notify(1);
    plain.handler?.onQueue(1);
    plain.handler?.onConfig();
    expect(faulty.readStatus()).toBe(3);
    expect(faulty.readDeviceFeatures()).toBe(0xffn);
    expect(faulty.queueSizeMax(0)).toBe(64);
    expect(faulty.readQueue(1)).toEqual({ enabled: true, addresses });
    expect(faulty.queueAddresses(1)).toEqual(addresses);
    expect(faulty.config.read32(8)).toBe(0x08080808);
    expect(plain.kicks).toEqual([1]);
    expect(heard).toEqual(["queue 1@0", "config@0"]);
    faulty.writeStatus(0);
    expect(faulty.readStatus()).toBe(0);
    expect(faulty.queueAddresses(1)).toBeUndefined();
    expect(faulty.accesses).toBe(10);
  });

  it("takes so many reads to reset, the device living on until then", () => {
    const { plain, faulty } = setUp({ reset: { kind: "reads", reads: 3 } });
    plain.status = 15;
    faulty.writeStatus(0);
    expect(plain.status).toBe(15);
    faulty.writeStatus(1);
    expect([1, 2, 3, 4, 5].map(() => faulty.readStatus())).toEqual([15, 15, 15, 0, 0]);
    expect(faulty.earlyStatusWrites).toBe(1);
    expect(faulty.resets).toBe(1);
  });

  it("is not slow about resetting a device whose status is 0, which no driver could see", () => {
    const { faulty } = setUp({ reset: { kind: "never" } });
    faulty.writeStatus(0);
    faulty.writeStatus(1);
    expect(faulty.readStatus()).toBe(1);
    expect(faulty.earlyStatusWrites).toBe(0);
  });

  it("takes so many milliseconds to reset", async () => {
    const { clock, plain, faulty } = setUp({ reset: { kind: "ms", ms: 20 } });
    plain.status = 15;
    faulty.writeStatus(0);
    await clock.advance(19);
    expect(faulty.readStatus()).toBe(15);
    await clock.advance(1);
    expect(faulty.readStatus()).toBe(0);
  });

  it("has done with a slow reset when something else resets the device", () => {
    const { plain, faulty } = setUp({ reset: { kind: "ms", ms: 20 } });
    faulty.writeStatus(DeviceStatus.ACKNOWLEDGE);
    faulty.writeStatus(0);
    expect(faulty.readStatus()).toBe(DeviceStatus.ACKNOWLEDGE);
    plain.status = 0;
    expect(faulty.readStatus()).toBe(0);
    faulty.writeStatus(DeviceStatus.ACKNOWLEDGE);
    expect(faulty.readStatus()).toBe(DeviceStatus.ACKNOWLEDGE);
    expect(faulty.earlyStatusWrites).toBe(0);
  });

  it("never finishes a stuck reset, until it is told to", async () => {
    const { clock, plain, faulty } = setUp({ reset: { kind: "never" } });
    plain.status = 15;
    faulty.writeStatus(0);
    await clock.advance(1e9);
    for (let reads = 0; reads < 1000; reads += 1) expect(faulty.readStatus()).toBe(15);
    expect(faulty.resetPending).toBe(true);
    faulty.finishReset();
    expect(faulty.readStatus()).toBe(0);
  });

  it("loses as many interrupts as told", () => {
    const { plain, faulty, heard } = setUp({ loseInterrupts: 2 });
    plain.handler?.onQueue(0);
    plain.handler?.onConfig();
    plain.handler?.onQueue(1);
    expect(heard).toEqual(["queue 1@0"]);
    expect(faulty.interruptsLost).toBe(2);
  });

  it("delivers interrupts late, and not to a handler removed meanwhile", async () => {
    const { clock, plain, faulty, heard } = setUp({ delayInterruptsMs: 40 });
    plain.handler?.onQueue(0);
    await clock.advance(39);
    expect(heard).toEqual([]);
    await clock.advance(1);
    expect(heard).toEqual(["queue 0@40"]);
    plain.handler?.onConfig();
    faulty.setInterruptHandler(null);
    await clock.advance(40);
    expect(heard).toEqual(["queue 0@40"]);
  });

  it("raises interrupts out of nowhere, if wanted also after the handler was removed", () => {
    const { faulty, heard } = setUp();
    faulty.spuriousQueueInterrupt(undefined);
    faulty.spuriousConfigInterrupt();
    faulty.setInterruptHandler(null);
    faulty.spuriousQueueInterrupt(0);
    faulty.spuriousConfigInterrupt();
    expect(heard).toEqual(["queue undefined@0", "config@0"]);
    faulty.spuriousQueueInterrupt(0, { stale: true });
    faulty.spuriousConfigInterrupt({ stale: true });
    expect(heard.slice(2)).toEqual(["queue 0@0", "config@0"]);
  });

  it("lets one poll of a polled transport find a configuration change that was none", () => {
    const { plain, faulty } = setUp();
    plain.completion = "polled";
    faulty.spuriousConfigInterrupt();
    expect([faulty.pollConfig(), faulty.pollConfig()]).toEqual([true, false]);
  });

  it("is gone from one access on, without touching the device again", () => {
    const { plain, faulty, heard } = setUp({ goneFromAccess: 3 });
    faulty.writeStatus(1);
    faulty.readStatus();
    expect(() => faulty.notify(0)).toThrow(GpuError);
    expect(() => faulty.config.read32(0)).toThrow("gpu0: the device did not answer (readConfig) (ENODEV)");
    expect(() => faulty.power?.enterD0()).toThrow("ENODEV");
    plain.handler?.onQueue(0);
    faulty.setInterruptHandler(null);
    expect(plain.kicks).toEqual([]);
    expect(heard).toEqual([]);
    faulty.faults.goneFromAccess = Infinity;
    faulty.faults.gone = false;
    expect(faulty.readStatus()).toBe(1);
  });

  it("fails one access alone", () => {
    const { faulty } = setUp({ failAccess: 2 });
    faulty.readStatus();
    expect(() => faulty.readStatus()).toThrow("ENODEV");
    expect(faulty.readStatus()).toBe(0);
  });

  it("tells of each access before it is made", () => {
    const { faulty } = setUp();
    const seen: string[] = [];
    faulty.onAccess = (name, access) => seen.push(`${access} ${name}`);
    faulty.readStatus();
    faulty.config.generation();
    expect(seen).toEqual(["1 readStatus", "2 readGeneration"]);
  });

  it("sets status bits until the next reset", () => {
    const { faulty, heard } = setUp();
    faulty.writeStatus(15);
    faulty.raiseStatusBits();
    expect(faulty.readStatus()).toBe(15 | DeviceStatus.NEEDS_RESET);
    expect(heard).toEqual(["config@0"]);
    faulty.writeStatus(0);
    expect(faulty.readStatus()).toBe(0);
  });

  it("swallows kicks and delivers them when the host hears again", () => {
    const { plain, faulty } = setUp({ swallowKicks: true });
    faulty.notify(0);
    faulty.notify(1);
    expect(plain.kicks).toEqual([]);
    expect(faulty.kicksSwallowed).toBe(2);
    faulty.resume();
    faulty.notify(0);
    expect(plain.kicks).toEqual([0, 1, 0]);
  });

  it("lies in the registers it is told to", () => {
    const { faulty } = setUp({
      lies: {
        status: () => 4,
        deviceFeatures: (real) => real | 0x100n,
        queueSizeMax: (queue, real) => (queue === 1 ? 3 : real),
        queue: (_, real) => ({ ...real, enabled: true }),
        queueResetDone: () => false,
        config: (offset, real) => (offset === 8 ? 99 : real),
        generation: () => 1,
      },
    });
    expect(faulty.readStatus()).toBe(4);
    expect(faulty.readDeviceFeatures()).toBe(0x1ffn);
    expect([faulty.queueSizeMax(0), faulty.queueSizeMax(1)]).toEqual([64, 3]);
    expect(faulty.readQueue(0).enabled).toBe(true);
    expect(faulty.queueResetDone(0)).toBe(false);
    expect([faulty.config.read32(8), faulty.config.read8(3)]).toEqual([99, 3]);
    expect(faulty.config.generation()).toBe(1);
  });

  it("changes the configuration between two reads, and its generation with it", () => {
    const { faulty } = setUp();
    faulty.changeConfig(8, 0xaabbccdd, 1);
    expect(faulty.config.generation()).toBe(5);
    expect(faulty.config.read32(8)).toBe(0x08080808);
    expect(faulty.config.read32(8)).toBe(0xaabbccdd);
    expect(faulty.config.read8(9)).toBe(0xcc);
    expect(faulty.config.read32(4)).toBe(0x04040404);
    expect(faulty.config.generation()).toBe(6);
  });
});
