/**
 * One QEMU process of the Linux machine: it ends with its owner, and leaves nothing behind.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { VmProcess } from "../src/guests/linux/vm-process.ts";
import { QEMU_BINARY } from "../src/hosts/qemu/qemu-process.ts";
import { PAUSED } from "./support/start-vm-process.ts";

/** Processes whose command line names this folder: QEMU and its shell. */
function processesOf(folder: string): readonly string[] {
  return readdirSync("/proc").filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return readFileSync(`/proc/${entry}/cmdline`, "latin1").includes(folder);
    } catch {
      return false;
    }
  });
}

/** Looks again and again, for what another process does has no event here. */
async function until(condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error("it did not come to pass");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

it("a killed machine's process leaves neither process nor folder", async () => {
  const vm = await VmProcess.start({ qemu: QEMU_BINARY, args: PAUSED, swap: null });
  expect(processesOf(vm.folder).length).toBeGreaterThanOrEqual(2);
  expect(await vm.kill()).toMatchObject({ code: 137, signal: "SIGKILL" });
  expect(existsSync(vm.folder)).toBe(false);
  await until(() => processesOf(vm.folder).length === 0);
});

it("a machine's process and its files are gone after a SIGKILL of the process that started it", async () => {
  const program = fileURLToPath(new URL("./support/start-vm-process.ts", import.meta.url));
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", program], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const folder = await new Promise<string>((resolve) => {
    createInterface({ input: child.stdout }).once("line", resolve);
  });
  expect(processesOf(folder).length).toBeGreaterThanOrEqual(2);
  child.kill("SIGKILL");
  await until(() => !existsSync(folder) && processesOf(folder).length === 0);
});

it("a QEMU that refuses its arguments is told with its own words, and so is one that is not there", async () => {
  const refused = VmProcess.start({ qemu: QEMU_BINARY, args: [...PAUSED, "-device", "no-such-gpu"], swap: null });
  await expect(refused).rejects.toMatchObject({ code: "EINVAL", message: expect.stringContaining("no-such-gpu") });
  await expect(VmProcess.start({ qemu: "no-such-qemu", args: [], swap: null })).rejects.toMatchObject({
    code: "ENODEV",
    message: expect.stringContaining("apt-get install qemu-system-x86"),
  });
});
