/** What `virtgpu linux` makes of what is typed. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildRouteMap } from "@stricli/core";
import { afterAll, describe, expect, it } from "vitest";
import { linuxCommand } from "../src/commands/linux.ts";
import { runApplication } from "../src/commands/run-application.ts";
import { writeLinuxReport } from "../src/report/write-linux-report.ts";
import { machineFor } from "../src/scenarios/linux/ways.ts";
import { deviceText, type LinuxSetup, ramFor, subjectName } from "../src/scenarios/linux/setup.ts";
import { neverGuest, sampleGuest } from "./support/linux-samples.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-linux-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const root = buildRouteMap({ routes: { linux: linuxCommand }, docs: { brief: "for tests" } });

async function virtgpu(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const collected = {
    stdout: { write: (text: string): void => void (out += text) },
    stderr: { write: (text: string): void => void (err += text) },
  };
  const code = await runApplication(root, ["linux", ...args], { process: collected, folder });
  return { code, out, err };
}

describe("virtgpu linux", () => {
  it.each([
    [["--sleep", "s5"], 'there is no way to sleep called "s5"; there are s4-platform, '],
    [["--case", "nothing"], 'there is no case called "nothing"; there are plain, '],
    [["--driver", "kernel", "--way", "vfio"], "--way and --memory are for --driver virtgpu"],
    [["--memory", "heap"], "--memory heap is for --way pci-cfg"],
    [["--remedy"], "--remedy is for --driver kernel"],
    [["--systemd"], "--systemd is for --driver kernel"],
    [["--driver", "kernel", "--systemd", "--sleep", "s2idle"], "systemd has no s2idle: --systemd takes s4-platform"],
    [["--modules", "x"], "--modules is for --kernel"],
    [["--kernel", "x"], "--kernel needs --modules"],
    [["--patch", "x"], "--patch is for --source"],
    [["--debian", "cloud", "--deb", "x"], "give one of --debian, --deb, --kernel and --source"],
    [["--case", "hung-host", "--driver", "kernel"], 'the case "hung-host" is for --driver virtgpu'],
    [["--device", "virtio-gpu-pci,id=x"], "the property id is set by this command"],
    [["--device", "virtio gpu"], "--device is TYPE,property=value"],
    [["--size", "8x8"], "--size is for example 1024x768"],
    [["--objects", "20000", "--gpus", "4", "--outputs", "16"], "so many pixels take more than 3 GiB"],
    [["--compare", "a"], "--compare takes two"],
    [["--compare", "nowhere", "virtgpu"], "nowhere/linux.json can't be read (ENOENT)"],
    [["--deb", "nowhere.deb"], "nowhere.deb"],
    [["--kernel", "nowhere", "--modules", "nowhere"], "there is no kernel"],
  ])("names the mistake in %j", async (args, sentence) => {
    const { code, err } = await virtgpu(...args);
    expect(err).toContain(sentence);
    expect(err).not.toMatch(/\n\s+at /);
    expect(code).toBe(2);
  });

  it("says 3 where there is no QEMU", async () => {
    const { code, err } = await virtgpu("--qemu", "/nowhere/qemu");
    expect(err).toMatch(/apt-get install qemu-system-x86/);
    expect(code).toBe(3);
  });

  it("puts two finished reports side by side", async () => {
    writeLinuxReport(join(folder, "one"), sampleGuest(), []);
    writeLinuxReport(join(folder, "two"), neverGuest(), []);
    const good = await virtgpu("--compare", "one", "two");
    expect(good).toMatchObject({ code: 0, out: expect.stringMatching(/our driver by uio, .* is better: came-back/) });
    expect((await virtgpu("--compare", "two", "--compare", "one", "--quiet")).code).toBe(1);
    const json = await virtgpu("--compare", "one", "one", "--json");
    expect(JSON.parse(json.out)).toMatchObject({ better: "both" });
  });
});

describe("the machine of a guest", () => {
  const setup: LinuxSetup = {
    driver: "virtgpu",
    way: "uio",
    memory: "hugepages",
    kernel: null,
    qemu: "qemu",
    machine: null,
    device: "virtio-gpu-pci",
    gpus: 1,
    outputs: 2,
    ram: null,
    systemd: false,
    chain: ["s4-platform"],
    sceneBytes: 8 << 20,
    objects: 24,
  };

  it("is q35, but where a sleep follows an S3", () => {
    expect(machineFor(["s4-platform", "s3"])).toBe("q35");
    expect(machineFor(["s3", "s4-platform"])).toBe("pc");
    expect(machineFor(["s3", "s2idle"])).toBe("pc");
    expect(machineFor(["s3"])).toBe("q35");
    expect(machineFor(["hybrid"])).toBe("q35");
    expect(machineFor(["hybrid", "s4-platform"])).toBe("pc");
  });

  it("has an IOMMU for vfio, and host memory for many objects", () => {
    expect(deviceText(setup)).toBe("virtio-gpu-pci,max_outputs=2");
    expect(deviceText({ ...setup, way: "vfio" })).toBe(
      "virtio-gpu-pci,max_outputs=2,iommu_platform=on,disable-legacy=on",
    );
    expect(deviceText({ ...setup, way: "vfio", device: "virtio-gpu-pci,iommu_platform=off" })).not.toContain(
      "iommu_platform=on",
    );
    expect(deviceText({ ...setup, sceneBytes: 640 * (1 << 20) })).toContain(",max_hostmem=832M");
  });

  it("has memory for kernel, scene and image, unless somebody says", () => {
    expect(ramFor(setup)).toBe(512);
    expect(ramFor({ ...setup, driver: "kernel" })).toBe(640);
    expect(ramFor({ ...setup, ram: 200 })).toBe(200);
  });

  it("is named for people", () => {
    expect(subjectName({ ...setup, way: "pci-cfg", memory: "heap" }, false)).toBe("our driver by pci-cfg, heap");
    expect(subjectName({ ...setup, driver: "kernel" }, true)).toBe("the kernel's driver, unbound for the sleep");
  });
});
