/**
 * A hibernation from end to end, over two processes: `virtgpu hibernate` in few lines. The first process draws two outputs, a
 * cursor and buffers off screen. Its sleep is vetoed while something that can't be brought back is in use; then it goes
 * through the phases of Linux's hibernate(), writes memory and desired state to a folder, and is gone, device and all.
 * The second process gets that folder and nothing else, and restores on a host that knows nothing. The supervisor, which
 * kept only hashes and pictures, compares. Exit code 0: nothing was lost.
 *
 *     npx tsx examples/hibernate.ts
 */
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Tracer } from "@virtgpu/core/base";
import { type GpuBuffer, VirtioGpu } from "@virtgpu/core/driver";
import { idlePlatform, type SleepPlatform, SystemSleep } from "@virtgpu/core/sleep";
import { drawCursor, drawDesktop, drawRings } from "./support/desktop.ts";
import { compareInventories, readInventory, takeInventory } from "./support/inventory.ts";
import { clock, createMachine, type Machine } from "./support/machine.ts";

const HIDDEN = 12;
const CHUNK_BYTES = 8 << 20;
const STEPS = new Set(["snapshot", "write-image", "power-off"]);

const say = (sentence: string): void => console.log(`  ${sentence}`);

/** Prints what is done to the GPU and the steps of the machine that matter, as they end. */
const phases: Tracer = {
  enabled: true,
  trace: (event) => {
    if (event.kind !== "phase" || event.state === "begin") return;
    if (event.device === "system" && !STEPS.has(event.phase)) return;
    say(`${event.state === "end" ? "done" : "FAIL"}  ${event.device.padEnd(6)}  ${event.phase}`);
  },
};

/** Two outputs, a cursor, buffers off screen, some of them detached. */
async function drawScene(gpu: VirtioGpu): Promise<readonly GpuBuffer[]> {
  const desktop = await gpu.createBuffer({ width: 640, height: 400, key: "desktop" });
  drawDesktop(desktop);
  await gpu.output(0).show(desktop);
  const rings = await gpu.createBuffer({ width: 400, height: 300, key: "rings", storage: "blob" });
  drawRings(rings, 3);
  await gpu.output(1).show(rings);
  const arrow = await gpu.createBuffer({ width: 64, height: 64, format: 1, key: "arrow" });
  drawCursor(arrow);
  await gpu.output(0).cursor.set(arrow);
  await gpu.output(0).cursor.move(400, 180);
  const buffers = [desktop, rings, arrow];
  for (let index = 0; index < HIDDEN; index += 1) {
    const hidden = await gpu.createBuffer({ width: 64, height: 64, key: `hidden ${index}` });
    drawRings(hidden, index);
    await hidden.flush();
    if (index % 4 === 0) await hidden.detach();
    buffers.push(hidden);
  }
  say(`drawn: two outputs, a cursor, ${HIDDEN} buffers off screen`);
  return buffers;
}

/** A machine whose image is a folder: memory, and the driver's desired state, as they are at the snapshot point. */
function imageInto(folder: string, machine: Machine, gpu: VirtioGpu): SleepPlatform {
  const image = { ram: new Uint8Array(0), state: "" };
  return {
    ...idlePlatform,
    snapshot: async () => {
      image.ram = machine.ram.slice();
      image.state = JSON.stringify(gpu.save());
      return "snapshotted";
    },
    writeImage: async () => {
      writeFileSync(join(folder, "driver.json"), image.state);
      const file = openSync(join(folder, "ram"), "w");
      for (let at = 0; at < image.ram.length; at += CHUNK_BYTES) {
        writeSync(file, image.ram.subarray(at, at + CHUNK_BYTES));
        const done = Math.min(at + CHUNK_BYTES, image.ram.length);
        say(
          `      image   ${String(Math.round((100 * done) / image.ram.length)).padStart(3)} % of ${image.ram.length >> 20} MiB`,
        );
      }
      closeSync(file);
    },
  };
}

/** The first process: draws, and hibernates. */
async function before(folder: string, report: string): Promise<boolean> {
  const machine = createMachine();
  const gpu = await VirtioGpu.probe(machine.driver);
  const sleep = new SystemSleep({ platform: imageInto(folder, machine, gpu), clock, tracer: phases });
  gpu.register(sleep);
  const buffers = await drawScene(gpu);

  console.log("hibernate, while a game renders on the host's GPU");
  const game = await gpu.rendering.createContext({ name: "a game" });
  await game.submit(Uint8Array.of(0, 0, 0, 0));
  const vetoed = await sleep.hibernate({ mode: "platform" });
  say(`${vetoed.outcome}: ${vetoed.failures[0]?.error.message}`);
  game.destroy();

  console.log("hibernate, now that the game has ended");
  writeFileSync(join(report, "before.json"), JSON.stringify(takeInventory(machine, buffers, report, "before")));
  const { outcome, failures } = await sleep.hibernate({ mode: "platform" });
  for (const { device, error } of failures) say(`${device}: ${error.message}`);
  say(`the machine is ${outcome}; the host holds ${machine.device.usage.resources} resources`);
  return vetoed.outcome === "aborted" && outcome === "off";
}

/** The second process: restores on a host that knows nothing. */
async function after(folder: string, report: string): Promise<boolean> {
  const machine = createMachine(new Uint8Array(readFileSync(join(folder, "ram"))));
  const gpu = VirtioGpu.load(machine.driver, JSON.parse(readFileSync(join(folder, "driver.json"), "utf8")));
  const sleep = new SystemSleep({ platform: idlePlatform, clock, tracer: phases });
  gpu.register(sleep);
  say(`a new host: it holds ${machine.device.usage.resources} resources`);
  const start = performance.now();
  const { outcome, complete } = await sleep.continueFromImage();
  const shownMs = performance.now() - start;
  const [gpu0] = await complete;
  const { restored = 0, outputs = 0, lost = [] } = gpu0?.report ?? {};
  say(
    `${outcome}: pictures after ${shownMs.toFixed(0)} ms; ${restored} objects, ${outputs} outputs, ${lost.length} lost`,
  );
  const buffers = gpu.unclaimed.map((key) => gpu.adopt(key));
  writeFileSync(join(report, "after.json"), JSON.stringify(takeInventory(machine, buffers, report, "after")));
  await gpu.remove();
  return outcome === "resumed" && lost.length === 0;
}

/** The supervisor: two processes, and the comparison. */
function supervise(): number {
  const report = join(process.cwd(), "report");
  mkdirSync(report, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-hibernate-"));
  try {
    for (const [role, title] of [
      ["before", "a machine, and its desktop"],
      ["after", "a new process, with nothing but the image"],
    ]) {
      console.log(title);
      const args = [...process.execArgv, fileURLToPath(import.meta.url), role ?? "", folder, report];
      const { status } = spawnSync(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] });
      if (status !== 0) return 3;
    }
    console.log("compared, before and after (pictures are in report/)");
    const [kept, found] = [join(report, "before.json"), join(report, "after.json")].map(readInventory);
    return compareInventories(kept ?? {}, found ?? {}) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [role, folder = "", report = ""] = process.argv.slice(2);
if (role === "before") process.exitCode = (await before(folder, report)) ? 0 : 1;
else if (role === "after") process.exitCode = (await after(folder, report)) ? 0 : 1;
else process.exitCode = supervise();
