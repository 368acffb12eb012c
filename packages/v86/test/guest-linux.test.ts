/**
 * Debian's kernel for 32-bit PCs, booted in v86 on the device: its own virtio_gpu, text console, cursor, hotplug, and a
 * saved state in another process.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodePng } from "../../lab/src/report/png.ts";
import { GREETING } from "../../lab/src/guests/v86/index.ts";
import { TestMachine } from "./support/machine.ts";
import { differences } from "./support/text-screen.ts";

/** A boot takes 16 seconds on a machine that has nothing else to do. */
const BOOT_MS = 2_400_000;
const STEP_MS = 900_000;
const RESTORE_PROCESS = fileURLToPath(new URL("support/restore-process.ts", import.meta.url));

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot({ outputs: [{ width: 1024, height: 768 }, null], rescueStaleDrivers: true });
}, BOOT_MS);

afterAll(async () => {
  await machine?.stop();
});

/** The first text console, as the kernel has it, when the login stands there. */
async function consoleText(): Promise<string> {
  for (;;) {
    const text = await machine.run("cat /dev/vcs1");
    if (text.includes("login:")) return text;
    await machine.run("sleep 1");
  }
}

/** Where the PNG of the first output does not show the text. */
function wrongCells(text: string): readonly string[] {
  const shot = machine.gpu.screenshot(0);
  if (shot === null) return ["nothing is shown"];
  const { width, height, data } = decode(encodePng(shot));
  if (width !== 1024 || height !== 768) return [`${width}x${height}`];
  return differences({ width, height, rgba: data }, text);
}

function pixelAt(output: number, x: number, y: number): number[] {
  const shot = machine.gpu.screenshot(output);
  if (shot === null) return [];
  return [...shot.rgba.subarray((y * shot.width + x) * 4, (y * shot.width + x) * 4 + 3)];
}

/** What a program in the guest showed, until it said so; then ends it. */
async function during(command: string, answer: string, look: () => Promise<void>): Promise<void> {
  await machine.start(command, answer);
  try {
    await look();
  } finally {
    await machine.start("", "v86-guest# ");
  }
}

describe("Linux in v86", { timeout: STEP_MS }, () => {
  it("binds its virtio_gpu to the device, and reads the monitors' EDIDs", async () => {
    expect(await machine.run("ls /sys/bus/virtio/drivers/virtio_gpu")).toContain("virtio0");
    expect(await machine.run("cat /sys/class/drm/card0-Virtual-*/status")).toBe("connected\r\ndisconnected\r\n");
    expect(await machine.run("cat /sys/class/drm/card0-Virtual-1/modes")).toMatch(/^1024x768\r\n/);
    expect(await machine.run("od -A n -t x1 -N 8 /sys/class/drm/card0-Virtual-1/edid")).toContain(
      "00 ff ff ff ff ff ff 00",
    );
    expect(machine.problems).toEqual([]);
  });

  it("has a login on its text console, whose pixels reach a PNG", async () => {
    const text = await consoleText();
    expect(text).toContain(GREETING);
    // The kernel draws its console a moment after it has the text.
    for (let left = 20; left > 0 && wrongCells(text).length > 0; left -= 1) await machine.run("sleep 1");
    expect(wrongCells(text)).toEqual([]);
  });

  it("sets a cursor of 64 x 64 with its hot spot, and moves it", async () => {
    await during("kms cursor 100 120 3 4", "the cursor is there", async () => {
      const cursor = machine.gpu.device.save().cursors[0];
      expect(cursor).toMatchObject({ x: 105, y: 127, hotX: 3, hotY: 4, visible: true });
      const at = (x: number, y: number): number[] => [
        ...(cursor?.rgba.subarray((y * 64 + x) * 4, (y * 64 + x) * 4 + 4) ?? []),
      ];
      expect(at(10, 20)).toEqual([20, 10, 0x7f, 255]);
      expect(at(10, 40)).toEqual([40, 10, 0x7f, 128]);
      expect(at(40, 10)).toEqual([0, 0, 0, 0]);
    });
  });

  it("follows a monitor that asks for another size, and monitors that come and go", async () => {
    await during("kms follow", "output 0 shows 1024x768", async () => {
      machine.gpu.resize(0, 1280, 1024);
      await machine.heard("output 0 shows 1280x1024");
      expect(machine.gpu.screenshot(0)).toMatchObject({ width: 1280, height: 1024 });
      expect(pixelAt(0, 1279, 1023)).toEqual([0x40, 1023 & 255, 1279 & 255]);
      machine.gpu.setOutput(1, { width: 640, height: 480 });
      await machine.heard("output 1 shows 640x480");
      expect(pixelAt(1, 17, 300)).toEqual([0x41, 300 & 255, 17]);
      machine.gpu.setOutput(1, null);
      await machine.heard("output 1 is off");
      expect(machine.gpu.screenshot(1)).toBeNull();
      machine.gpu.resize(0, 1024, 768);
      await machine.heard("output 0 shows 1024x768", machine.output.lastIndexOf("output 1 is off"));
    });
  });

  it("has its text console follow a smaller size", async () => {
    machine.gpu.resize(0, 800, 600);
    while (machine.gpu.screenshot(0)?.width !== 800) await machine.run("sleep 1");
    machine.gpu.resize(0, 1024, 768);
    while (machine.gpu.screenshot(0)?.width !== 1024) await machine.run("sleep 1");
    expect(machine.problems).toEqual([]);
  });

  it("draws on after a sleep that resets the device under a driver which does not know of it", async () => {
    await machine.run("echo devices >/sys/power/pm_test; echo freeze >/sys/power/state; echo none >/sys/power/pm_test");
    const before = machine.gpu.screenshot(0);
    expect(before).not.toBeNull();
    await machine.run("echo after the sleep >/dev/tty1");
    expect(machine.gpu.screenshot(0)).not.toEqual(before);
    expect(await machine.run("kms flip 3")).toContain("3 in ");
    expect(machine.problems).toEqual([]);
  });

  it("goes on when a sink throws, and the embedder is told what", async () => {
    const fail = (): void => {
      throw new Error("no canvas any more");
    };
    machine.gpu.setSink({ scanout: fail, flush: fail, updateCursor: fail, moveCursor: fail, hideCursor: fail });
    expect(await machine.run("echo still here >/dev/tty1; echo alive")).toContain("alive");
    expect(machine.problems.splice(0).join()).toContain("no canvas any more");
    machine.gpu.setSink(null);
    expect(await machine.run("cat /dev/vcs1")).toContain("still here");
  });

  it("comes back in a new process from v86's saved state, with the same picture, and goes on", async () => {
    await machine.run("MARK=$$-remembered");
    const said = await machine.run('echo "$MARK"');
    const folder = mkdtempSync(join(tmpdir(), "virtgpu-v86-"));
    try {
      const path = join(folder, "state");
      await machine.emulator.stop();
      writeFileSync(path, new Uint8Array(await machine.emulator.save_state()));
      const picture = machine.gpu.screenshot(0)?.rgba ?? new Uint8Array(0);
      const restored = await restoreElsewhere(path);
      expect(restored).toMatchObject({ width: 1024, said, problems: [] });
      expect(restored["picture"]).toBe(createHash("sha256").update(picture).digest("hex"));
      expect(restored["after"]).not.toBe(restored["picture"]);
      expect(readFileSync(path).byteLength).toBeGreaterThan(1 << 20);
    } finally {
      rmSync(folder, { recursive: true, force: true });
      await machine.emulator.run();
    }
  });
});

/** Restores the machine in another process; what that says of it. */
async function restoreElsewhere(path: string): Promise<Record<string, unknown>> {
  const child: ChildProcess = spawn(process.execPath, ["--import", "tsx", RESTORE_PROCESS, path], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  let said = "";
  child.stdout?.on("data", (data: Buffer) => (said += data.toString("utf8")));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  if (code !== 0) throw new Error(`the process that restores ended with ${code}: ${said}`);
  const line = said.trim().split("\n").at(-1) ?? "";
  const told: Record<string, unknown> = JSON.parse(line);
  return told;
}
