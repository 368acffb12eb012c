/**
 * Our driver on a real QEMU, through real sleeps: the process killed, S4, S3, reboot, device reset, through each
 * transport. Screen dumps before and after are compared byte for byte, and QEMU has not one guest error to report.
 */
import { GpuError } from "@virtgpu/core/base";
import { afterEach, describe, expect, it } from "vitest";
import { QemuBench, type QemuBenchOptions, expectPicture } from "./support/qemu-bench.ts";

const benches: QemuBench[] = [];

async function start(options: QemuBenchOptions = {}): Promise<QemuBench> {
  const bench = await QemuBench.start(options);
  benches.push(bench);
  return bench;
}

afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

/** Two outputs, off-screen buffers, a cursor. */
async function scene(bench: QemuBench) {
  const { gpu } = bench;
  const left = await bench.show(0, 640, 480);
  const right = await bench.show(1, 320, 200);
  const hidden = [];
  for (let index = 0; index < 8; index += 1) {
    const buffer = await gpu.createBuffer({ width: 64, height: 64 });
    buffer.write(0, new Uint8Array(64 * 64 * 4).fill(index + 1));
    await buffer.flush();
    hidden.push(buffer);
  }
  const [cursor] = hidden;
  if (cursor === undefined) throw new Error("no cursor");
  await gpu.output(0).cursor.set(cursor, { x: 3, y: 4 });
  await gpu.output(0).cursor.move(100, 50);
  return { left, right, hidden };
}

type Scene = Awaited<ReturnType<typeof scene>>;

async function expectScene(bench: QemuBench, { left, right, hidden }: Scene): Promise<void> {
  expectPicture(await bench.host.screendump(0), left);
  expectPicture(await bench.host.screendump(1), right);
  const [, other] = hidden;
  if (other === undefined) throw new Error("nothing off-screen");
  await bench.gpu.output(1).show(other);
  expectPicture(await bench.host.screendump(1), other);
  await bench.gpu.output(1).show(right);
  expect(bench.host.errorLines).toEqual([]);
}

const machines: readonly (readonly [string, QemuBenchOptions])[] = [
  ["PCI", { devices: [{ outputs: 2 }] }],
  ["the PCI configuration window", { devices: [{ outputs: 2 }], window: "pci-cfg" }],
  ["packed rings", { devices: [{ outputs: 2, properties: { packed: "on" } }] }],
  ["virtio-vga", { devices: [{ outputs: 2, model: "virtio-vga" }] }],
  ["a root port", { devices: [{ outputs: 2, rootPort: true }] }],
  ["MMIO", { devices: [{ outputs: 2 }], machine: "microvm" }],
  ["the machine pc", { devices: [{ outputs: 2 }], machine: "pc" }],
];

describe("the driver on a real QEMU", () => {
  it.each(machines)("brings every picture back after QEMU was killed and started afresh: %s", async (_, options) => {
    const bench = await start(options);
    const drawn = await scene(bench);
    await expectScene(bench, drawn);
    await bench.freeze();
    await bench.host.kill();
    await bench.host.restart();
    const report = await bench.restore();
    expect(report).toEqual({ restored: 10, outputs: 2, lost: [] });
    await expectScene(bench, drawn);
  });

  it("comes back also when QEMU died without a freeze", async () => {
    const bench = await start({ devices: [{ outputs: 2 }] });
    const drawn = await scene(bench);
    await bench.host.kill();
    await expect(bench.gpu.createBuffer({ width: 64, height: 64 })).rejects.toThrow(GpuError);
    expect(bench.gpu.state).toBe("lost");
    await bench.host.restart();
    expect(await bench.restore()).toMatchObject({ outputs: 2, lost: [] });
    await expectScene(bench, drawn);
  });

  const sleeps: readonly (readonly [string, (bench: QemuBench) => Promise<void>])[] = [
    ["a real S4", async (bench) => bench.host.s4().then(() => bench.host.restart())],
    ["a real S3", async (bench) => bench.host.s3()],
    ["a reboot", async (bench) => bench.host.systemReset()],
  ];

  it.each(sleeps)("brings every picture back after %s", async (_, sleep) => {
    const bench = await start({ devices: [{ outputs: 2 }] });
    const drawn = await scene(bench);
    for (let round = 0; round < 3; round += 1) {
      await bench.freeze(round === 0 ? "FREEZE" : "SUSPEND");
      await sleep(bench);
      expect(await bench.restore()).toMatchObject({ outputs: 2, lost: [] });
      await expectScene(bench, drawn);
    }
  });

  it("serves two GPUs that sleep together", async () => {
    const bench = await start({ devices: [{ outputs: 1 }, { outputs: 1 }] });
    const [one, two] = bench.gpus;
    if (one === undefined || two === undefined) throw new Error("two GPUs");
    const first = await bench.show(0, 320, 200, one);
    const second = await bench.show(0, 200, 320, two);
    await bench.freeze();
    await bench.host.restart();
    await bench.restore();
    expectPicture(await bench.host.screendump(0, "gpu0"), first);
    expectPicture(await bench.host.screendump(0, "gpu1"), second);
    expect(bench.host.errorLines).toEqual([]);
  });
});
