/**
 * A hibernation from end to end, over two processes. The first draws a scene with every recoverable kind of object, is
 * vetoed while something that can't be brought back is in use, then freezes, writes its memory and its desired state to a
 * folder, and is gone: device and all. The second gets that folder and nothing else, and restores on a host that knows
 * nothing. The supervisor, which kept only hashes, compares.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GpuError } from "@virtgpu/core/base";
import { VirtioGpu } from "@virtgpu/core/driver";
import { drawCursor, drawDesktop, drawRings } from "./support/desktop.ts";
import { createMachine, type Machine } from "./support/machine.ts";
import { encodePng } from "./support/png.ts";

const HIDDEN = 12;

/** Hashes of what there is to lose. */
type Inventory = Readonly<Record<string, string>>;

const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, 16);
const say = (sentence: string): void => console.log(`  ${sentence}`);

/** What the host holds: pictures on the outputs, the cursor, and each resource's pixels. Writes the pictures to `report`. */
function inventory({ device }: Machine, report: string, when: string): Inventory {
  const entries: [string, string][] = [];
  for (const output of [0, 1]) {
    const shot = device.screenshot(output);
    if (shot === null) continue;
    writeFileSync(join(report, `${when}-${output}.png`), encodePng(shot.width, shot.height, shot.rgba));
    entries.push([`output ${output}`, hash(shot.rgba)]);
  }
  const { resources, cursors } = device.save();
  const [cursor] = cursors;
  if (cursor !== undefined) entries.push(["cursor", `${hash(cursor.rgba)} at ${cursor.x},${cursor.y}`]);
  for (const { id, kind, pixels } of resources)
    entries.push([`${kind} ${id}`, pixels === null ? "guest memory" : hash(pixels)]);
  return Object.fromEntries(entries.sort(([a], [b]) => a.localeCompare(b)));
}

/** The first process: draws, and hibernates. */
async function before(folder: string, report: string): Promise<void> {
  const machine = createMachine();
  const gpu = await VirtioGpu.probe(machine.driver);
  const desktop = await gpu.createBuffer({ width: 640, height: 400, key: "desktop" });
  drawDesktop(desktop);
  await gpu.output(0).show(desktop);
  const rings = await gpu.createBuffer({ width: 400, height: 300, key: "rings", storage: "blob" });
  drawRings(rings, 3);
  await gpu.output(1).show(rings);
  const arrow = await gpu.createBuffer({ width: 64, height: 64, format: 1, key: "arrow" });
  drawCursor(arrow);
  await gpu.output(0).cursor.set(arrow);
  await gpu.output(0).cursor.move(320, 180);
  for (let index = 0; index < HIDDEN; index += 1) {
    const hidden = await gpu.createBuffer({ width: 64, height: 64, key: `hidden ${index}` });
    drawRings(hidden, index);
    await hidden.flush();
    if (index % 4 === 0) await hidden.detach();
  }
  say(`drawn: two outputs, a cursor, ${HIDDEN} off-screen buffers`);
  const game = await gpu.rendering.createContext({ name: "a game" });
  await game.submit(Uint8Array.of(0, 0, 0, 0));
  try {
    await gpu.power.notify("HIBERNATION_PREPARE");
    throw new Error("the veto did not come");
  } catch (error) {
    if (!(error instanceof GpuError) || error.code !== "EPERM") throw error;
    say(`vetoed: ${error.message}`);
  }
  game.destroy();
  await gpu.power.notify("HIBERNATION_PREPARE");
  say("notifier: nothing stands in the way any more");
  const kept = inventory(machine, report, "before");
  await gpu.power.freeze("FREEZE");
  say(`frozen: the host holds ${machine.device.usage.resources} resources, the device is reset`);
  writeFileSync(join(folder, "ram"), machine.ram);
  writeFileSync(join(folder, "driver.json"), JSON.stringify(gpu.save()));
  writeFileSync(join(report, "before.json"), JSON.stringify(kept));
  say(`image written: ${machine.ram.length >> 20} MiB of memory and the desired state`);
}

/** The second process: restores on a host that knows nothing. */
async function after(folder: string, report: string): Promise<void> {
  const machine = createMachine(new Uint8Array(readFileSync(join(folder, "ram"))));
  const gpu = VirtioGpu.load(machine.driver, JSON.parse(readFileSync(join(folder, "driver.json"), "utf8")));
  const start = performance.now();
  const { picture, complete } = gpu.power.restore("RESTORE");
  await picture;
  say(`picture back after ${(performance.now() - start).toFixed(1)} ms`);
  const { restored, lost, outputs } = await complete;
  say(
    `complete after ${(performance.now() - start).toFixed(1)} ms: ${restored} objects, ${outputs} outputs, ${lost.length} lost`,
  );
  await gpu.power.notify("POST_HIBERNATION");
  say(
    `adopted by name: ${[gpu.adopt("desktop"), gpu.adopt("rings"), gpu.adopt("arrow")].map(({ key }) => key).join(", ")}`,
  );
  writeFileSync(join(report, "after.json"), JSON.stringify(inventory(machine, report, "after")));
}

/** The supervisor: two processes, and the comparison. */
function supervise(): number {
  const report = join(process.cwd(), "report");
  mkdirSync(report, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-hibernate-"));
  try {
    for (const [role, title] of [
      ["before", "before the sleep"],
      ["after", "after it, in a new process, on a new host"],
    ]) {
      console.log(title);
      const self = fileURLToPath(import.meta.url);
      const args = [...process.execArgv, self, role ?? "", folder, report];
      const { status } = spawnSync(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] });
      if (status !== 0) return 3;
    }
    return compare(report);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function compare(report: string): number {
  const read = (when: string): Inventory => JSON.parse(readFileSync(join(report, `${when}.json`), "utf8"));
  const [kept, found] = [read("before"), read("after")];
  const names = [...new Set([...Object.keys(kept), ...Object.keys(found)])];
  const lost = names.filter((name) => kept[name] !== found[name]);
  console.log("compared");
  for (const name of names) say(`${lost.includes(name) ? "LOST" : "same"}  ${name.padEnd(14)} ${kept[name] ?? "-"}`);
  say(`pictures: ${["before-0", "after-0", "before-1", "after-1"].map((name) => `report/${name}.png`).join(", ")}`);
  const isWhole = lost.length === 0 && names.length > HIDDEN;
  console.log(isWhole ? `nothing lost: ${names.length} of ${names.length} the same` : `LOST: ${lost.join(", ")}`);
  return isWhole ? 0 : 1;
}

const [role, folder = "", report = ""] = process.argv.slice(2);
if (role === "before") await before(folder, report);
else if (role === "after") await after(folder, report);
else process.exitCode = supervise();
