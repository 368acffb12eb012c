/**
 * Whether the guest's instructions may be left to KVM. That /dev/kvm is there says little: inside other virtual machines it
 * may run a kernel at a crawl, or not at all. So a kernel is booted with it once, with a limit on time.
 */
import { accessSync, constants } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import { INIT_SAYS } from "./init-script.ts";
import type { Accelerator, BootFiles } from "./linux-vm.ts";
import { QemuLinuxVm } from "./qemu-linux-vm.ts";

const KVM_DEVICE = "/dev/kvm";
/** Software emulation needs two to four seconds; what needs more under KVM is no gain. */
const PROBE_DEADLINE_MS = 15_000;

/** What was found out, and why. */
export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  readonly reason: string;
}

/** What somebody asks for: one of them, or KVM where it is good. */
export type AcceleratorWish = Accelerator | "auto";

/** Software emulation unless KVM was asked for, and found good by `probe`. Throws GpuError ENODEV where KVM alone will do. */
export async function chooseAccelerator(
  wish: AcceleratorWish,
  probe: () => Promise<AcceleratorChoice>,
): Promise<AcceleratorChoice> {
  if (wish === "tcg") return { accelerator: "tcg", reason: "software emulation, as KVM was not asked for" };
  const found = await probe();
  if (wish === "kvm" && found.accelerator !== "kvm") {
    throw new GpuError("ENODEV", `KVM can't be used here: ${found.reason}; --accel auto goes on without it`);
  }
  return found;
}

/** "kvm" only when a machine has booted with it in good time. Never throws. */
export async function probeAccelerator(
  qemu: string,
  machine: string,
  boot: BootFiles,
  device: string = KVM_DEVICE,
): Promise<AcceleratorChoice> {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
  } catch {
    return { accelerator: "tcg", reason: `there is no ${device} that we may use` };
  }
  const vm = new QemuLinuxVm({
    qemu,
    machine,
    devices: [],
    memory: 256,
    boot,
    commandLine: [],
    extra: [],
    swap: 0,
    agent: [],
    accelerator: "kvm",
    deadlineMs: PROBE_DEADLINE_MS,
  });
  try {
    // The agent has no GPU to drive here; that it is started will do.
    await Promise.race([vm.boot(), vm.said(`${INIT_SAYS} starting`, PROBE_DEADLINE_MS)]);
    return { accelerator: "kvm", reason: "a machine booted with it" };
  } catch (error) {
    const [why = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return {
      accelerator: "tcg",
      reason: `a machine did not boot with KVM: ${why.replace(/; the console's last lines:$/, "")}`,
    };
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}
