import { describe, expect, it } from "vitest";
import { MemoryRenderer } from "../device/memory-renderer.ts";
import { GuestRam } from "../memory/guest-ram.ts";
import { GpuReply } from "../wire/gpu.ts";
import type { Command } from "../wire/gpu.gen.ts";
import { DeviceStatus } from "../wire/virtio.ts";
import { BootDriver } from "./boot-driver.ts";
import { SimHost, type SimHostOptions } from "./sim-host.ts";
import { VirtualClock } from "./virtual-clock.ts";

const region = { address: 0, byteLength: 4 << 20 };
const create = (resourceId: number): Command => {
  return { op: "resourceCreate2d", resourceId, format: 1, width: 64, height: 64 };
};
const picture = { scanoutId: 0, resourceId: 1, width: 64, height: 32, colour: 0x00332211 };

/** A host, and a small driver to try it with. */
class Bench {
  readonly clock: VirtualClock = new VirtualClock();
  readonly memory: GuestRam = GuestRam.of(4 << 20);
  readonly host: SimHost;

  constructor(options: Partial<SimHostOptions> = {}) {
    this.host = new SimHost({ clock: this.clock, memory: this.memory, ...options });
  }

  start(transport = this.host.transport): Promise<BootDriver> {
    return this.clock.run(BootDriver.start({ transport, clock: this.clock, memory: this.memory, region }));
  }

  send(driver: BootDriver, command: Command): Promise<number> {
    return this.clock.run(driver.send(command));
  }
}

describe("a simulated host", () => {
  it("has a device that a driver can use, and logs what it sees", async () => {
    const bench = new Bench();
    const driver = await bench.start();
    await bench.clock.run(driver.lightUp(picture));
    const shot = bench.host.device.screenshot(0);
    expect(shot?.width).toBe(64);
    expect(shot?.rgba.subarray(0, 4)).toEqual(Uint8Array.of(0x33, 0x22, 0x11, 0xff));
    expect(bench.host.log.errorReplies()).toEqual([]);
    expect(
      bench.host.log
        .render({ kinds: ["command", "reply"] })
        .split("\n")
        .slice(0, 2),
    ).toEqual(["control 1 RESOURCE_CREATE_2D of resource 1", "control 1 RESOURCE_CREATE_2D -> OK_NODATA"]);
    expect(bench.host.commands.count).toBe(5);
  });

  it("answers nothing and touches no memory once it is killed, and knows nothing when it is on again", async () => {
    const bench = new Bench();
    const { host } = bench;
    const driver = await bench.start();
    await bench.clock.run(driver.lightUp(picture));
    host.kill();
    expect(host.isOn).toBe(false);
    expect(() => host.transport.readStatus()).toThrow("gpu0: the host is gone");
    expect(() => host.transport.notify(0)).toThrow("ENODEV");
    expect(() => host.device).toThrow("ENODEV");
    host.powerOn();
    expect(host.lives).toBe(2);
    expect(host.transport.readStatus()).toBe(0);
    expect(host.device.usage.resources).toBe(0);
    expect(host.device.screenshot(0)).toBeNull();
    const again = await bench.start();
    expect(await bench.send(again, create(1))).toBe(GpuReply.OK_NODATA);
  });

  it("comes back as another host, if told", () => {
    const bench = new Bench({ device: { outputs: [{ width: 640, height: 480 }] } });
    bench.host.powerOn({ outputs: [{ width: 800, height: 600 }, null], edid: false });
    expect(bench.host.device.outputs.map(({ width }) => width)[0]).toBe(800);
    expect(bench.host.transport.config.read32(8)).toBe(2);
    bench.host.powerOn();
    expect(bench.host.transport.config.read32(8)).toBe(2);
  });

  it("brings interrupts to the handler over all lives", async () => {
    const bench = new Bench();
    let config = 0;
    bench.host.transport.setInterruptHandler({
      onQueue: () => {},
      onConfig: () => {
        config += 1;
      },
    });
    await bench.start();
    bench.host.device.setOutput(0, { width: 800, height: 600 });
    bench.host.powerOn();
    await bench.start();
    bench.host.device.setOutput(0, { width: 640, height: 480 });
    expect(config).toBe(2);
  });

  it("forgets all resources at a reset, or keeps them, as its variant says", async () => {
    for (const variant of ["drops", "keeps"] as const) {
      const bench = new Bench({ variant });
      await bench.send(await bench.start(), create(7));
      bench.host.systemReset();
      expect(bench.host.transport.readStatus()).toBe(0);
      const reply = await bench.send(await bench.start(), create(7));
      expect(reply).toBe(variant === "keeps" ? GpuReply.ERR_INVALID_RESOURCE_ID : GpuReply.OK_NODATA);
      bench.host.powerOn();
      expect(bench.host.device.usage.resources).toBe(0);
    }
  });

  it("takes its time as a slow host, in resets and in replies", async () => {
    const bench = new Bench({ variant: "slow" });
    await bench.start();
    expect(bench.clock.nowMs()).toBe(0);
    const driver = await bench.start();
    expect(bench.clock.nowMs()).toBe(20);
    await bench.send(driver, create(1));
    expect(bench.clock.nowMs()).toBe(21);
  });

  it("dies at the command it is told to, showing the driver nothing of what it did with it", async () => {
    const bench = new Bench({ variant: "dies", diesAt: 2 });
    const driver = await bench.start();
    expect(await bench.send(driver, create(1))).toBe(GpuReply.OK_NODATA);
    await expect(bench.send(driver, create(2))).rejects.toThrow("ETIMEDOUT");
    expect(bench.host.isOn).toBe(false);
    bench.host.powerOn();
    expect(await bench.send(await bench.start(), create(2))).toBe(GpuReply.OK_NODATA);
  });

  it("resets or breaks the device behind the driver's back", async () => {
    const bench = new Bench();
    const driver = await bench.start();
    await bench.send(driver, create(1));
    bench.host.breakDevice("the fan stands still");
    expect(bench.host.transport.readStatus() & DeviceStatus.NEEDS_RESET).toBe(DeviceStatus.NEEDS_RESET);
    expect(bench.host.machinery.stopReason).toBe("the fan stands still");
    bench.host.resetDevice();
    expect(bench.host.transport.readStatus()).toBe(0);
    expect(bench.host.device.usage.resources).toBe(0);
  });

  it("answers what hung, and hears kicks that were swallowed, when it resumes", async () => {
    const bench = new Bench();
    const driver = await bench.start();
    bench.host.commands.inject({ effect: { kind: "hang" } });
    const queue = driver.post(create(1));
    expect(bench.host.pending).toBe(1);
    bench.host.resume();
    expect(queue.pop()).toBe(true);
    bench.host.transport.faults.swallowKicks = true;
    driver.post(create(2));
    expect(queue.pop()).toBe(false);
    bench.host.resume();
    expect(queue.pop()).toBe(true);
    expect(bench.host.device.usage.resources).toBe(2);
  });

  it("wakes from S3 by a reset, where nothing keeps the device from it", async () => {
    const bench = new Bench();
    await bench.send(await bench.start(), create(1));
    bench.host.wakeFromS3();
    expect(bench.host.device.usage.resources).toBe(0);
  });

  it.each(["loopback", "pci", "pci-cfg", "pci-io", "mmio"] as const)(
    "is the same machine to its driver's %s transport over deaths and resets",
    async (transport) => {
      const bench = new Bench({ transport });
      const { host } = bench;
      await bench.clock.run((await bench.start()).lightUp(picture));
      expect(host.device.screenshot(0)?.width).toBe(64);
      host.systemReset();
      await bench.send(await bench.start(), create(1));
      let queues = 0;
      host.transport.setInterruptHandler({
        onConfig: () => {},
        onQueue: () => {
          queues += 1;
        },
      });
      host.kill();
      expect(() => host.transport.readStatus()).toThrow("ENODEV");
      expect(() => host.transport.reattach()).toThrow("ENODEV");
      host.powerOn();
      const again = await bench.start();
      queues = 0;
      expect(await bench.send(again, create(1))).toBe(GpuReply.OK_NODATA);
      expect(queues).toBe(1);
      expect(host.log.errorReplies()).toEqual([]);
    },
  );

  it("forgets BARs and bus mastering at a reset of the bus, until the driver attaches again", async () => {
    const bench = new Bench({ transport: "pci" });
    const { host } = bench;
    await bench.start();
    expect(host.function.barAddress(4)).not.toBeNull();
    host.systemReset();
    expect(host.function.barAddress(4)).toBeNull();
    expect(host.transport.readStatus()).toBe(0);
    host.transport.reattach();
    expect(host.transport.readStatus()).toBe(0);
    expect(() => new Bench().host.function).toThrow("ENOTSUP");
  });

  it.each([
    [true, 1],
    [false, 0],
  ])("comes through S3 in D3hot where No_Soft_Reset is %s", async (noSoftReset, resources) => {
    const bench = new Bench({ transport: "pci", pci: { noSoftReset } });
    const { host } = bench;
    await bench.send(await bench.start(), create(1));
    host.transport.power?.enterD3hot();
    host.wakeFromS3();
    host.transport.reattach();
    expect(host.device.usage.resources).toBe(resources);
    host.transport.power?.enterD0();
    host.wakeFromS3();
    expect(host.device.usage.resources).toBe(0);
  });

  it.each([
    ["pci", "msix", "interrupts"],
    ["pci", "intx", "interrupts"],
    ["pci", "polled", "polled"],
    ["mmio", "polled", "polled"],
  ] as const)("tells its driver on %s with %s how replies are noticed", async (transport, interrupts, completion) => {
    const bench = new Bench({ transport, pci: { interrupts } });
    expect(bench.host.transport.completion).toBe(completion);
    expect(await bench.send(await bench.start(), create(1))).toBe(GpuReply.OK_NODATA);
  });

  it.each(["pci", "mmio"] as const)("shows shared memory on %s", async (transport) => {
    const renderer = new MemoryRenderer();
    const device = { blob: true, renderer, hostVisibleBytes: 1 << 20 };
    const bench = new Bench({ transport, device });
    const region = bench.host.transport.sharedMemory(1);
    expect(region?.byteLength).toBe(1 << 20);
    expect(region?.view(4096, 16)?.byteLength).toBe(16);
  });

  it("forges used elements, which a driver's queue finds out", async () => {
    const bench = new Bench();
    const driver = await bench.start();
    let interrupts = 0;
    bench.host.transport.setInterruptHandler({
      onConfig: () => {},
      onQueue: () => {
        interrupts += 1;
      },
    });
    bench.host.commands.inject({ effect: { kind: "hang" } });
    const queue = driver.post(create(1));
    bench.host.forgeUsed(0, 9, 24);
    expect(interrupts).toBe(1);
    expect(queue.pop()).toBe(false);
    expect(queue.broken).not.toBeNull();
  });

  it("tells a second tracer everything it logs", async () => {
    const other: string[] = [];
    const bench = new Bench({ tracer: { enabled: true, trace: (event) => other.push(event.kind) } });
    await bench.send(await bench.start(), create(1));
    expect(other).toEqual(bench.host.log.events().map(({ kind }) => kind));
    expect(other).toContain("reply");
  });
});
