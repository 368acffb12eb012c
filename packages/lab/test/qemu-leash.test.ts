/**
 * No QEMU, no file is left behind, however the process that started it ends.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { QemuProcess } from "../src/hosts/qemu/qemu-process.ts";
import { QtestChannel } from "../src/hosts/qemu/qtest-channel.ts";

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
  const giveUpAt = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error("it did not come to pass");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

it("a stopped QEMU leaves neither process nor folder", async () => {
  const channel = new QtestChannel();
  const qemu = await QemuProcess.start({ args: ["-machine", "q35", "-m", "16M"], ramFd: null, channel });
  const { folder } = qemu;
  expect(existsSync(folder)).toBe(true);
  expect(processesOf(folder).length).toBeGreaterThanOrEqual(2);
  await qemu.kill();
  expect(existsSync(folder)).toBe(false);
  await until(() => processesOf(folder).length === 0);
});

it("QEMU and its folder are gone after a SIGKILL of the process that started it", async () => {
  const program = fileURLToPath(new URL("./support/start-qemu.ts", import.meta.url));
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", program], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const folder = await new Promise<string>((resolve) => {
    createInterface({ input: child.stdout }).once("line", resolve);
  });
  expect(existsSync(folder)).toBe(true);
  expect(processesOf(folder).length).toBeGreaterThanOrEqual(2);
  child.kill("SIGKILL");
  await until(() => !existsSync(folder) && processesOf(folder).length === 0);
});
