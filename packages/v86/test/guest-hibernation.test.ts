/**
 * Linux hibernates in v86, to a disk, and resumes in another machine. Its virtio_gpu (6.1) knows nothing of that: the
 * device is told to help.
 */
import { afterAll, describe, expect, it } from "vitest";
import type { V86Emulator } from "../src/index.ts";
import { TestMachine } from "./support/machine.ts";

/** Two boots, and an image. */
const DEADLINE_MS = 2_400_000;
const DISK_BYTES = 96 << 20;

const machines: TestMachine[] = [];

afterAll(async () => {
  for (const machine of machines) await machine.stop();
});

describe("a guest whose driver does not know of hibernation", () => {
  it(
    "comes back with its picture and goes on drawing, where stale drivers are rescued",
    async () => {
      const disk = new ArrayBuffer(DISK_BYTES);
      const machine = await TestMachine.boot({ disk, rescueStaleDrivers: true });
      machines.push(machine);
      // Without the console's cursor, which blinks.
      await machine.run("MARK=kept-$$; printf 'before the sleep\\033[?25l\\n' >/dev/tty1");
      const mark = await machine.run('echo "$MARK"');
      const before = machine.gpu.screenshot(0);
      const bus: V86Emulator = machine.emulator;
      const off = new Promise<void>((resolve) => bus.add_listener("cpu-event-halt", () => resolve()));
      machine.emulator.serial0_send("echo disk >/sys/power/state; echo woken\n");
      await off;
      const rescue = machine.gpu.save();
      expect(machine.problems).toEqual([]);
      await machine.stop();

      const resumed = await TestMachine.boot({ disk, rescueStaleDrivers: rescue, resumes: true });
      machines.push(resumed);
      await resumed.heard("woken\r\n");
      expect(resumed.gpu.screenshot(0)).toEqual(before);
      // The resumed shell may still print its prompt and what was typed.
      expect(await resumed.run('echo "$MARK"')).toContain(mark);
      await resumed.run("echo after the sleep >/dev/tty1");
      expect(resumed.gpu.screenshot(0)).not.toEqual(before);
      expect(await resumed.run("kms flip 10")).toContain("10 in ");
      expect(resumed.problems).toEqual([]);
    },
    DEADLINE_MS,
  );
});
