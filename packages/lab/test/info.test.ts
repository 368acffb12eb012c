/** What devices say of themselves. */
import { describe, expect, it } from "vitest";
import type { Hardware } from "../src/hosts/machine.ts";
import { type DeviceInfo, deviceInfo } from "../src/info/device-info.ts";
import { printInfo } from "../src/info/print-info.ts";
import { hardware, playground } from "./support/traced.ts";

async function ask(parts: Hardware): Promise<DeviceInfo> {
  const { gpu, allocator, dma, clock, host } = await playground(parts);
  try {
    const info = await deviceInfo({ host: host.label, transport: gpu.connect(), allocator, dma, clock });
    expect(
      host.errorLines.filter(
        (line) => !/resource creation failed|nr_entries is too big|invalid resource specified 999/.test(line),
      ),
    ).toEqual([]);
    return info;
  } finally {
    await host.stop();
  }
}

const answers = ({ behaviour }: DeviceInfo): Record<string, string> =>
  Object.fromEntries(behaviour.map(({ name, answer }) => [name, answer]));

const COMMON = {
  "memory entries of a resource": "16384 at most",
  "a flush of an unknown resource": "ERR_INVALID_RESOURCE_ID",
  "a fence on a command of 2D": "echoed",
};

describe("what a device says of itself", () => {
  it("is told of ours", async () => {
    const info = await ask(hardware("embedded"));
    expect(info.features).toEqual(expect.arrayContaining(["EDID", "RESOURCE_BLOB", "VERSION_1", "SUSPEND"]));
    expect(info.outputs).toMatchObject([
      { index: 0, enabled: true, width: 320, height: 200, monitor: { preferred: expect.stringContaining("320x200") } },
      { index: 1, enabled: true, width: 128, height: 96 },
    ]);
    expect(info.noSoftReset).toBe(false);
    expect(answers(info)).toEqual({
      ...COMMON,
      "resources over a reset of the device": "dropped",
      "largest image": "255 MiB",
    });
  });

  it("is told of one that keeps its resources", async () => {
    const info = await ask(hardware("embedded", "virtio-gpu-pci", { "keeps-resources": "on", "no-soft-reset": "on" }));
    expect(answers(info)).toMatchObject({ "resources over a reset of the device": "kept" });
    expect(info.noSoftReset).toBe(true);
    expect(printInfo(info)).toMatch(/No_Soft_Reset +yes/);
  });

  it("is told of a device on MMIO", async () => {
    const info = await ask(hardware("embedded", "virtio-gpu-device", { packed: "on" }));
    expect(info.noSoftReset).toBeNull();
    expect(info.features).toContain("RING_PACKED");
  });

  it("is told of a real QEMU's", async () => {
    const info = await ask(hardware("qemu"));
    expect(info.features).toEqual(expect.arrayContaining(["EDID", "VERSION_1", "INDIRECT_DESC"]));
    expect(info.features).not.toContain("RESOURCE_BLOB");
    expect(info.queues).toEqual([
      { name: "control", sizeMax: 64 },
      { name: "cursor", sizeMax: 16 },
    ]);
    expect(info.outputs[0]).toMatchObject({ enabled: true, monitor: { name: expect.any(String) } });
    expect(answers(info)).toMatchObject({ ...COMMON, "resources over a reset of the device": "dropped" });
    const text = printInfo(info);
    expect(text).toMatch(/^QEMU \d+\.\d+.*\n/);
    expect(text).toMatch(/output 0 +\d+x\d+, /);
  });
});
