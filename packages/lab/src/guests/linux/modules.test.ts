import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { collectModules, moduleNeeds } from "./modules.ts";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-modules-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function moduleBytes(name: string, needs: string): Buffer {
  return Buffer.from(`\x7fELF...\0license=GPL\0depends=${needs}\0name=${name}\0vermagic=6.1\0`);
}

function put(path: string, bytes: Buffer): void {
  mkdirSync(join(folder, "kernel/drivers"), { recursive: true });
  writeFileSync(join(folder, "kernel/drivers", path), bytes);
}

describe("kernel modules", () => {
  it("come in an order in which each finds what it needs", async () => {
    put("virtio_pci.ko", moduleBytes("virtio_pci", "virtio_ring,virtio"));
    put("virtio_ring.ko", moduleBytes("virtio_ring", "virtio"));
    put("virtio.ko", moduleBytes("virtio", ""));
    put("vfio-pci.ko", moduleBytes("vfio_pci", ""));
    const { modules, missing } = await collectModules(folder, ["virtio_pci", "virtio", "vfio_pci"]);
    expect(modules.map(({ name }) => name)).toEqual(["virtio", "virtio_ring", "virtio_pci", "vfio_pci"]);
    expect(missing).toEqual([]);
  });

  it("leave out what is built into the kernel, and tell what is nowhere", async () => {
    put("ext4.ko", moduleBytes("ext4", "jbd2"));
    writeFileSync(join(folder, "modules.builtin"), "kernel/fs/jbd2/jbd2.ko\nkernel/drivers/virtio/virtio-pci.ko\n");
    const { modules, missing } = await collectModules(folder, ["virtio_pci", "ext4", "nonesuch"]);
    expect(modules.map(({ name }) => name)).toEqual(["ext4"]);
    expect(missing).toEqual(["nonesuch"]);
  });

  it("are unpacked", async () => {
    const plain = moduleBytes("uio", "");
    put("uio.ko.xz", execFileSync("xz", ["-c"], { input: plain }));
    const { modules } = await collectModules(folder, ["uio"]);
    expect(modules[0]?.bytes).toEqual(plain);
  });

  it("that need what is not there are refused by name", async () => {
    put("virtio_gpu.ko", moduleBytes("virtio_gpu", "drm"));
    await expect(collectModules(folder, ["virtio_gpu"])).rejects.toThrow("virtio_gpu needs drm, which is not there");
  });

  it("that need each other come to an end", async () => {
    put("a.ko", moduleBytes("a", "b"));
    put("b.ko", moduleBytes("b", "a"));
    const { modules } = await collectModules(folder, ["a"]);
    expect(modules.map(({ name }) => name)).toEqual(["b", "a"]);
  });

  it("without a word of what they need, need nothing", () => {
    expect(moduleNeeds(Buffer.from("no module at all"))).toEqual([]);
  });
});
