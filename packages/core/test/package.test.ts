/**
 * The package as others get it: packed, installed into an empty project without a network, imported by plain Node,
 * compiled against by a strict consumer, and looked over by publint. It is built afresh in a temporary folder, so that
 * nothing depends on what a build left behind in the tree.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const core = join(root, "packages/core");
const compiler = join(root, "node_modules/typescript/bin/tsc");
const manifest: { name: string; exports: Record<string, unknown> } = JSON.parse(
  readFileSync(join(core, "package.json"), "utf8"),
);
const entries = Object.keys(manifest.exports).map((path) => manifest.name + path.slice(1));

/** A device, a driver, and a sleep, in plain JavaScript. */
const PROGRAM = `
import { VirtioGpuDevice } from "@virtgpu/core/device";
import { VirtioGpu } from "@virtgpu/core/driver";
import { GuestRam, PhysicalDmaMap, RamPageAllocator } from "@virtgpu/core/memory";
import { LoopbackTransport, VirtioDevice } from "@virtgpu/core/virtio";
const memory = GuestRam.of(4 << 20);
const device = new VirtioGpuDevice();
const transport = new LoopbackTransport(new VirtioDevice({ model: device, memory, label: "gpu0" }));
const allocator = new RamPageAllocator(memory, { address: 4096, byteLength: 3 << 20 });
const after = (ms, call) => clearTimeout.bind(null, setTimeout(call, ms));
const clock = { nowMs: () => performance.now(), after, defer: queueMicrotask };
const gpu = await VirtioGpu.probe({ transport, clock, allocator, dma: new PhysicalDmaMap(allocator) });
const buffer = await gpu.createBuffer({ width: 64, height: 64 });
buffer.map((pixels) => pixels.fill(0x80));
await gpu.output(0).show(buffer);
await gpu.power.freeze("FREEZE");
if (device.usage.resources !== 0) throw new Error("the host still holds something");
await gpu.power.restore("RESTORE").picture;
if (device.screenshot(0)?.rgba[0] !== 0x80) throw new Error("the picture is lost");
await gpu.remove();
if (allocator.allocatedBytes !== 0) throw new Error("memory is left");
`;

/** A program's exit code and all it printed. */
function run(
  command: string,
  args: readonly string[],
  cwd: string,
): { readonly code: number; readonly output: string } {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", env: environment() });
  return { code: result.status ?? 1, output: `${result.stdout}${result.stderr}` };
}

/** An npm that has nothing to fall back on: an empty cache, and none of this run's npm settings. */
let cacheFolder = "";
function environment(): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([key]) => !key.toLowerCase().startsWith("npm_"));
  return { ...Object.fromEntries(inherited), npm_config_cache: cacheFolder, npm_config_update_notifier: "false" };
}

describe("the packed package", () => {
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-package-"));
  const project = join(folder, "project");
  const installed = join(project, "node_modules", manifest.name);
  const built = { code: 1, output: "" };

  beforeAll(() => {
    cacheFolder = join(folder, "npm-cache");
    const source = join(folder, "core");
    const packed = ["package.json", "README.md", "LICENSE", "src"];
    for (const name of packed) cpSync(join(core, name), join(source, name), { recursive: true });
    const output = ["--outDir", join(source, "dist"), "--tsBuildInfoFile", join(source, "dist/.tsbuildinfo")];
    Object.assign(built, run(process.execPath, [compiler, "-p", core, ...output], root));
    execFileSync("npm", ["pack", "--ignore-scripts", "--silent"], { cwd: source, env: environment() });
    const tarball = readdirSync(source).find((name) => name.endsWith(".tgz")) ?? "none.tgz";
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
    const install = ["install", "--offline", "--silent", "--no-audit", "--no-fund", join(source, tarball)];
    execFileSync("npm", install, { cwd: project, env: environment() });
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("compiles from its sources alone", () => {
    expect(built).toEqual({ code: 0, output: "" });
  });

  it("brings no dependency along", () => {
    expect(readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith("."))).toEqual(["@virtgpu"]);
  });

  it("holds no tests and no build records", () => {
    const files = readdirSync(installed, { recursive: true, encoding: "utf8" });
    expect(files.filter((name) => /\.test\.|tsbuildinfo/.test(name))).toEqual([]);
    expect(files).toEqual(expect.arrayContaining(["README.md", "LICENSE", "dist/index.js", "dist/index.d.ts"]));
  });

  it.each(entries)("%s is imported by plain Node and exports something", (entry) => {
    const program = `const m = await import("${entry}"); if (Object.keys(m).length === 0) throw new Error("empty");`;
    expect(run(process.execPath, ["--input-type=module", "--eval", program], project)).toEqual({ code: 0, output: "" });
  });

  it("shows a picture, and shows it again on a host that has forgotten it", () => {
    expect(run(process.execPath, ["--input-type=module", "--eval", PROGRAM], project)).toEqual({ code: 0, output: "" });
  });

  it("gives a strict consumer its types, without Node's", () => {
    const lines = entries.map((entry, index) => `import * as m${index} from "${entry}";\nexport { m${index} };\n`);
    writeFileSync(join(project, "consumer.ts"), lines.join(""));
    const options = {
      strict: true,
      module: "NodeNext",
      target: "ES2022",
      lib: ["ES2023", "ESNext.Disposable"],
      types: [],
    };
    writeFileSync(
      join(project, "tsconfig.json"),
      JSON.stringify({ compilerOptions: { ...options, noEmit: true, skipLibCheck: false }, files: ["consumer.ts"] }),
    );
    expect(run(process.execPath, [compiler, "-p", project], project)).toEqual({ code: 0, output: "" });
  });

  it("pleases publint", () => {
    const publint = join(root, "node_modules/publint/src/cli.js");
    const { code, output } = run(process.execPath, [publint, "run", installed, "--strict", "--pack", "false"], root);
    expect(output).toContain("All good!");
    expect(code).toBe(0);
  });
});
