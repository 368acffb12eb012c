/**
 * `virtgpu show` in a real Linux guest: two pictures, through a hibernation that nobody tells it of and one of its own making,
 * and the device given back.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildRouteMap } from "@stricli/core";
import { pattern } from "@virtgpu/linux/agent";
import { afterAll, describe, expect, it } from "vitest";
import { runApplication } from "../src/commands/run-application.ts";
import { showCommand } from "../src/commands/show.ts";
import { prepareBoot, USER_SPACE_MODULES } from "../src/guests/linux/boot-files.ts";
import { DEBIAN_KERNELS } from "../src/guests/linux/kernel.ts";
import { QemuLinuxVm } from "../src/guests/linux/qemu-linux-vm.ts";
import { QEMU_BINARY } from "../src/hosts/qemu/qemu-process.ts";
import { encodePng } from "../src/report/index.ts";

const DEADLINE_MS = 900_000;
const MODULES = fileURLToPath(new URL("../../../node_modules", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "virtgpu-show-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A package and all that it needs, as they are installed; of ours only what is built. */
function addPackage(name: string, target: string): void {
  const to = join(target, name);
  if (existsSync(to)) return;
  const from = join(MODULES, name);
  const { dependencies = {} } = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
  const isOurs = name === "virtgpu" || name.startsWith("@virtgpu/");
  for (const part of isOurs ? ["package.json", "dist"] : ["."]) {
    cpSync(join(from, part), join(to, part), { recursive: true, dereference: true });
  }
  for (const need of Object.keys(dependencies)) addPackage(need, target);
}

function rgbOf(seed: number, width: number, height: number): { width: number; height: number; rgb: Uint8Array } {
  const bgrx = pattern(seed, width, height);
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    for (let channel = 0; channel < 3; channel += 1) rgb[pixel * 3 + channel] = bgrx[pixel * 4 + 2 - channel] ?? 0;
  }
  return { width, height, rgb };
}

/** A folder with the agent, the command and two pictures. */
function makeAgent(): string {
  const agent = join(folder, "agent");
  mkdirSync(agent);
  cpSync(fileURLToPath(new URL("support/show-agent/agent.mjs", import.meta.url)), join(agent, "agent.mjs"));
  const packages = join(agent, "packages");
  for (const name of ["virtgpu", "@virtgpu/linux", "@koromix/koffi-linux-x64"]) addPackage(name, packages);
  // The first is larger than an output, the second smaller.
  writeFileSync(join(agent, "0.png"), encodePng(rgbOf(1, 1280, 800)));
  writeFileSync(join(agent, "1.png"), encodePng(rgbOf(2, 300, 200)));
  return agent;
}

describe("virtgpu show", () => {
  it(
    "shows two pictures through a hibernation that nobody told of, and one of its own, and gives the device back",
    async () => {
      const agent = { folder: makeAgent(), main: "agent.mjs" };
      const boot = await prepareBoot({ kernel: DEBIAN_KERNELS.cloud, modules: USER_SPACE_MODULES, agent });
      await using vm = new QemuLinuxVm({
        qemu: QEMU_BINARY,
        machine: "q35",
        devices: ["virtio-gpu-pci,max_outputs=2"],
        memory: 256,
        boot,
        commandLine: [],
        extra: [],
        swap: 512,
        agent: [],
      });
      await vm.boot();
      const owner = (await vm.call("hello", {})).way;
      expect(owner).toBe("virtio-pci");
      await vm.call("redraw", {});
      expect((await vm.call("hello", {})).way).toBe("uio_pci_generic");
      const shots = (): Promise<readonly unknown[]> => Promise.all([vm.screendump(0, 0), vm.screendump(0, 1)]);
      const before = await shots();
      expect(before[1]).toMatchObject({ width: 1024, height: 768 });
      // The second picture lies in the middle, as it is.
      const small = rgbOf(2, 300, 200);
      const { rgb } = await vm.screendump(0, 1);
      const at = ((284 + 10) * 1024 + 362) * 3;
      expect(Buffer.from(rgb.subarray(at, at + 900))).toEqual(Buffer.from(small.rgb.subarray(10 * 900, 11 * 900)));

      for (const way of ["s4-platform", "s4-shutdown"] as const) {
        const slept = vm.call("sleep", { way });
        const { code, events } = await vm.ended();
        expect([code, events.includes("SUSPEND_DISK")]).toEqual([0, way === "s4-platform"]);
        await vm.boot();
        const { problems } = await slept;
        const told = problems.some((line) => line.includes("nobody told"));
        expect(told).toBe(way === "s4-platform");
        expect(problems).toContainEqual(expect.stringMatching(/: 2 outputs and 2 objects are back$/));
        expect(await shots()).toEqual(before);
      }
      await vm.call("clear", {});
      expect((await vm.call("hello", {})).way).toBe(owner);
      expect(vm.errors).toEqual([]);
    },
    DEADLINE_MS,
  );

  it.each([
    [
      "a GPU that is not there",
      ["a.png", "--gpu", "0000:00:1f.7"],
      /no virtio GPU \(1af4:1050\) is at "0000:00:1f\.7"/,
      3,
    ],
    ["no picture", [], /PICTURE\.png/, 2],
    ["a picture that is none", ["nothing.png"], /nothing\.png can't be read: there is no such file/, 2],
    ["a way that there isn't", ["a.png", "--way", "magic"], /uio/, 2],
    ["a time that is none", ["a.png", "--seconds", "0"], /--seconds is a whole number/, 2],
  ])("refuses %s in one sentence", async (_, args, message, expected) => {
    writeFileSync(join(folder, "a.png"), encodePng(rgbOf(1, 16, 16)));
    let err = "";
    const stdout = { write: (): void => {} };
    const stderr = { write: (text: string): void => void (err += text) };
    const root = buildRouteMap({ routes: { show: showCommand }, docs: { brief: "for tests" } });
    const code = await runApplication(root, ["show", ...args], { process: { stdout, stderr }, folder });
    expect(err).toMatch(message);
    expect(err.trim().split("\n").length).toBeLessThan(3);
    expect(code).toBe(expected);
  });
});
