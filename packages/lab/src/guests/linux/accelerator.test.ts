import { expect, it } from "vitest";
import { probeAccelerator } from "./accelerator.ts";

const BOOT = { release: "6.1", kernel: "/none", initramfs: "/none", root: "/none", app: "/none" };

it("KVM is not chosen where its device is not there", async () => {
  expect(await probeAccelerator("no-such-qemu", "q35", BOOT, "/none/kvm")).toEqual({
    accelerator: "tcg",
    reason: "there is no /none/kvm that we may use",
  });
});

it("KVM is not chosen for its device alone: a machine has to boot with it", async () => {
  expect(await probeAccelerator("no-such-qemu", "q35", BOOT, "/dev/null")).toEqual({
    accelerator: "tcg",
    reason: expect.stringMatching(/^a machine did not boot with KVM: .*no-such-qemu/),
  });
});
