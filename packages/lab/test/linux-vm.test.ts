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

/** The stand-in answers two of its calls as an agent never would. */
async function whatAHostileGuestSays(vm: QemuLinuxVm): Promise<void> {
  await expect(vm.call("hashes", {})).rejects.toMatchObject({ code: "EPROTO" });
  await vm.call("clear", {});
  expect(vm.console.some((line) => line.includes("on the agent's port:") && line.includes("no JSON"))).toBe(true);
  await expect(vm.call("sleep", { way: "hybrid" })).rejects.toMatchObject({ code: "EIO" });
}

async function whatTheHostSees(vm: QemuLinuxVm): Promise<void> {
  expect(await vm.screendump(0, 1)).toMatchObject({ width: 640, height: 480 });
  expect(await vm.queue(0, 0)).toMatchObject({ size: 64, descriptors: 0 });
  const viewer = await vm.rfb(0, 1);
  await viewer.until(() => viewer.updates > 0, 60_000);
  expect(viewer.picture.width).toBe(640);
  viewer.close();
}

afterEach(async () => {
  for (const vm of machines.splice(0)) await vm[Symbol.asyncDispose]();
});

describe("a Linux machine", () => {
  it(
    "sleeps to its disk, and the same process wakes in another QEMU, but not in one that is otherwise",
    async () => {
      const vm = await machine({ rfb: true });
      await vm.boot();
      const before = await vm.call("hello", {});
      await whatAHostileGuestSays(vm);

      const slept = vm.call("sleep", { way: "s4-platform" });
      const end = await vm.ended();
      expect(end).toMatchObject({ code: 0, signal: null });
      expect(end.events).toContain("SUSPEND_DISK");
      await expect(vm.screendump(0, 0)).rejects.toThrow("the machine does not run");

      await vm.boot();
      expect(await slept).toMatchObject({ error: null });
      expect(await vm.call("hello", {})).toEqual(before);
      expect(vm.console).toContain("virtgpu-init: swap signature: S1SUSPEND");
      await whatTheHostSees(vm);

      vm.call("sleep", { way: "s4-platform" }).catch(() => {});
      await vm.ended();
      await expect(vm.boot({ memory: 192 })).rejects.toMatchObject({
        code: "ENODEV",
        message: expect.stringMatching(/did not take its image back.*mismatch: architecture[^]*switching off/),
      });
      expect(vm.errors).toEqual([]);
    },
    DEADLINE_MS,
  );

  it(
    "sleeps in its memory, tells its last lines when it does not answer, and can lose its power at any time",
    async () => {
      const vm = await machine({ swap: 0 });
      await vm.boot();
      await expect(vm.boot()).rejects.toMatchObject({ code: "EBUSY" });
      expect(await vm.call("sleep", { way: "s4-platform" })).toMatchObject({ error: "ENODEV" });
      const dozed = vm.call("sleep", { way: "s3" });
      await vm.event("SUSPEND");
      await vm.wake();
      expect(await dozed).toMatchObject({ error: null });
      expect(vm.events).not.toContain("SHUTDOWN");
      await expect(vm.ended(1)).rejects.toMatchObject({
        code: "ETIMEDOUT",
        message: expect.stringContaining("virtgpu-init: starting the agent"),
      });
      const hello = vm.call("hello", {});
      expect(await vm.cutPower()).toMatchObject({ signal: "SIGKILL" });
      await vm[Symbol.asyncDispose]();
      await hello.catch((error: unknown) => expect(error).toMatchObject({ code: "ENODEV" }));
      await expect(vm.boot()).rejects.toMatchObject({ code: "ENODEV" });
    },
    DEADLINE_MS,
  );

  it("is not made with words that its kernel would read otherwise", async () => {
    await expect(machine({ commandLine: ["quiet init=/bin/sh"] })).rejects.toThrow("can't have the word");
  });
});
