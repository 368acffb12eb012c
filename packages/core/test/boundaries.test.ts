/**
 * The import boundaries hold: a tree with one violation of each rule is planted in a temporary folder, by relative path
 * and by package name, and dependency-cruiser, with the workspace's own configuration, refuses each of them.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Files that keep the rules: each layer imports the one below; a test, the lab and the core's tests reach for more. */
const lawful: Readonly<Record<string, string>> = {
  "packages/core/src/base/index.ts": "export const base = 1;\n",
  "packages/core/src/wire/index.ts": 'export { base } from "../base/index.ts";\n',
  "packages/core/src/memory/index.ts": 'export { base } from "../wire/index.ts";\n',
  "packages/core/src/virtio/index.ts": 'export { base } from "../memory/index.ts";\n',
  "packages/core/src/driver/index.ts": 'export { base } from "../virtio/index.ts";\n',
  "packages/core/src/device/index.ts": 'export { base } from "../virtio/index.ts";\n',
  "packages/core/src/sleep/index.ts": 'export { base } from "../driver/index.ts";\n',
  "packages/core/src/sim/index.ts": 'export { base } from "../device/index.ts";\n',
  "packages/core/src/index.ts": 'export { base } from "./driver/index.ts";\n',
  "packages/core/src/driver/lawful.test.ts":
    'import "node:fs";\nimport "../sim/index.ts";\nimport "@virtgpu/core/device";\n',
  "packages/lab/src/index.ts": 'import "node:fs";\nimport "@virtgpu/core/sim";\n',
};

interface Plant {
  readonly what: string;
  readonly file: string;
  readonly source: string;
  readonly rule: string;
}

const plants: readonly Plant[] = [
  upward("base", "wire"),
  upward("wire", "memory"),
  upward("memory", "virtio"),
  upward("virtio", "driver"),
  upward("virtio", "device"),
  upward("driver", "device"),
  upward("device", "driver"),
  upward("driver", "sleep"),
  upward("device", "sleep"),
  upward("sleep", "sim"),
  upward("driver", "sim"),
  {
    what: "a type-only import upwards",
    file: "packages/core/src/driver/planted-type.ts",
    source: 'import type { base } from "../device/index.ts";\nexport type Planted = typeof base;\n',
    rule: "core-driver-imports-down-only",
  },
  {
    what: "driver reaching for sim by package name",
    file: "packages/core/src/driver/planted-name.ts",
    source: 'import "@virtgpu/core/sim";\n',
    rule: "core-stands-alone",
  },
  {
    what: "device reaching for driver by package name",
    file: "packages/core/src/device/planted-name.ts",
    source: 'import "@virtgpu/core/driver";\n',
    rule: "core-stands-alone",
  },
  {
    what: "a Node module in the core",
    file: "packages/core/src/sleep/planted-node.ts",
    source: 'import "node:fs";\n',
    rule: "core-stands-alone",
  },
  {
    what: "a dependency in the core",
    file: "packages/core/src/sim/planted-dependency.ts",
    source: 'import "fast-check";\n',
    rule: "core-stands-alone",
  },
  {
    what: "the simulation in the core's main entry point",
    file: "packages/core/src/index.ts",
    source: 'export { base } from "./sim/index.ts";\n',
    rule: "core-index-without-sim",
  },
  {
    what: "a test imported by the product",
    file: "packages/core/src/driver/planted-test.ts",
    source: 'import "./lawful.test.ts";\n',
    rule: "no-test-in-product",
  },
  {
    what: "the lab reaching into the core's folder",
    file: "packages/lab/src/planted-path.ts",
    source: 'import "../../core/src/driver/index.ts";\n',
    rule: "packages-by-name",
  },
  {
    what: "the lab reaching into the core's build",
    file: "packages/lab/src/planted-build.ts",
    source: 'import "../../core/dist/driver/index.js";\n',
    rule: "packages-by-name",
  },
  {
    what: "another package using the simulation by name",
    file: "packages/studio/src/planted-sim.ts",
    source: 'import "@virtgpu/core/sim";\n',
    rule: "sim-only-for-tests-and-lab",
  },
];

function upward(from: string, to: string): Plant {
  return {
    what: `${from} importing ${to}`,
    file: `packages/core/src/${from}/planted-${to}.ts`,
    source: `import "../${to}/index.ts";\n`,
    rule: `core-${from}-imports-down-only`,
  };
}

function writeTree(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** A workspace in miniature: the core's manifest and a stand-in for its build, linked below node_modules as npm does. */
function writeWorkspace(folder: string): void {
  const layers = ["base", "wire", "memory", "virtio", "driver", "device", "sleep", "sim"];
  const exports = Object.fromEntries(layers.map((layer) => [`./${layer}`, { default: `./dist/${layer}/index.js` }]));
  writeTree(folder, {
    "packages/core/package.json": JSON.stringify({ name: "@virtgpu/core", type: "module", exports }),
    ...Object.fromEntries(layers.map((layer) => [`packages/core/dist/${layer}/index.js`, "export const base = 1;\n"])),
    "node_modules/fast-check/package.json": JSON.stringify({ name: "fast-check", main: "index.js" }),
    "node_modules/fast-check/index.js": "",
  });
  mkdirSync(join(folder, "node_modules/@virtgpu"), { recursive: true });
  symlinkSync(join(folder, "packages/core"), join(folder, "node_modules/@virtgpu/core"));
}

interface Violation {
  readonly from: string;
  readonly rule: { readonly name: string };
}

/** What dependency-cruiser says about the tree in `folder`, under the workspace's configuration. */
function cruise(folder: string): readonly Violation[] {
  const program = join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
  const config = join(root, ".dependency-cruiser.mjs");
  const args = [program, "--config", config, "--output-type", "json", "packages"];
  const output = execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8", maxBuffer: 1 << 26 });
  const report: { summary: { violations: Violation[] } } = JSON.parse(output);
  return report.summary.violations;
}

describe("import boundaries", () => {
  const folders: string[] = [];
  let violations: readonly Violation[] = [];

  function plantedTree(extra: readonly Plant[]): string {
    const folder = mkdtempSync(join(tmpdir(), "virtgpu-boundaries-"));
    folders.push(folder);
    writeWorkspace(folder);
    writeTree(folder, lawful);
    writeTree(folder, Object.fromEntries(extra.map((plant) => [plant.file, plant.source])));
    return folder;
  }

  beforeAll(() => {
    violations = cruise(plantedTree(plants));
  });

  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  it("lets a lawful tree pass", () => {
    expect(cruise(plantedTree([]))).toEqual([]);
  });

  it.each(plants)("refuses $what", ({ file, rule }) => {
    const found = violations.filter((violation) => violation.from === file).map((violation) => violation.rule.name);
    expect(found).toContain(rule);
  });

  it("refuses nothing but what was planted", () => {
    const planted = new Set(plants.map((plant) => plant.file));
    expect(violations.filter((violation) => !planted.has(violation.from))).toEqual([]);
  });
});
