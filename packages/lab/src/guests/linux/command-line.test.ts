import { describe, expect, it } from "vitest";
import { UsageError } from "../../usage-error.ts";
import { headsOf, qemuArguments } from "./command-line.ts";
import type { LinuxVmOptions } from "./linux-vm.ts";

const OPTIONS: LinuxVmOptions = {
  qemu: "qemu-system-x86_64",
  machine: "q35",
  devices: ["virtio-gpu-pci,max_outputs=2", "virtio-vga"],
  memory: 256,
  boot: { release: "6.1", kernel: "/k", initramfs: "/i", root: "/a,b.ext4", app: "/app.ext4" },
  commandLine: ["intel_iommu=on"],
  extra: ["-device", "intel-iommu"],
  swap: 512,
  agent: ["--driver", "kernel"],
};

function valuesOf(args: readonly string[], flag: string): string[] {
  return args.flatMap((argument, index) => (argument === flag ? [args[index + 1] ?? ""] : []));
}

describe("QEMU's command line for a Linux machine", () => {
  it("has the IOMMU before the GPUs, and the disks where no GPU gets in their way", () => {
    const devices = valuesOf(qemuArguments(OPTIONS), "-device");
    expect(devices.slice(0, 3)).toEqual(["intel-iommu", "virtio-gpu-pci,max_outputs=2,id=gpu0", "virtio-vga,id=gpu1"]);
    expect(devices.slice(3)).toEqual(
      ["swap,serial=swap,addr=10", "root,serial=root,addr=11", "app,serial=app,addr=12"].map(
        (disk) => `virtio-blk-pci,drive=${disk}`,
      ),
    );
  });

  it("gives the agent its own words, behind the kernel's", () => {
    const [words = ""] = valuesOf(qemuArguments(OPTIONS), "-append");
    expect(words).toMatch(/^console=ttyS0 .* intel_iommu=on -- --driver kernel$/);
  });

  it("is emulated without cmpxchg16b, and has no swap disk where none is wanted", () => {
    const args = qemuArguments({ ...OPTIONS, swap: 0 });
    expect(valuesOf(args, "-cpu")).toEqual(["qemu64,-cx16"]);
    expect(args.join(" ")).not.toContain("fdset");
  });

  it("has its memory from a memfd where a GPU offers blobs of it", () => {
    const args = qemuArguments({ ...OPTIONS, devices: ["virtio-gpu-pci,blob=on"] });
    expect(valuesOf(args, "-object")).toEqual(["memory-backend-memfd,id=memory,size=256M,share=on"]);
    expect(valuesOf(args, "-machine")).toEqual(["q35,memory-backend=memory"]);
    expect(valuesOf(qemuArguments(OPTIONS), "-object")).toEqual([]);
  });

  it("writes a comma in a path twice, and lets nothing write to the disks that all share", () => {
    const [, root, app] = valuesOf(qemuArguments(OPTIONS), "-drive");
    expect(root).toMatch(/^file=\/a,,b\.ext4,.*readonly=on$/);
    expect(app).toMatch(/readonly=on$/);
  });

  it("has a VNC server for each output where they are wanted", () => {
    expect(valuesOf(qemuArguments({ ...OPTIONS, rfb: true }), "-vnc")).toEqual([
      "unix:{folder}/gpu0-0.vnc,display=gpu0,head=0",
      "unix:{folder}/gpu0-1.vnc,display=gpu0,head=1",
      "unix:{folder}/gpu1-0.vnc,display=gpu1,head=0",
    ]);
    expect(headsOf("virtio-gpu-pci,max_outputs=99")).toBe(16);
  });

  it("refuses words that would become others, or other options", () => {
    for (const word of ["a b", 'a"b', "a\nb", ""]) {
      expect(() => qemuArguments({ ...OPTIONS, agent: [word] })).toThrow(UsageError);
    }
  });
});
