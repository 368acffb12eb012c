/**
 * A restore in a new process, by hand: the first process draws, freezes, writes its memory and `gpu.save()` to a folder,
 * and ends; the second one loads both, restores on a host that knows nothing, and goes on with its buffer by name.
 * examples/hibernate.ts shows the same under a system's sleep code.
 *
 *     npx tsx examples/cold-restore.ts
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VirtioGpu } from "@virtgpu/core/driver";
import { drawDesktop } from "./support/desktop.ts";
import { createMachine, type Machine } from "./support/machine.ts";

/** Names what output 0 shows. */
function picture({ device }: Machine): string {
  const shot = device.screenshot(0);
  return shot === null ? "dark" : createHash("sha256").update(shot.rgba).digest("hex").slice(0, 16);
}

async function first(folder: string): Promise<void> {
  const machine = createMachine();
  const gpu = await VirtioGpu.probe(machine.driver);
  const desktop = await gpu.createBuffer({ width: 640, height: 400, key: "desktop" });
  drawDesktop(desktop);
  await gpu.output(0).show(desktop);
  console.log(`process ${process.pid} shows ${picture(machine)}`);
  await gpu.power.freeze("FREEZE");
  // From here to the end of the process nothing changes memory: this is the snapshot point.
  writeFileSync(join(folder, "memory"), machine.ram);
  writeFileSync(join(folder, "gpu.json"), JSON.stringify(gpu.save()));
}

async function second(folder: string): Promise<void> {
  const machine = createMachine(new Uint8Array(readFileSync(join(folder, "memory"))));
  const gpu = VirtioGpu.load(machine.driver, JSON.parse(readFileSync(join(folder, "gpu.json"), "utf8")));
  const { picture: lit, complete } = gpu.power.restore("RESTORE");
  await lit;
  console.log(`process ${process.pid} shows ${picture(machine)}`);
  const { restored, lost } = await complete;
  console.log(`restored ${restored}, lost ${lost.length}, waiting for adoption: ${gpu.unclaimed.join(", ")}`);
  const desktop = gpu.adopt("desktop");
  drawDesktop(desktop);
  await desktop.flush();
  console.log(`"${desktop.key}" is buffer ${desktop.id} as before, and can be drawn to`);
  await gpu.remove();
}

const [role, given = ""] = process.argv.slice(2);
if (role === "first") await first(given);
else if (role === "second") await second(given);
else {
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-cold-"));
  const again = [...process.execArgv, fileURLToPath(import.meta.url)];
  for (const part of ["first", "second"]) {
    const { status } = spawnSync(process.execPath, [...again, part, folder], { stdio: "inherit" });
    if (status !== 0) process.exitCode = 1;
  }
  rmSync(folder, { recursive: true, force: true });
}
