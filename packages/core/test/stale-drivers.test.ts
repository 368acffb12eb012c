/**
 * The rule for drivers that go on after a reset as if nothing had happened: what Linux makes of virtio_gpu in a hibernation.
 */
import { describe, expect, it } from "vitest";
import { VirtioGpuDevice } from "../src/device/index.ts";
import { GuestRam } from "../src/memory/index.ts";
import { BootDriver, VirtualClock } from "../src/sim/index.ts";
import { LoopbackTransport, StaleDriverRescue, VirtioDevice, negotiateFeatures } from "../src/virtio/index.ts";
import { DeviceStatus } from "../src/wire/index.ts";

const RAM_BYTES = 8 << 20;
const REGION = { address: 1 << 20, byteLength: 1 << 20 };
const OTHER_REGION = { address: 4 << 20, byteLength: 1 << 20 };
const RED = 0x00ff_0000;
const BLUE = 0x0000_00ff;

class Machine {
  readonly ram: GuestRam;
  readonly clock: VirtualClock = new VirtualClock();
  readonly device: VirtioGpuDevice = new VirtioGpuDevice({ outputs: [{ width: 640, height: 480 }] });
  readonly rescue: StaleDriverRescue;
  readonly virtio: VirtioDevice;
  readonly transport: LoopbackTransport;
  readonly messages: string[] = [];

  constructor(options: { readonly seed?: unknown; readonly image?: Uint8Array } = {}) {
    this.ram = new GuestRam([{ address: 0, buffer: options.image?.slice() ?? new Uint8Array(RAM_BYTES) }]);
    this.rescue = new StaleDriverRescue({
      seed: options.seed,
      tracer: { enabled: true, trace: (event) => event.kind === "message" && this.messages.push(event.text) },
    });
    this.virtio = new VirtioDevice({ model: this.device, memory: this.ram, label: "gpu", rescue: this.rescue });
    this.transport = new LoopbackTransport(this.virtio);
  }

  get image(): Uint8Array {
    return this.ram.view(0, RAM_BYTES).slice();
  }

  async driver(region = REGION): Promise<BootDriver> {
    const { transport, clock, ram: memory } = this;
    return clock.run(BootDriver.start({ transport, clock, memory, region }));
  }

  async show(driver: BootDriver, resourceId: number, colour: number): Promise<void> {
    await this.clock.run(driver.lightUp({ scanoutId: 0, resourceId, width: 32, height: 32, colour }));
  }

  /** What Linux's virtio core does to a device whose driver has no `restore`. */
  resetAndGoOn(wanted = ~0n & ~(1n << 34n) & ~(1n << 41n)): void {
    this.transport.writeStatus(0);
    negotiateFeatures(this.transport, { wanted: wanted & this.accepted, required: 0n, previous: null });
    this.transport.writeStatus(this.transport.readStatus() | DeviceStatus.DRIVER_OK);
  }

  accepted = 0n;

  get colour(): number | null {
    const rgba = this.device.screenshot(0)?.rgba;
    return rgba === undefined ? null : ((rgba[0] ?? 0) << 16) | ((rgba[1] ?? 0) << 8) | (rgba[2] ?? 0);
  }
}

async function working(colour = RED): Promise<{ machine: Machine; driver: BootDriver }> {
  const machine = new Machine();
  const driver = await machine.driver();
  machine.accepted = driver.features;
  await machine.show(driver, 1, colour);
  return { machine, driver };
}

/** A new machine with the old one's memory, whose device has been reset once by the kernel that loaded it. */
function resume(machine: Machine, seed: unknown): Machine {
  const next = new Machine({ seed, image: machine.image });
  next.accepted = machine.accepted;
  return next;
}

describe("a driver that does not know that its device was reset", () => {
  it("goes on with its queues, its resources and its picture", async () => {
    const { machine, driver } = await working();
    machine.resetAndGoOn();
    expect(machine.colour).toBe(RED);
    expect(await machine.clock.run(driver.send({ op: "resourceUnref", resourceId: 1 }))).toBe(0x1100);
    await machine.show(driver, 2, BLUE);
    expect(machine.colour).toBe(BLUE);
    expect(machine.messages.join()).toContain("given its queues and resources back");
  });

  it("has a command answered that it sent just before the reset", async () => {
    const { machine, driver } = await working();
    machine.virtio.setMemoryAccess(false);
    const queue = driver.post({ op: "resourceUnref", resourceId: 1 });
    machine.resetAndGoOn();
    expect(queue.pop()).toBe(false);
    machine.virtio.setMemoryAccess(true);
    expect(queue.pop()).toBe(true);
  });

  it("goes on in another process, from what the device knew at the thaw, not at the power-off", async () => {
    const { machine, driver } = await working();
    const { image } = machine;
    machine.resetAndGoOn();
    await machine.show(driver, 2, BLUE);
    const next = new Machine({ seed: JSON.parse(JSON.stringify(machine.rescue.kept, asNumbers), fromNumbers), image });
    next.accepted = machine.accepted;
    next.resetAndGoOn();
    expect(next.colour).toBe(RED);
    expect(next.device.usage.resources).toBe(1);
  });

  it("is told from the driver of the kernel that resumed it, by what is in memory", async () => {
    const { machine } = await working();
    machine.resetAndGoOn();
    const next = resume(machine, machine.rescue.kept);
    const boot = await next.driver(OTHER_REGION);
    next.accepted = machine.accepted;
    await next.show(boot, 1, BLUE);
    await next.clock.run(boot.send({ op: "getDisplayInfo" }));
    next.ram.write(0, machine.image);
    next.resetAndGoOn();
    expect(next.colour).toBe(RED);
  });

  it("gets its own back in a machine that was given an old state and booted afresh", async () => {
    const { machine } = await working();
    machine.resetAndGoOn();
    const next = new Machine({ seed: machine.rescue.kept });
    const driver = await next.driver();
    next.accepted = driver.features;
    await next.show(driver, 7, BLUE);
    next.resetAndGoOn();
    expect(next.colour).toBe(BLUE);
  });

  it("is not helped where it accepts other features, or its rings are not memory, and the device says so", async () => {
    const { machine } = await working();
    const kept = machine.virtio.save();
    machine.resetAndGoOn(0n);
    expect(machine.colour).toBeNull();
    expect(machine.messages.join()).toContain("other features");
    const far = kept.queues.map((queue) => ({ ...queue, addresses: [0, 9, 0, 9, 0, 9] }));
    for (const seed of [{ ...kept, queues: far }, { nonsense: true }, 7]) {
      const next = resume(machine, seed);
      next.resetAndGoOn();
      expect(next.colour).toBeNull();
      expect(next.messages.join()).toContain("can't be helped");
    }
  });
});

describe("the rule leaves alone", () => {
  it("a driver that sets up its queues again", async () => {
    const { machine } = await working();
    await machine.driver();
    expect(machine.colour).toBeNull();
    expect(machine.messages).toEqual([]);
    expect(machine.rescue.kept).toBeNull();
  });

  it("a machine that was rebooted", async () => {
    const { machine } = await working();
    machine.transport.writeStatus(0);
    machine.rescue.forget();
    machine.resetAndGoOn();
    expect(machine.colour).toBeNull();
  });

  it("a device without it", async () => {
    const device = new VirtioGpuDevice();
    const ram = GuestRam.of(RAM_BYTES);
    const clock = new VirtualClock();
    const transport = new LoopbackTransport(new VirtioDevice({ model: device, memory: ram, label: "gpu" }));
    const driver = await clock.run(BootDriver.start({ transport, clock, memory: ram, region: REGION }));
    await clock.run(driver.lightUp({ scanoutId: 0, resourceId: 1, width: 32, height: 32, colour: RED }));
    transport.writeStatus(0);
    negotiateFeatures(transport, { wanted: driver.features, required: 0n, previous: null });
    transport.writeStatus(transport.readStatus() | DeviceStatus.DRIVER_OK);
    expect(device.screenshot(0)).toBeNull();
  });
});

function asNumbers(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? { bytes: [...value] } : value;
}

function fromNumbers(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("bytes" in value) || !Array.isArray(value.bytes)) return value;
  return Uint8Array.from(value.bytes);
}
