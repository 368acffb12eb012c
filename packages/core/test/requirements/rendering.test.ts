/** What only the host can render (3D, host blobs, contexts), fences and UUIDs over a sleep. */
import { describe, expect, it } from "vitest";
import { MemoryRenderer, type VirtioGpuDeviceOptions } from "../../src/device/index.ts";
import type { RenderContext, RenderResource } from "../../src/driver/index.ts";
import { SeededRandom } from "../../src/sim/seeded-random.ts";
import { BlobFlag, BlobMemory, DeviceStatus, GpuCommand, VirtioFeature } from "../../src/wire/index.ts";
import { DriverBench, type BenchOptions } from "../support/driver-bench.ts";

/** Something in the renderer's language. */
const COMMANDS = Uint8Array.of(1, 2, 3, 4);
const WINDOW_BYTES = 64 * 4096;
const PARAMETERS = {
  target: 2,
  format: 1,
  bind: 2,
  width: 16,
  height: 16,
  depth: 1,
  arraySize: 1,
  lastLevel: 0,
  sampleCount: 0,
  flags: 0,
};

function deviceOf(renderer: MemoryRenderer = new MemoryRenderer()): VirtioGpuDeviceOptions {
  return {
    outputs: [{ width: 64, height: 48 }],
    blob: true,
    random: new SeededRandom(3),
    renderer,
    hostVisibleBytes: WINDOW_BYTES,
  };
}

async function start(gpu: BenchOptions["gpu"] = {}): Promise<DriverBench> {
  return DriverBench.start({ device: deviceOf(), gpu });
}

async function contextOf(bench: DriverBench, name: string = "glxgears"): Promise<RenderContext> {
  return bench.run(bench.gpu.rendering.createContext({ name, holder: name }));
}

async function blobOf(bench: DriverBench, context: RenderContext): Promise<RenderResource> {
  const blob = bench.gpu.rendering.createHostBlob(context, {
    byteLength: 8192,
    blobId: 1,
    flags: BlobFlag.USE_MAPPABLE,
    blobMemory: BlobMemory.HOST3D,
  });
  return bench.run(blob);
}

describe("host-visible blobs over a sleep", () => {
  async function lostBlob() {
    const bench = await start({ policy: "lose" });
    const context = await contextOf(bench);
    const blob = await blobOf(bench, context);
    await bench.run(blob.map());
    blob.access((view) => view.fill(7));
    const since = bench.host.commands.count;
    await bench.hibernate();
    return { bench, context, blob, since };
  }

  it("R-20 (a) a lost blob says so, and every use of it fails", async () => {
    const { bench, blob } = await lostBlob();
    expect(blob.lost?.code).toBe("ENOTRECOVERABLE");
    await expect(blob.map()).rejects.toMatchObject({ code: "ENOTRECOVERABLE" });
    bench.expectNoErrors();
  });

  it("R-20 (b) its mapping is revoked", async () => {
    const { blob } = await lostBlob();
    expect(() => blob.access(() => {})).toThrow(expect.objectContaining({ code: "ENOTRECOVERABLE" }));
  });

  it("R-20 (c) its range of the window is free again", async () => {
    const { bench } = await lostBlob();
    const context = await contextOf(bench, "next");
    const blobs = [];
    for (let index = 0; index < WINDOW_BYTES / 8192; index += 1) {
      const blob = await blobOf(bench, context);
      await bench.run(blob.map());
      blobs.push(blob);
    }
    await expect(bench.run((await blobOf(bench, context)).map())).rejects.toMatchObject({ code: "ENOMEM" });
    blobs[3]?.destroy();
    await bench.machine.clock.advance(10);
    await bench.run((await blobOf(bench, context)).map());
    bench.expectNoErrors();
  });

  it("R-20 (d) no UNREF of a lost blob is sent, neither by the restore nor when it is destroyed", async () => {
    const { bench, blob, since } = await lostBlob();
    blob.destroy();
    await bench.machine.clock.advance(10);
    const unrefs = bench.host.commands.log(since).filter(({ type, resourceId }) => {
      return type === GpuCommand.RESOURCE_UNREF && resourceId === blob.id;
    });
    expect(unrefs).toEqual([]);
    bench.expectNoErrors();
  });

  it("R-21 HOST3D_GUEST blobs are unrecoverable although they have guest memory's commands", async () => {
    const bench = await start();
    const context = await contextOf(bench);
    const { rendering } = bench.gpu;
    await bench.run(
      rendering.createHostBlob(context, { byteLength: 4096, blobId: 2, flags: 0, blobMemory: BlobMemory.HOST3D_GUEST }),
    );
    await expect(bench.freeze()).rejects.toMatchObject({ code: "EPERM" });
    const plain = await DriverBench.start({ device: { blob: true } });
    await plain.show(0, 64, 48, { storage: "blob" });
    expect(await plain.hibernate()).toMatchObject({ lost: [] });
  });
});

describe("contexts and capability sets over a sleep", () => {
  it("R-23 (a) an unused context comes back; a used one is lost with a defined error", async () => {
    const bench = await start({ policy: "lose" });
    const unused = await contextOf(bench, "unused");
    const used = await contextOf(bench, "used");
    await bench.run(used.submit(COMMANDS));
    await bench.hibernate();
    expect(unused.lost).toBeNull();
    await bench.run((await bench.run(unused.submit(COMMANDS))).wait());
    expect(used.lost?.code).toBe("ENOTRECOVERABLE");
    await expect(used.submit(COMMANDS)).rejects.toMatchObject({ code: "ENOTRECOVERABLE" });
    bench.expectNoErrors();
  });
});

describe("capability sets over a sleep", () => {
  it("R-23 (b) are read again and compared; a change is told", async () => {
    const bench = await start();
    const [known] = await bench.run(bench.gpu.rendering.capsets());
    expect(known).toBeDefined();
    const told: unknown[] = [];
    bench.gpu.rendering.onCapsets((capsets) => told.push(capsets.map(({ id }) => id)));
    await bench.hibernate();
    await bench.machine.clock.advance(10);
    expect(told).toEqual([]);
    await bench.freeze();
    bench.host.powerOn({ outputs: [{ width: 64, height: 48 }], blob: true });
    await bench.restore();
    await bench.machine.clock.advance(10);
    expect(told).toEqual([[]]);
    expect(bench.gpu.rendering.isOffered).toBe(false);
    bench.expectNoErrors();
  });
});

describe("the veto is by use", () => {
  it("R-24 (a) a device that could do 3D and does not may sleep; one that does may not", async () => {
    const bench = await start();
    expect(bench.gpu.rendering.isOffered).toBe(true);
    await bench.run(bench.gpu.power.notify("HIBERNATION_PREPARE"));
    await bench.hibernate();
    await bench.run(bench.gpu.power.notify("POST_HIBERNATION"));
    const context = await contextOf(bench);
    await bench.run(bench.gpu.power.notify("HIBERNATION_PREPARE"));
    await bench.run(bench.gpu.power.notify("POST_HIBERNATION"));
    await bench.run(bench.gpu.rendering.createResource(context, PARAMETERS));
    await expect(bench.run(bench.gpu.power.notify("HIBERNATION_PREPARE"))).rejects.toMatchObject({ code: "EPERM" });
    bench.expectNoErrors();
  });

  it("R-24 (a) VIRTIO_F_SUSPEND is no word of the platform's, which may reset the device in S3; No_Soft_Reset is", async () => {
    const trusting = await DriverBench.start({ device: deviceOf(), transport: "pci", pci: { noSoftReset: true } });
    const wary = await start();
    for (const bench of [trusting, wary]) {
      expect(bench.gpu.hasFeature(VirtioFeature.SUSPEND)).toBe(true);
      const context = await contextOf(bench);
      const resource = await bench.run(bench.gpu.rendering.createResource(context, PARAMETERS));
      const { power } = bench.gpu;
      if (bench === wary) {
        await expect(bench.run(power.notify("SUSPEND_PREPARE"))).rejects.toMatchObject({ code: "EPERM" });
        await expect(bench.freeze("SUSPEND")).rejects.toMatchObject({ code: "EPERM" });
        expect([bench.gpu.state, resource.lost]).toEqual(["running", null]);
        resource.destroy();
      }
      await bench.run(power.notify("SUSPEND_PREPARE"));
      await bench.freeze("SUSPEND");
      expect(bench.host.machinery.status & DeviceStatus.SUSPEND).not.toBe(0);
      bench.host.wakeFromS3();
      expect(await bench.restore("RESUME")).toMatchObject({ lost: [] });
      await bench.run(power.notify("POST_SUSPEND"));
      bench.expectNoErrors();
    }
  });

  it("R-24 (c) with the policy lose and VIRTIO_F_SUSPEND nothing is lost that the host still has at the wake", async () => {
    for (const isReset of [false, true]) {
      const bench = await start({ policy: "lose" });
      const resource = await bench.run(bench.gpu.rendering.createResource(await contextOf(bench), PARAMETERS));
      await bench.run(bench.gpu.power.notify("SUSPEND_PREPARE"));
      await bench.freeze("SUSPEND");
      if (isReset) bench.host.wakeFromS3();
      const { lost } = await bench.restore("RESUME");
      expect(lost.map(({ object }) => object)).toEqual(isReset ? [`resource ${resource.id}`] : []);
      expect(resource.lost?.code).toBe(isReset ? "ENOTRECOVERABLE" : undefined);
    }
  });

  it("R-24 (b) the veto names what is in the way and who holds it", async () => {
    const bench = await start();
    const context = await contextOf(bench, "blender");
    const resource = await bench.run(bench.gpu.rendering.createResource(context, PARAMETERS, { holder: "pid 42" }));
    const veto = bench.run(bench.gpu.power.notify("HIBERNATION_PREPARE"));
    await expect(veto).rejects.toMatchObject({ code: "EPERM", holders: ["pid 42"] });
    await expect(veto).rejects.toThrow(new RegExp(`gpu0: .*resource ${resource.id}.*pid 42`));
    // The gate is open again: a veto leaves nothing behind.
    await bench.run(bench.gpu.rendering.createResource(context, PARAMETERS));
    resource.destroy();
    bench.expectNoErrors();
  });

  it("R-24 (c) with the policy lose the sleep goes on, and users get a typed error", async () => {
    const bench = await start({ policy: "lose" });
    const lost: number[] = [];
    bench.gpu.onLost((id) => lost.push(id));
    const resource = await bench.run(bench.gpu.rendering.createResource(await contextOf(bench), PARAMETERS));
    await bench.run(bench.gpu.power.notify("HIBERNATION_PREPARE"));
    const refused = bench.gpu.rendering.createContext().then((context) => context.submit(COMMANDS));
    await expect(bench.run(refused)).rejects.toMatchObject({ code: "EBUSY" });
    const report = await bench.hibernate();
    expect(report.lost.map(({ object }) => object)).toContain(`resource ${resource.id}`);
    expect(lost).toContain(resource.id);
    expect(resource.lost?.code).toBe("ENOTRECOVERABLE");
    bench.expectNoErrors();
  });

  it("R-24 (b) names the context's holder where a resource has none of its own", async () => {
    const bench = await start();
    const context = await bench.run(bench.gpu.rendering.createContext({ name: "glxgears", holder: "pid 7" }));
    expect(context.holder).toBe("pid 7");
    await bench.run(bench.gpu.rendering.createResource(context, PARAMETERS));
    await blobOf(bench, context);
    const veto = bench.run(bench.gpu.power.notify("HIBERNATION_PREPARE"));
    await expect(veto).rejects.toMatchObject({ code: "EPERM", holders: ["pid 7"] });
  });

  it("R-24 (c) an aborted sleep has lost nothing yet", async () => {
    const bench = await start({ policy: "lose" });
    const context = await contextOf(bench);
    const resource = await bench.run(bench.gpu.rendering.createResource(context, PARAMETERS));
    await bench.buffer(16, 16);
    bench.host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, effect: { kind: "hang" } });
    await expect(bench.freeze()).rejects.toMatchObject({ code: "ETIMEDOUT" });
    bench.host.resume();
    await bench.machine.clock.advance(20_000);
    expect(resource.lost).toBeNull();
    expect(bench.gpu.state).toBe("running");
  });

  it("R-24 (d) with the policy wait the sleep waits for the last one to go, up to a deadline", async () => {
    const bench = await start({ policy: "wait", deadlines: { policyMs: 2000 } });
    const context = await contextOf(bench);
    const resource = await bench.run(bench.gpu.rendering.createResource(context, PARAMETERS));
    let isPrepared = false;
    const prepared = bench.gpu.power.notify("HIBERNATION_PREPARE").then(() => (isPrepared = true));
    await bench.machine.clock.advance(500);
    expect(isPrepared).toBe(false);
    resource.destroy();
    await bench.run(prepared);
    // What would be unrecoverable waits until the system is awake again.
    let isMade = false;
    const made = bench.gpu.rendering.createResource(context, PARAMETERS).then(() => (isMade = true));
    await bench.hibernate();
    expect(isMade).toBe(false);
    await bench.run(bench.gpu.power.notify("POST_HIBERNATION"));
    await bench.run(made);
    const late = bench.gpu.power.notify("HIBERNATION_PREPARE");
    await expect(bench.run(late)).rejects.toMatchObject({ code: "EPERM" });
    bench.expectNoErrors();
  });
});

describe("fences over a sleep", () => {
  it("R-25 (a) fences are signalled before the sleep, or fail: nobody waits for ever", async () => {
    const bench = await start({ policy: "lose" });
    const context = await contextOf(bench);
    const before = await bench.run(context.submit(COMMANDS));
    await bench.freeze();
    expect(before.state).toBe("signaled");
    bench.replaceHost();
    await bench.restore();
    // One that the host never answers, and then dies with.
    bench.host.commands.inject({ at: 1, effect: { kind: "hang" } });
    const stuck = bench.gpu.fence();
    const waiting = stuck.wait();
    waiting.catch(() => {});
    bench.host.kill();
    await bench.machine.clock.advance(30_000);
    await expect(waiting).rejects.toMatchObject({ code: expect.stringMatching(/ESTALE|ENODEV|ETIMEDOUT/) });
    expect(stuck.state).toBe("failed");
  });

  it("R-25 (b) fence ids rise over every sleep, also into a new process", async () => {
    const bench = await start();
    const ids = [bench.gpu.fence().id];
    await bench.hibernate();
    ids.push(bench.gpu.fence().id);
    await bench.freeze();
    expect(bench.gpu.save().nextFenceId).toBeGreaterThan(ids[1] ?? 0);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  });

  it("R-25 (c) a reply with a fence of an older life is no answer", async () => {
    const bench = await start();
    const old = bench.gpu.fence();
    await bench.run(old.wait());
    await bench.hibernate();
    bench.host.commands.inject({ at: 1, effect: { kind: "lie", header: { fenceLow: old.id } } });
    const fence = bench.gpu.fence();
    await expect(bench.run(fence.wait())).rejects.toMatchObject({ code: "EPROTO" });
    await bench.run(bench.gpu.fence().wait());
  });
});

describe("UUIDs over a sleep", () => {
  it("R-22 (a) R-22 (b) a UUID is assigned again, and importers are told of the new one", async () => {
    const bench = await start();
    const buffer = await bench.buffer(16, 16);
    const first = await bench.run(buffer.uuid());
    const told: string[] = [];
    bench.gpu.onUuid((id, uuid) => told.push(`${id} ${Buffer.from(uuid).toString("hex")}`));
    await bench.hibernate();
    const second = await bench.run(buffer.uuid());
    expect(Buffer.compare(first, second)).not.toBe(0);
    expect(told).toEqual([`${buffer.id} ${Buffer.from(second).toString("hex")}`]);
    const onHost = bench.host.device.save().resources.find(({ id }) => id === buffer.id)?.uuid;
    expect(Buffer.from(onHost ?? []).toString("hex")).toBe(Buffer.from(second).toString("hex"));
    bench.expectNoErrors();
  });

  it("R-22 (c) another device finds the buffer by the UUID that it was told after the resume", async () => {
    const bench = await start();
    const buffer = await bench.buffer(16, 16);
    // What a virtio importer keeps: the exporter's resource by UUID.
    const importer = new Map<string, number>();
    const hex = (uuid: Uint8Array): string => Buffer.from(uuid).toString("hex");
    importer.set(hex(await bench.run(buffer.uuid())), buffer.id);
    bench.gpu.onUuid((id, uuid) => {
      for (const [known, held] of importer) if (held === id) importer.delete(known);
      importer.set(hex(uuid), id);
    });
    await bench.hibernate();
    const known = bench.host.device
      .save()
      .resources.flatMap(({ id, uuid }) => (uuid === null ? [] : [[hex(uuid), id]]));
    expect([...importer]).toEqual(known);
  });
});
