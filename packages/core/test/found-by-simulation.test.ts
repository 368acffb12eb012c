/** Mistakes that the simulator found in driver and sleep code, each as short as it could be made. */
import { describe, expect, it } from "vitest";
import { Format, GpuCommand, GpuReply } from "../src/wire/index.ts";
import { DriverBench } from "./support/driver-bench.ts";
import { FakeExporter, SCENE_DEVICE } from "./support/scene.ts";
import { SleepingMachine } from "./support/sleeping-machine.ts";

const OPTIONS = { ramBytes: 4 << 20, device: SCENE_DEVICE } as const;

describe("a cursor", () => {
  it("moves while the memory of its picture is detached", async () => {
    const bench = await DriverBench.start(OPTIONS);
    const { cursor } = bench.gpu.output(0);
    const arrow = await bench.buffer(64, 64, { format: Format.B8G8R8A8 });
    await bench.run(cursor.set(arrow));
    await bench.run(arrow.detach());
    await bench.run(cursor.move(7, 9));
    expect(bench.host.device.save().cursors[0]).toMatchObject({ x: 7, y: 9, visible: true });
    bench.expectNoErrors();
  });

  it("has its new hot spot once that is promised", async () => {
    const bench = await DriverBench.start(OPTIONS);
    const { cursor } = bench.gpu.output(0);
    const arrow = await bench.buffer(64, 64, { format: Format.B8G8R8A8 });
    await bench.run(cursor.set(arrow));
    arrow.write(0, new Uint8Array(64));
    bench.host.commands.inject({ type: GpuCommand.TRANSFER_TO_HOST_2D, effect: { kind: "slow", ms: 10 } });
    await bench.run(cursor.set(arrow, { x: 26, y: 27 }));
    expect(bench.host.device.save().cursors[0]).toMatchObject({ hotX: 26, hotY: 27 });
  });
});

describe("an output", () => {
  it("shows another part of an image whose memory is detached", async () => {
    const bench = await DriverBench.start(OPTIONS);
    const image = await bench.show(0, 64, 48);
    await bench.run(image.detach());
    await bench.run(bench.gpu.output(0).show(image, { x: 0, y: 0, width: 32, height: 48 }));
    expect(bench.host.device.screenshot(0)?.width).toBe(32);
    expect(image.isAttached).toBe(false);
    expect(bench.host.device.save().resources[0]?.entries).toEqual([]);
    bench.expectNoErrors();
  });

  it("is lit again when its host took it down with a resource that it denied to have", async () => {
    const bench = await DriverBench.start({ ...OPTIONS, variant: "keeps" });
    const image = await bench.show(0, 64, 48);
    const denial = { kind: "refuse", reply: GpuReply.ERR_INVALID_RESOURCE_ID } as const;
    bench.host.commands.inject({ type: GpuCommand.TRANSFER_TO_HOST_2D, effect: denial });
    await bench.run(image.flush());
    await bench.machine.clock.advance(1000);
    bench.expectShown(0, image);
  });

  it("that shows what was wanted before is not said to be lit", async () => {
    const bench = await DriverBench.start(OPTIONS);
    await bench.show(0, 64, 48);
    const blob = await bench.buffer(32, 32, { storage: "blob" });
    await bench.freeze();
    bench.host.powerOn({ ...SCENE_DEVICE, blob: false });
    await bench.restore();
    await expect(bench.run(bench.gpu.output(0).show(blob))).rejects.toMatchObject({ code: "ENOTSUP" });
    await bench.freeze("SUSPEND");
    const { outputs, lost } = await bench.restore("RESUME");
    expect(outputs).toBe(0);
    expect(lost.map(({ object }) => object)).toContain("output 0");
  });

  it("goes dark when what it shows is freed, and what it should show can't be", async () => {
    const bench = await DriverBench.start(OPTIONS);
    const blob = await bench.buffer(32, 32, { storage: "blob" });
    await bench.freeze();
    bench.host.powerOn({ ...SCENE_DEVICE, blob: false });
    await bench.restore();
    const output = bench.gpu.output(0);
    const image = await bench.show(0, 64, 48);
    const arrow = await bench.buffer(64, 64, { format: Format.B8G8R8A8 });
    await bench.run(output.cursor.set(arrow));
    await expect(bench.run(output.show(blob))).rejects.toMatchObject({ code: "ENOTSUP" });
    bench.expectShown(0, image);
    image.destroy();
    await bench.machine.clock.settle();
    expect(bench.host.device.screenshot(0)).toBeNull();
    expect(bench.host.device.save().resources.map(({ id }) => id)).toEqual([arrow.id]);
    bench.expectNoErrors();
  });
});

describe("a host that forgets one command and answers the others", () => {
  it("keeps nobody waiting about what that command was for", async () => {
    const bench = await DriverBench.start(OPTIONS);
    const image = await bench.show(0, 64, 48);
    const other = await bench.buffer(32, 32);
    const output = bench.gpu.output(0);
    bench.host.commands.inject({ type: GpuCommand.SET_SCANOUT, effect: { kind: "drop" } });
    bench.host.commands.inject({ type: GpuCommand.TRANSFER_TO_HOST_2D, effect: { kind: "slow", ms: 6000 } });
    const both = Promise.allSettled([output.disable(), other.flush()]);
    expect((await bench.run(both)).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await bench.machine.clock.advance(2000);
    expect([bench.gpu.isHung, bench.gpu.isOverdue]).toEqual([false, true]);
    await bench.run(other.flush());
    await expect(bench.run(output.show(image))).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await bench.run(bench.gpu.recover());
    expect(bench.gpu.isOverdue).toBe(false);
    bench.expectShown(0, image);
  });
});

describe("a buffer that is freed while its host is away", () => {
  it("is given back once, also when the device breaks before a host that keeps things was told", async () => {
    const bench = await DriverBench.start({ ...OPTIONS, variant: "keeps" });
    const kept = await bench.buffer(32, 32);
    const freed = await bench.buffer(32, 32);
    const frees = bench.machine.allocator.frees;
    await bench.freeze("HIBERNATE");
    freed.destroy();
    bench.host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, resourceId: freed.id, effect: { kind: "break" } });
    await bench.restore();
    await bench.machine.clock.advance(20_000);
    expect(bench.gpu.state).toBe("running");
    expect(bench.machine.allocator.frees - frees).toBe(1);
    expect(bench.host.device.save().resources.map(({ id }) => id)).toEqual([kept.id]);
    bench.machine.assertClean();
  });
});

describe("a UUID", () => {
  it("of a buffer that is destroyed meanwhile is not the host's fault", async () => {
    const bench = await DriverBench.start(OPTIONS);
    const buffer = await bench.buffer(32, 32);
    bench.host.commands.inject({ type: GpuCommand.RESOURCE_ASSIGN_UUID, effect: { kind: "slow", ms: 10 } });
    const uuid = buffer.uuid();
    bench.gpu.onUuid(() => void Promise.resolve().then(() => buffer.destroy()));
    await expect(bench.run(uuid)).rejects.toMatchObject({ code: "ECANCELED" });
  });
});

describe("lent memory", () => {
  it("that is given again before its taking back has ended is not waited for any longer", async () => {
    const bench = await DriverBench.start(OPTIONS);
    const exporter = new FakeExporter(bench, "lent", 32 * 32 * 4);
    const lent = await bench.run(bench.gpu.importBuffer(exporter, { width: 32, height: 32 }));
    bench.host.commands.inject({ effect: { kind: "hang" } });
    await expect(bench.run(bench.gpu.output(0).show(lent))).rejects.toMatchObject({ code: "ETIMEDOUT" });
    const taking = exporter.takeBack();
    exporter.giveAgain();
    await expect(bench.run(taking)).rejects.toMatchObject({ code: "ECANCELED" });
    bench.host.resume();
    await bench.machine.clock.advance(10_000);
    expect(exporter.mapped).toBe(1);
    bench.expectNoErrors();
  });
});

describe("a hibernation that tests its own resume", () => {
  it("leaves no image behind when it fails: the machine runs on", async () => {
    const system = await SleepingMachine.start();
    system.platform.fail("image-load");
    const { outcome } = await system.goDown("test_resume");
    expect(outcome).toBe("aborted");
    expect(system.platform.calls).toContain("discard-image");
    await system.expectIntact();
  });
});
