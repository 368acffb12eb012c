import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AcceleratorChoice, chooseAccelerator, probeAccelerator } from "./accelerator.ts";

const BOOT = { release: "6.1", kernel: "/none", initramfs: "/none", root: "/none", app: "/none" };
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-accelerator-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A QEMU that answers to QMP, and whose machine says one line on its console where KVM is asked for. */
function fakeQemu(says: string): string {
  const path = join(folder, "qemu");
  const program = `#!${process.execPath}
const { Socket } = require("node:net");
const isKvm = process.argv[process.argv.indexOf("-accel") + 1] === "kvm" && process.argv.includes("host");
if (!isKvm) { console.error("only KVM was to be tried"); process.exit(1); }
const qmp = new Socket({ fd: 3 });
qmp.write('{"QMP": {"version": {}, "capabilities": []}}\\n');
qmp.on("data", (text) => qmp.write(JSON.stringify({ return: {}, id: JSON.parse(text).id }) + "\\n"));
new Socket({ fd: 4 }).write(${JSON.stringify(`${says}\r\n`)});
${says === "" ? "setTimeout(() => process.exit(1), 50);" : "setInterval(() => {}, 1000);"}
`;
  writeFileSync(path, program, { mode: 0o755 });
  return path;
}

describe("KVM", () => {
  it("is not chosen where its device is not there", async () => {
    expect(await probeAccelerator("no-such-qemu", "q35", BOOT, "/none/kvm")).toEqual({
      accelerator: "tcg",
      reason: "there is no /none/kvm that we may use",
    });
  });

  it("is not chosen for its device alone: a machine has to boot with it", async () => {
    expect(await probeAccelerator("no-such-qemu", "q35", BOOT, "/dev/null")).toEqual({
      accelerator: "tcg",
      reason: expect.stringMatching(/^a machine did not boot with KVM: .*no-such-qemu/),
    });
    expect(await probeAccelerator(fakeQemu(""), "q35", BOOT, "/dev/null")).toEqual({
      accelerator: "tcg",
      reason: expect.stringMatching(
        /^a machine did not boot with KVM: .*the machine ended before its agent answered \(exit code 1\)/,
      ),
    });
  });

  it("is chosen where a machine has come to its agent with it", async () => {
    const qemu = fakeQemu("virtgpu-init: starting the agent");
    expect(await probeAccelerator(qemu, "q35", BOOT, "/dev/null")).toEqual({
      accelerator: "kvm",
      reason: "a machine booted with it",
    });
  });
});

describe("an accelerator", () => {
  const good = async (): Promise<AcceleratorChoice> => ({ accelerator: "kvm", reason: "a machine booted with it" });
  const bad = async (): Promise<AcceleratorChoice> => ({ accelerator: "tcg", reason: "there is no /dev/kvm" });
  const never = async (): Promise<AcceleratorChoice> => Promise.reject(new Error("nobody asked for KVM"));

  it("is software emulation unless another is asked for, and KVM only where it is good", async () => {
    expect(await chooseAccelerator("tcg", never)).toMatchObject({ accelerator: "tcg" });
    expect(await chooseAccelerator("auto", bad)).toEqual({ accelerator: "tcg", reason: "there is no /dev/kvm" });
    expect(await chooseAccelerator("auto", good)).toMatchObject({ accelerator: "kvm" });
    expect(await chooseAccelerator("kvm", good)).toMatchObject({ accelerator: "kvm" });
  });

  it("is refused in a sentence where it was to be KVM alone", async () => {
    await expect(chooseAccelerator("kvm", bad)).rejects.toMatchObject({
      code: "ENODEV",
      message: expect.stringMatching(
        /^KVM can't be used here: there is no \/dev\/kvm; --accel auto goes on without it/,
      ),
    });
  });
});
