/** Imported buffers over a sleep: their owner may move them, keep them back, or end them. */
import { describe, expect, it } from "vitest";
import { GpuError } from "../../src/base/errors.ts";
import { MemoryRenderer } from "../../src/device/index.ts";
import { DriverBench } from "../support/driver-bench.ts";
import { FakeExporter, SCENE_DEVICE, drawScene, expectScene } from "../support/scene.ts";

async function start(blob: boolean = true) {
  const bench = await DriverBench.start({ device: { ...SCENE_DEVICE, blob } });
  const exporter = new FakeExporter(bench, "lent", 64 * 48 * 4);
  exporter.paint(9);
  const imported = await bench.run(bench.gpu.importBuffer(exporter, { width: 64, height: 48 }));
  return { bench, exporter, imported };
}

/** The output shows the exporter's bytes (B8G8R8X8). */
function expectExported(bench: DriverBench, exporter: FakeExporter): void {
  const bytes = new Uint8Array(64 * 48 * 4);
  exporter.pages.read(0, bytes);
  const shot = bench.host.device.screenshot(0);
  const wanted = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += 4) {
    wanted.set([bytes[at + 2] ?? 0, bytes[at + 1] ?? 0, bytes[at] ?? 0, 0xff], at);
  }
  expect(Buffer.compare(shot?.rgba ?? new Uint8Array(), wanted)).toBe(0);
}

describe("imports over a sleep", () => {
  it.each([true, false])(
    "R-19 (a) an import that its owner keeps back is restored once it is given again (blob: %s)",
    async (blob) => {
      const { bench, exporter, imported } = await start(blob);
      await bench.run(bench.gpu.output(0).show(imported));
      await bench.freeze();
      expect(exporter.mapped).toBe(0);
      await exporter.takeBack();
      bench.replaceHost();
      const report = await bench.restore();
      expect(report.lost.map(({ object }) => object)).toContain(`resource ${imported.id}`);
      expect(bench.host.device.screenshot(0)).toBeNull();
      exporter.giveAgain();
      await bench.machine.clock.advance(100);
      expectExported(bench, exporter);
      expect(exporter.mapped).toBe(1);
      bench.expectNoErrors();
    },
  );

  it("R-19 (b) the ranges are asked for anew: frames that moved meanwhile are no danger", async () => {
    const { bench, exporter, imported } = await start();
    await bench.run(bench.gpu.output(0).show(imported));
    await bench.freeze();
    bench.machine.frames.moveFrames([exporter.pages.key]);
    bench.replaceHost();
    await bench.restore();
    expectExported(bench, exporter);
    bench.expectNoErrors();
  });

  it("R-19 (b) a move while awake waits for the host to let go, and shows the buffer again afterwards", async () => {
    const { bench, exporter, imported } = await start();
    await bench.run(bench.gpu.output(0).show(imported));
    await bench.run(exporter.move());
    await bench.machine.clock.advance(100);
    expectExported(bench, exporter);
    bench.expectNoErrors();
  });

  it("R-19 (b) an owner whose pages a hung host may still read waits until they are free", async () => {
    const { bench, exporter, imported } = await start();
    bench.host.transport.faults.swallowKicks = true;
    imported.flush().catch(() => {});
    let isFree = false;
    void exporter.takeBack().then(() => (isFree = true));
    await bench.machine.clock.advance(60_000);
    expect(isFree).toBe(false);
    bench.host.resume();
    await bench.machine.clock.advance(60_000);
    expect(isFree).toBe(true);
    expect(exporter.mapped).toBe(0);
  });

  it("R-19 (b) an owner on its way down in the same sleep gets its pages back from a device at rest", async () => {
    const { bench, exporter, imported } = await start();
    await bench.run(bench.gpu.output(0).show(imported));
    await bench.freeze("SUSPEND");
    expect(bench.gpu.state).toBe("suspended");
    await bench.run(exporter.takeBack());
    expect(exporter.mapped).toBe(0);
    exporter.giveAgain();
    expect(await bench.restore("RESUME")).toMatchObject({ outputs: 1, lost: [] });
    expectExported(bench, exporter);
    bench.expectNoErrors();
  });

  it("R-19 (b) but not at the price of what only that device has: then it waits for the wake", async () => {
    const bench = await DriverBench.start({
      transport: "pci",
      pci: { noSoftReset: true },
      device: { ...SCENE_DEVICE, renderer: new MemoryRenderer() },
    });
    const exporter = new FakeExporter(bench, "lent", 64 * 48 * 4);
    await bench.run(bench.gpu.importBuffer(exporter, { width: 64, height: 48 }));
    const context = await bench.run(bench.gpu.rendering.createContext({ name: "in use" }));
    await bench.run(context.submit(Uint8Array.of(1, 2, 3, 4)));
    await bench.freeze("SUSPEND");
    let isFree = false;
    void exporter.takeBack().then(() => (isFree = true));
    await bench.machine.clock.advance(60_000);
    expect(isFree).toBe(false);
    await bench.restore("RESUME");
    await bench.machine.clock.advance(100);
    expect([isFree, exporter.mapped]).toEqual([true, 0]);
    expect(context.lost).toBeNull();
  });

  it("R-19 (c) an import that can't be mapped blocks nothing else", async () => {
    const { bench, exporter } = await start();
    const scene = await drawScene(bench);
    await bench.freeze();
    exporter.refusal = new GpuError("EINVAL", "it is no more what it was");
    bench.replaceHost();
    const report = await bench.restore();
    expect(report.lost).toHaveLength(1);
    expect(report.lost[0]?.reason).toContain("no more what it was");
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-19 (c) an owner that lies about its ranges is found out", async () => {
    const { bench, exporter, imported } = await start();
    await bench.freeze();
    exporter.map = () => ({ count: 1, addresses: Float64Array.of(4096), lengths: Uint32Array.of(16) });
    let unmapped = 0;
    exporter.unmap = () => {
      unmapped += 1;
    };
    bench.replaceHost();
    const report = await bench.restore();
    expect(report.lost.map(({ object }) => object)).toEqual([`resource ${imported.id}`]);
    expect(unmapped).toBe(1);
    bench.expectNoErrors();
  });

  it("an import that its owner ends is lost, its output goes dark, and the owner gets its memory back", async () => {
    const { bench, exporter, imported } = await start();
    await bench.run(bench.gpu.output(0).show(imported));
    await bench.run(exporter.end());
    expect(exporter.mapped).toBe(0);
    expect(imported.lost?.code).toBe("ENOTRECOVERABLE");
    expect(bench.host.device.screenshot(0)).toBeNull();
    await expect(bench.gpu.output(0).show(imported)).rejects.toMatchObject({ code: "ENOTRECOVERABLE" });
    expect(bench.host.device.usage.resources).toBe(0);
    bench.expectNoErrors();
  });
});
