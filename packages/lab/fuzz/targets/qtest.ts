import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { QtestChannel } from "../../src/hosts/qemu/qtest-channel.ts";
import type { FuzzTarget } from "../engine/program.ts";
import { refusing } from "./expected.ts";

let file = -1;

/** A descriptor that gives these bytes, then its end. The file behind it has no name. */
function saying(bytes: Uint8Array): number {
  if (file < 0) {
    const folder = mkdtempSync(join(tmpdir(), "virtgpu-fuzz-qtest-"));
    file = openSync(join(folder, "answers"), "w+", 0o600);
    rmSync(folder, { recursive: true });
  }
  ftruncateSync(file);
  writeSync(file, bytes, 0, bytes.length, 0);
  return openSync(`/proc/self/fd/${String(file)}`, "r");
}

export const target: FuzzTarget = {
  about: "what QEMU answers to lines of qtest",
  seeds: () =>
    ["OK\nOK 0x12\nOK 0xffff\nOK\nOK\nOK 4\n", "IRQ raise 3\nOK 0x7\nFAIL no\nOK\n", "OK\n".repeat(12)].map((text) =>
      new TextEncoder().encode(text),
    ),
  fuzz: (input) => {
    const channel = new QtestChannel({ label: "fuzzed", deadlineMs: 1 });
    const sink = openSync("/dev/null", "w");
    try {
      channel.attach(saying(input), sink);
    } catch (error) {
      closeSync(sink);
      throw error;
    }
    const uses = [
      () => channel.writeMemory(0x1000, 4, 7),
      () => channel.readMemory(0x1000, 1),
      () => channel.readPort(0x70, 2),
      () => channel.askAll(["clock_step 1", "read 0x0 0x4"]),
      () => channel.ask("irq_intercept_in ioapic"),
      () => channel.writePort(0x80, 1, 3),
      () => channel.drain(),
    ];
    for (const use of uses) refusing(use);
    channel.close("the run is over");
  },
};
