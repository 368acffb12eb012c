/** Users' listeners and exporters that throw: traced, and nothing else is touched. */
import { describe, expect, it } from "vitest";
import { DriverBench } from "../../test/support/driver-bench.ts";
import { FakeExporter, SCENE_DEVICE } from "../../test/support/scene.ts";

const [WIDTH, HEIGHT] = [64, 48];
const broken = (): never => {
  throw new TypeError("not today");
};

/** What a tracer heard of errors. */
function errorsOf(bench: DriverBench): readonly string[] {
  const messages = bench.machine.recorder.events().filter((event) => event.kind === "message");
  return messages.filter(({ level }) => level === "error").map(({ text }) => text);
}

async function startWithImport(): Promise<{ bench: DriverBench; exporter: FakeExporter }> {
  const bench = await DriverBench.start({ device: SCENE_DEVICE });
  return { bench, exporter: new FakeExporter(bench, "lent", WIDTH * HEIGHT * 4) };
}

describe("a listener that throws", () => {
  it("breaks no sleep, no hotplug and no other listener, and is traced", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const states: string[] = [];
    let plugged = 0;
    bench.gpu.onState(broken);
    bench.gpu.onState((state) => states.push(state));
    bench.gpu.onHotplug(broken);
    bench.gpu.onHotplug(() => (plugged += 1));
    const shown = await bench.show(0, WIDTH, HEIGHT);
    await bench.hibernate();
    bench.expectShown(0, shown);
    expect(states).toEqual(["freezing", "frozen", "restoring", "running"]);
    bench.host.device.setOutput(0, { width: 80, height: 60 });
    await bench.machine.clock.advance(100);
    expect(plugged).toBeGreaterThan(0);
    bench.expectShown(0, shown);
    expect(new Set(errorsOf(bench))).toEqual(
      new Set([
        "the listener of states threw: TypeError: not today",
        "the listener of hotplug threw: TypeError: not today",
      ]),
    );
  });

  it("of losses does not keep the driver from giving up the rest", async () => {
    const { bench, exporter } = await startWithImport();
    const imported = await bench.run(bench.gpu.importBuffer(exporter, { width: WIDTH, height: HEIGHT }));
    const lost: number[] = [];
    bench.gpu.onLost(broken);
    bench.gpu.onLost((id) => lost.push(id));
    await bench.run(exporter.end());
    expect(lost).toEqual([imported.id]);
    expect(imported.lost).toMatchObject({ code: "ENOTRECOVERABLE" });
    expect(errorsOf(bench)).toEqual(["the listener of losses threw: TypeError: not today"]);
  });
});

describe("an exporter that throws", () => {
  it("in map loses its own import, and no other object", async () => {
    const { bench, exporter } = await startWithImport();
    exporter.refusal = new TypeError("no memory today");
    const imported = bench.gpu.importBuffer(exporter, { width: WIDTH, height: HEIGHT });
    await expect(bench.run(imported)).rejects.toMatchObject({
      code: "EIO",
      message: expect.stringMatching(/the exporter of "lent" threw: TypeError: no memory today/),
    });
    bench.expectShown(0, await bench.show(0, WIDTH, HEIGHT));
    expect(errorsOf(bench)).toEqual(["the exporter's map threw: TypeError: no memory today"]);
  });

  it("in unmap holds up no freeze: whoever waits for the memory hears of it, and the sleep goes on", async () => {
    const { bench, exporter } = await startWithImport();
    const imported = await bench.run(bench.gpu.importBuffer(exporter, { width: WIDTH, height: HEIGHT }));
    const shown = await bench.show(1, WIDTH, HEIGHT);
    await bench.run(bench.gpu.output(0).show(imported));
    const unmap = exporter.unmap.bind(exporter);
    exporter.unmap = () => {
      unmap();
      broken();
    };
    await bench.run(exporter.move());
    await bench.hibernate();
    expect(exporter.mapped).toBe(1);
    bench.expectShown(1, shown);
    await bench.run(bench.gpu.remove());
    expect(exporter.mapped).toBe(0);
    expect(new Set(errorsOf(bench))).toEqual(new Set(["the exporter's unmap threw: TypeError: not today"]));
  });

  it("in subscribe is the importer's to hear, and leaves nothing behind", async () => {
    const { bench, exporter } = await startWithImport();
    exporter.subscribe = broken;
    const key = { key: "mine", width: WIDTH, height: HEIGHT };
    await expect(bench.run(bench.gpu.importBuffer(exporter, key))).rejects.toThrow("not today");
    expect(bench.gpu.save().buffers).toEqual([]);
    const other = new FakeExporter(bench, "another", WIDTH * HEIGHT * 4);
    const imported = await bench.run(bench.gpu.importBuffer(other, key));
    expect(imported.lost).toBeNull();
  });
});
