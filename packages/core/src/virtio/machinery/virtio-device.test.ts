import { describe, expect, it } from "vitest";
import { GuestRam } from "../../memory/guest-ram.ts";
import { DescriptorFlag } from "../../wire/ring.ts";
import { VirtioFeature, featureBit } from "../../wire/virtio.ts";
import { LoopbackTransport } from "../loopback.ts";
import { MockSplitDriver } from "../test-utils.ts";
import { ECHO_FEATURES, ECHO_RAM_BYTES, EchoDriver } from "./echo-driver.ts";
import { EchoModel } from "./echo-model.ts";
import type { VirtioDeviceFeatures } from "./features.ts";
import { type InterruptSource, VirtioDevice } from "./virtio-device.ts";

const VERSION_1 = featureBit(VirtioFeature.VERSION_1);
const ACCESS_PLATFORM = featureBit(VirtioFeature.ACCESS_PLATFORM);

function echoDevice(features: VirtioDeviceFeatures = {}) {
  const ram = GuestRam.of(ECHO_RAM_BYTES);
  const model = new EchoModel();
  const device = new VirtioDevice({ model, memory: ram, label: "test:echo", features });
  const interrupts: InterruptSource[] = [];
  device.setInterruptSink((source) => interrupts.push(source));
  return { ram, model, device, interrupts };
}

function withDriver(features: VirtioDeviceFeatures = {}) {
  const parts = echoDevice(features);
  const transport = new LoopbackTransport(parts.device);
  return { ...parts, transport, driver: new EchoDriver(transport, parts.ram) };
}

/** Up to FEATURES_OK, register by register. */
function negotiate(device: VirtioDevice, features: bigint): void {
  device.writeStatus(1);
  device.writeStatus(3);
  for (let select = 0; select < 4; select += 1) {
    device.writeDriverFeatureWord(select, Number((features >> BigInt(32 * select)) & 0xffff_ffffn));
  }
  device.writeStatus(11);
}

/** A running device whose queue 0 has the mock's rings. */
function withMock(size = 8) {
  const parts = echoDevice();
  const mock = new MockSplitDriver(parts.ram, { size, address: 0x1000 });
  negotiate(parts.device, VERSION_1);
  parts.device.setQueueAddresses(0, mock.addresses);
  parts.device.enableQueue(0);
  parts.device.writeStatus(15);
  return { ...parts, mock };
}

describe("feature negotiation", () => {
  it("refuses FEATURES_OK for a bit that was not offered (CVE-2026-63321)", () => {
    const { device } = echoDevice();
    for (const bit of [2n, 24n, 42n, 63n, 64n, 127n]) {
      device.writeStatus(0);
      negotiate(device, VERSION_1 | (1n << bit));
      expect(device.status).toBe(3);
      device.writeStatus(15);
      expect(device.status).toBe(3);
    }
  });

  it("refuses FEATURES_OK without VERSION_1, and without ACCESS_PLATFORM where that is offered", () => {
    const { device } = echoDevice({ accessPlatform: true });
    negotiate(device, 0b11n);
    expect(device.status).toBe(3);
    device.writeStatus(0);
    negotiate(device, VERSION_1);
    expect(device.status).toBe(3);
    device.writeStatus(0);
    negotiate(device, VERSION_1 | ACCESS_PLATFORM);
    expect(device.status).toBe(11);
  });

  it("lets the driver try again with fewer features, and then holds to what was accepted", () => {
    const { device, model } = echoDevice();
    negotiate(device, VERSION_1 | (1n << 5n));
    device.writeDriverFeatureWord(0, 0b01);
    device.writeStatus(11);
    expect(device.status).toBe(11);
    device.writeDriverFeatureWord(0, 0b10);
    device.writeStatus(15);
    expect(model.accepted).toBe(VERSION_1 | 1n);
  });

  it("offers what it was made for", () => {
    expect(echoDevice().device.offeredFeatures).toBe(ECHO_FEATURES | 0b11n);
    const features = { indirect: false, eventIndex: false, ringReset: false, suspend: false, packed: true };
    expect(echoDevice(features).device.offeredFeatures).toBe(VERSION_1 | 0b11n | featureBit(VirtioFeature.RING_PACKED));
  });
});

describe("queue registers", () => {
  const good = { size: 8, descriptors: 0x1000, driver: 0x1080, device: 0x10c0 };
  const wrong = [
    ["a size above the maximum (CVE-2026-50626)", { ...good, size: 128 }],
    ["a size that is no power of two", { ...good, size: 48 }],
    ["no entries", { ...good, size: 0 }],
    ["a descriptor table off its alignment", { ...good, descriptors: 0x1008 }],
    ["a used ring off its alignment", { ...good, device: 0x10c2 }],
    ["a descriptor table outside memory", { ...good, descriptors: ECHO_RAM_BYTES - 16 }],
    ["an available ring outside memory", { ...good, driver: ECHO_RAM_BYTES }],
    ["a used ring far outside memory", { ...good, device: 2 ** 52 }],
  ] as const;
  for (const [what, addresses] of wrong) {
    it(`need a reset after enabling a queue with ${what}`, () => {
      const { device, interrupts } = echoDevice();
      negotiate(device, VERSION_1);
      device.setQueueAddresses(0, addresses);
      device.enableQueue(0);
      expect(device.status).toBe(11 | 64);
      expect(device.queueEnabled(0)).toBe(false);
      expect(device.stopReason).toMatch(/^queue 0: /);
      device.writeStatus(15);
      expect(device.phase).toBe("stopped");
      expect(interrupts).toEqual([]);
      device.writeStatus(0);
      negotiate(device, VERSION_1);
      device.setQueueAddresses(0, good);
      device.enableQueue(0);
      expect(device.queueEnabled(0)).toBe(true);
    });
  }

  it("hold addresses of 64 bits without rounding them into memory", () => {
    const { device } = echoDevice();
    negotiate(device, VERSION_1);
    device.setQueueAddresses(0, good);
    device.setQueueAddressWord(0, 3, 0xffff_ffff);
    expect(device.queueAddressWord(0, 3)).toBe(0xffff_ffff);
    device.enableQueue(0);
    expect(device.phase).toBe("stopped");
  });

  it("take no writes once the queue is enabled, which it is once", () => {
    const { device } = withMock();
    const before = device.queueAddresses(0);
    device.setQueueAddresses(0, good);
    device.setQueueSize(0, 4);
    device.setQueueAddressWord(0, 0, 0x5000);
    device.enableQueue(0);
    expect(device.queueAddresses(0)).toEqual(before);
    expect(device.status).toBe(15);
  });

  it("enable nothing before FEATURES_OK", () => {
    const { device } = echoDevice();
    device.writeStatus(3);
    device.setQueueAddresses(0, good);
    device.enableQueue(0);
    expect(device.queueEnabled(0)).toBe(false);
    expect(device.status).toBe(3);
  });

  it("of queues that do not exist read as size 0 and take nothing", () => {
    const { device } = withMock();
    for (const index of [2, -1, 0.5, 2 ** 32, Number.NaN]) {
      device.setQueueAddresses(index, good);
      device.setQueueSize(index, 8);
      device.enableQueue(index);
      device.resetQueue(index);
      device.notify(index);
      expect([device.queueSizeMax(index), device.queueSize(index), device.queueAddressWord(index, 0)]).toEqual([
        0, 0, 0,
      ]);
      expect(device.queueEnabled(index)).toBe(false);
    }
    expect(device.status).toBe(15);
  });

  it("start anew after the reset of one queue, and what the model still held of it goes nowhere", () => {
    const { device, driver, model, ram, transport } = withDriver();
    driver.start();
    model.holding = true;
    driver.echo("HAL");
    const { device: used } = driver.queues[0]?.addresses ?? { device: 0 };
    transport.resetQueue(0);
    expect(device.queueAddresses(0)).toEqual({ size: 64, descriptors: 0, driver: 0, device: 0 });
    const before = ram.view(used, 256).slice();
    model.holding = false;
    model.release();
    expect(ram.view(used, 256)).toEqual(before);
    driver.openQueue(0, 16);
    expect(driver.echo("HAL")).toBe("IBM");
  });
});

describe("kicks", () => {
  it("before DRIVER_OK wait for it", () => {
    const { driver, model } = withDriver();
    driver.start({ driverOk: false });
    expect(driver.echo("HAL")).toBeNull();
    expect(model.echoed).toBe(0);
    driver.driverOk();
    expect(driver.take()).toBe("IBM");
  });

  it("while the device may not touch memory wait until it may", () => {
    const { driver, device, model } = withDriver();
    driver.start();
    device.setMemoryAccess(false);
    expect(driver.echo("HAL")).toBeNull();
    expect(model.echoed).toBe(0);
    device.setMemoryAccess(true);
    expect(driver.take()).toBe("IBM");
  });

  it("from inside processing are heard by the loop that is running", () => {
    const { driver, model } = withDriver();
    driver.start();
    let depth = 0;
    let deepest = 0;
    let left = 28;
    model.onChain = () => {
      depth += 1;
      deepest = Math.max(deepest, depth);
      if (left > 0) {
        left -= 1;
        driver.add("HAL", left % 2);
        driver.kick(left % 2);
      }
      depth -= 1;
    };
    driver.echo("HAL");
    expect(model.echoed).toBe(29);
    expect(deepest).toBe(1);
  });

  it("of a model that leaves chains for later do not make the device loop", () => {
    const { driver, device, model } = withDriver();
    driver.start();
    const process = model.process.bind(model);
    let calls = 0;
    model.process = () => {
      calls += 1;
    };
    driver.echo("HAL");
    expect(calls).toBeLessThan(4);
    model.process = process;
    device.resumeWork();
    expect(driver.take()).toBe("IBM");
  });
});

describe("a driver that breaks the rules", () => {
  it("has its device stopped, told by a configuration interrupt, deaf until a reset", () => {
    const { device, mock, interrupts, model } = withMock();
    mock.chain(0, [{ address: 0x3000, length: 0, flags: DescriptorFlag.WRITE }]);
    device.notify(0);
    expect(device.status).toBe(15 | 64);
    expect(device.stopReason).toBe("queue 0: an empty buffer");
    expect(interrupts).toEqual(["config"]);
    mock.chain(1, [{ address: 0x3000, length: 4, flags: DescriptorFlag.WRITE }]);
    device.notify(0);
    device.resumeWork();
    device.needsReset("again");
    device.queueInterrupt(0);
    expect([model.echoed, interrupts.length, mock.usedIndex]).toEqual([0, 1, 0]);
    device.writeStatus(0);
    expect([device.status, device.stopReason, device.phase]).toEqual([0, null, "idle"]);
  });

  it("has what it gave up on stopped", () => {
    const { device, mock, model } = withMock();
    device.writeStatus(15 | 128);
    mock.chain(1, [{ address: 0x3000, length: 4, flags: DescriptorFlag.WRITE }]);
    device.notify(0);
    expect([device.status, model.echoed]).toEqual([143, 0]);
  });

  it("can't restore a device that it failed before the sleep any worse than QEMU's", () => {
    const { driver, transport, device } = withDriver();
    driver.start();
    transport.writeStatus(0);
    transport.writeStatus(1);
    transport.writeStatus(129);
    transport.writeStatus(131);
    transport.writeDriverFeatures(driver.features);
    transport.writeStatus(139);
    driver.openQueue(0, 16);
    transport.writeStatus(143);
    expect(device.phase).toBe("running");
    expect(driver.echo("HAL")).toBe("IBM");
  });
});

describe("a reset", () => {
  it("from inside processing ends it: nothing of the ring is touched any more", () => {
    const { driver, device, model, ram } = withDriver();
    driver.start();
    const { device: used } = driver.queues[0]?.addresses ?? { device: 0 };
    model.onChain = () => device.writeStatus(0);
    driver.add("HAL");
    driver.add("HAL");
    const before = ram.view(used, 256).slice();
    driver.kick();
    expect(ram.view(used, 256)).toEqual(before);
    expect([device.status, model.resets]).toEqual([0, 2]);
  });

  it("and a new life from inside processing work, kicks of the new life included", () => {
    const { driver, model } = withDriver();
    driver.start();
    model.onChain = () => {
      model.onChain = null;
      driver.start();
      driver.add("HAL");
      driver.kick();
    };
    driver.add("old");
    driver.kick();
    expect(driver.take()).toBe("IBM");
    expect(driver.take()).toBeNull();
  });

  it("forgets features, queues and waiting kicks, and keeps the model's configuration", () => {
    const { driver, device, model } = withDriver();
    driver.start({ driverOk: false });
    driver.add("HAL");
    driver.kick();
    model.config[3] = 7;
    device.reset();
    expect([device.driverFeatures, device.queueEnabled(0), device.readConfig(0, 4)]).toEqual([0n, false, 0x0700_0000]);
    driver.start();
    expect(model.echoed).toBe(0);
  });
});

describe("configuration changes", () => {
  it("bump the generation at once, and interrupt only a running device", () => {
    const { driver, device, model } = withDriver();
    model.host.configChanged();
    driver.start({ driverOk: false });
    model.host.configChanged();
    expect([device.configGeneration, driver.configInterrupts]).toEqual([2, 0]);
    driver.driverOk();
    expect(driver.configInterrupts).toBe(0);
    model.host.configChanged();
    expect([device.configGeneration, driver.configInterrupts]).toEqual([3, 1]);
  });

  it("are made by writes inside the space, of any width; what reaches behind it is ignored and reads 0", () => {
    const { device } = echoDevice();
    device.writeConfig(0, 4, 0x0403_0201);
    device.writeConfig(4, 2, 0x0605);
    device.writeConfig(6, 1, 0x07);
    expect([device.readConfig(1, 4), device.readConfig(3, 2), device.readConfig(6, 1)]).toEqual([
      0x0504_0302, 0x0504, 7,
    ]);
    device.writeConfig(18, 4, 0xffff_ffff);
    for (const offset of [-1, -4, 20, 2 ** 40, 0.5, Number.NaN]) device.writeConfig(offset, 4, 0xffff_ffff);
    expect([device.readConfig(18, 4), device.readConfig(2 ** 40, 4), device.readConfig(-2, 1)]).toEqual([0, 0, 0]);
  });
});

describe("suspend", () => {
  it("finishes what was made available, also without a kick, then reads SUSPEND without DRIVER_OK", () => {
    const { driver, transport, model } = withDriver();
    driver.start();
    driver.queues[0]?.enableInterrupts();
    driver.add("HAL");
    transport.writeStatus(31);
    expect(transport.readStatus()).toBe(27);
    expect(model.echoed).toBe(1);
    expect(driver.interrupts.get(0)).toBe(1);
  });

  it("waits for what the model holds, and for memory access", () => {
    const { driver, transport, model, device } = withDriver();
    driver.start();
    model.holding = true;
    driver.echo("HAL");
    transport.writeStatus(31);
    expect(transport.readStatus()).toBe(31);
    device.setMemoryAccess(false);
    expect(transport.readStatus()).toBe(31);
    device.setMemoryAccess(true);
    model.release();
    expect(device.phase).toBe("suspended");
    expect(driver.take()).toBe("IBM");
    expect(driver.interrupts.get(0)).toBe(1);
  });

  it("notices a last answer that nobody was to be told of", () => {
    const { driver, transport, model } = withDriver({ eventIndex: false });
    driver.start();
    driver.queues[0]?.disableInterrupts();
    model.holding = true;
    driver.add("HAL");
    driver.kick();
    transport.writeStatus(31);
    model.release();
    expect(driver.interrupts.get(0)).toBeUndefined();
    expect(transport.readStatus()).toBe(27);
  });

  it("touches no ring, raises no interrupt, takes no configuration, enables and resets no queue", () => {
    const { driver, transport, device, model, ram } = withDriver();
    driver.start();
    driver.openQueue(1, 4);
    device.resetQueue(1);
    transport.writeStatus(31);
    driver.add("HAL");
    const before = ram.view(0, ECHO_RAM_BYTES).slice();
    driver.kick();
    device.queueInterrupt(0);
    model.host.configChanged();
    device.writeConfig(0, 4, 7);
    device.enableQueue(1);
    device.resetQueue(0);
    device.resumeWork();
    expect(Buffer.compare(ram.view(0, ECHO_RAM_BYTES), before)).toBe(0);
    expect([driver.configInterrupts, driver.interrupts.size, device.readConfig(0, 4)]).toEqual([0, 0, 0]);
    expect([device.queueEnabled(0), device.queueEnabled(1)]).toEqual([true, false]);
    transport.writeStatus(15);
    expect(transport.readStatus()).toBe(15);
    expect(driver.configInterrupts).toBe(1);
    expect(driver.take()).toBe("IBM");
    // Told once, not at every resume.
    for (const status of [31, 15]) transport.writeStatus(status);
    expect(driver.configInterrupts).toBe(1);
  });

  it("is undone by DRIVER_OK before it is reached, and ended by a reset", () => {
    const { driver, transport, model } = withDriver();
    driver.start();
    model.holding = true;
    driver.echo("HAL");
    transport.writeStatus(31);
    transport.writeStatus(15);
    expect(transport.readStatus()).toBe(15);
    transport.writeStatus(31);
    transport.writeStatus(0);
    model.release();
    expect(transport.readStatus()).toBe(0);
  });

  it("is not there unless negotiated", () => {
    const { driver, transport } = withDriver({ suspend: false });
    driver.start();
    transport.writeStatus(31);
    expect(transport.readStatus()).toBe(15);
    expect(driver.echo("HAL")).toBe("IBM");
  });

  it("asked for from inside processing is reached when that ends", () => {
    const { driver, transport, model } = withDriver();
    driver.start();
    const seen: number[] = [];
    model.onChain = () => {
      transport.writeStatus(31);
      seen.push(transport.readStatus());
    };
    driver.echo("HAL");
    expect([...seen, transport.readStatus()]).toEqual([31, 27]);
  });
});
