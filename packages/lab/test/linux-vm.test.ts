/**
 * The lab's Linux machine in a real QEMU: a kernel of Debian's, our init and disks, and a small agent that stands in for the
 * real one. A boot takes a few seconds under software emulation.
 */
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { prepareBoot, USER_SPACE_MODULES } from "../src/guests/linux/boot-files.ts";
import { DEBIAN_KERNELS } from "../src/guests/linux/kernel.ts";
import type { LinuxVmOptions } from "../src/guests/linux/linux-vm.ts";
import { QemuLinuxVm } from "../src/guests/linux/qemu-linux-vm.ts";
import { QEMU_BINARY } from "../src/hosts/qemu/qemu-process.ts";

const AGENT = { folder: fileURLToPath(new URL("support/linux-agent", import.meta.url)), main: "agent.mjs" };
const DEADLINE_MS = 600_000;

const machines: QemuLinuxVm[] = [];

async function machine(options: Partial<LinuxVmOptions> = {}): Promise<QemuLinuxVm> {
  const boot = await prepareBoot({ kernel: DEBIAN_KERNELS.cloud, modules: USER_SPACE_MODULES, agent: AGENT });
  const vm = new QemuLinuxVm({
    qemu: QEMU_BINARY,
    machine: "q35",
    devices: ["virtio-gpu-pci,max_outputs=2"],
    memory: 256,
    boot,
    commandLine: [],
    extra: [],
    swap: 512,
    agent: ["--driver", "virtgpu"],
    ...options,
  });
  machines.push(vm);
  return vm;
}

afterEach(async () => {
  for (const vm of machines.splice(0)) await vm[Symbol.asyncDispose]();
});

describe("a Linux machine", () => {
  it(
    "sleeps to its disk, and the same process wakes in another QEMU",
    async () => {
      const vm = await machine();
      await vm.boot();
      const before = await vm.call("hello", {});
      const slept = vm.call("sleep", { way: "s4-platform" });
      const end = await vm.ended();
      expect(end).toMatchObject({ code: 0, signal: null });
      expect(end.events).toContain("SUSPEND_DISK");
      await expect(vm.screendump(0, 0)).rejects.toThrow("the machine does not run");

      await vm.boot();
      expect(await slept).toMatchObject({ error: null });
      expect(await vm.call("hello", {})).toEqual(before);
      expect(vm.console).toContain("virtgpu-init: swap signature: S1SUSPEND");
      expect(await vm.screendump(0, 1)).toMatchObject({ width: 640, height: 480 });
    },
    DEADLINE_MS,
  );
});
