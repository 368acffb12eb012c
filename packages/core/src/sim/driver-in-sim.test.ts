/** The real driver on simulated machines: shows that the simulation's checks hold for a good driver, and find a bad host. */
import { describe, expect, it } from "vitest";
import { VirtioGpu } from "../driver/index.ts";
import { GpuReply } from "../wire/gpu.ts";
import { type SimMachine, type SimMachineOptions, createSimMachine } from "./sim-machine.ts";

const nodeTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const outputs = [{ width: 64, height: 48 }];

async function start(options: SimMachineOptions = {}): Promise<{ machine: SimMachine; gpu: VirtioGpu }> {
  const machine = createSimMachine({ turn: nodeTurn, ramBytes: 4 << 20, device: { outputs }, ...options });
  const { transport, clock, allocator, dma, recorder: tracer } = machine;
  const gpu = await machine.clock.run(VirtioGpu.probe({ transport, clock, allocator, dma, tracer }));
  return { machine, gpu };
}

async function show(machine: SimMachine, gpu: VirtioGpu): Promise<void> {
  const buffer = await machine.clock.run(gpu.createBuffer({ width: 64, height: 48 }));
  buffer.write(0, new Uint8Array(64 * 48 * 4).fill(0x5a));
  await machine.clock.run(gpu.output(0).show(buffer));
}

async function hibernate(machine: SimMachine, gpu: VirtioGpu): Promise<void> {
  await machine.clock.run(gpu.power.freeze("FREEZE"));
  machine.powerOff();
  machine.powerOn();
  await machine.clock.run(gpu.power.restore("RESTORE").complete);
}

describe("the driver on a simulated machine", () => {
  it.each([
    ["loopback", {}],
    ["packed rings", { features: { packed: true } }],
    ["pci", { transport: "pci" }],
    ["pci-cfg", { transport: "pci-cfg" }],
    ["pci-io", { transport: "pci-io" }],
    ["mmio", { transport: "mmio" }],
    ["an IOMMU", { iommu: true }],
    ["a host that keeps resources", { variant: "keeps" }],
    ["a slow host", { variant: "slow" }],
  ] as const satisfies readonly (readonly [string, SimMachineOptions])[])(
    "hibernates over %s without a complaint from host, memory or mappings",
    async (_, options) => {
      const { machine, gpu } = await start(options);
      await show(machine, gpu);
      const before = machine.host.device.screenshot(0);
      await hibernate(machine, gpu);
      expect(machine.host.device.screenshot(0)).toEqual(before);
      expect(machine.host.log.errorReplies()).toEqual([]);
      machine.assertClean();
      await machine.clock.run(gpu.remove());
      machine.assertClean();
      machine.dma.assertBalanced();
      expect(machine.clock.timers).toBe(0);
    },
  );

  it("touches no ring after a freeze, whatever interrupts come", async () => {
    const { machine, gpu } = await start({ watchRings: true });
    await show(machine, gpu);
    await machine.clock.run(gpu.power.freeze("FREEZE"));
    machine.rings?.arm();
    machine.transport.spuriousQueueInterrupt(0, { stale: true });
    machine.transport.spuriousConfigInterrupt({ stale: true });
    await machine.clock.advance(10_000);
    expect(machine.rings?.accesses).toEqual([]);
    machine.rings?.disarm();
    await machine.clock.run(gpu.power.restore("THAW").complete);
    machine.assertClean();
  });

  it("comes through a fault at any command of a freeze and a restore", async () => {
    const trial = await start();
    await show(trial.machine, trial.gpu);
    const picture = trial.machine.host.device.screenshot(0);
    const before = trial.machine.host.commands.count;
    await hibernate(trial.machine, trial.gpu);
    const commands = trial.machine.host.commands.count - before;
    expect(commands).toBeGreaterThan(4);
    for (let at = 1; at <= commands; at += 1) {
      const { machine, gpu } = await start();
      await show(machine, gpu);
      machine.host.commands.inject({ at, effect: { kind: "refuse", reply: GpuReply.ERR_OUT_OF_MEMORY } });
      await hibernate(machine, gpu).catch(() => {});
      expect(machine.host.commands.struck).toBe(1);
      await hibernate(machine, gpu);
      expect(machine.host.device.screenshot(0), `after a fault at command ${at}`).toEqual(picture);
      machine.assertClean();
    }
  });

  it("moves to other frames over a hibernation", async () => {
    const { machine, gpu } = await start();
    await show(machine, gpu);
    const before = machine.host.device.screenshot(0);
    await machine.clock.run(gpu.power.freeze("FREEZE"));
    const image = machine.snapshot();
    machine.powerOff();
    machine.restore(image, { moveFrames: true });
    machine.powerOn();
    await machine.clock.run(gpu.power.restore("RESTORE").complete);
    expect(machine.host.device.screenshot(0)).toEqual(before);
    machine.assertClean();
  });

  it("comes up on a device that a boot kernel left running", async () => {
    const { machine, gpu } = await start({ transport: "pci" });
    await show(machine, gpu);
    await machine.clock.run(gpu.power.freeze("FREEZE"));
    machine.powerOff();
    machine.powerOn();
    const boot = await machine.clock.run(machine.startBootDriver());
    await machine.clock.run(boot.lightUp({ scanoutId: 0, resourceId: 1, width: 32, height: 32, colour: 0xff }));
    machine.host.commands.inject({ effect: { kind: "slow", ms: 50 } });
    boot.post({ op: "getDisplayInfo" });
    await machine.clock.run(gpu.power.restore("RESTORE").complete);
    expect(machine.host.device.screenshot(0)?.width).toBe(64);
    await machine.clock.advance(1000);
    machine.assertClean();
  });
});
