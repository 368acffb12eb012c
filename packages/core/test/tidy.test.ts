/** The house rules hold for the whole tree, and each of them catches a planted violation and lets the lawful twin pass. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { PackageFolder, Rule } from "../../../scripts/tidy.ts";
import { LINES_MAX, packageSkeleton, rules, tidyTree } from "../../../scripts/tidy.ts";

const source = "packages/core/src/driver/planted.ts";

/** A violation and what looks like it but is none. Marks are put together here, or this file would break its own rules. */
interface Planted {
  readonly rule: string;
  readonly path?: string;
  readonly bad: string;
  readonly good: string;
}

const planted: readonly Planted[] = [
  { rule: "fileLength", bad: "x\n".repeat(LINES_MAX + 1), good: "x\n".repeat(LINES_MAX) },
  { rule: "nothingUnfinished", bad: `// ${"TO"}${"DO"}: later\n`, good: "// done\n" },
  { rule: "nothingUnfinished", bad: `it.${"skip"}("x", () => {});\n`, good: 'it("skips rope", () => {});\n' },
  { rule: "nothingUnfinished", bad: `describe.${"only"}("x", () => {});\n`, good: "describe.each([1]);\n" },
  { rule: "noBannedGlobals", bad: "const t = Date.now();\n", good: "// Date.now() is banned\n" },
  { rule: "noBannedGlobals", bad: "const d = new Date();\n", good: "const d: UpToDate = 1;\n" },
  { rule: "noBannedGlobals", bad: "performance.now();\n", good: "const performance = 1;\n" },
  { rule: "noBannedGlobals", bad: "Math.random();\n", good: "Math.max(1, 2);\n" },
  { rule: "noBannedGlobals", bad: "setTimeout(f, 1);\n", good: "clock.setTimeout(f, 1);\n" },
  { rule: "noBannedGlobals", bad: "setInterval(f, 1);\n", good: 'name("setInterval(f)");\n' },
  { rule: "noBannedGlobals", bad: "setImmediate(f);\n", good: "this.setImmediate(f);\n" },
  { rule: "noBannedGlobals", bad: "queueMicrotask(f);\n", good: "/* queueMicrotask(f) */\n" },
  { rule: "noBannedGlobals", bad: "process.exit(1);\n", good: "process(queue: number): void {}\n" },
  { rule: "noBannedGlobals", bad: 'console.log("x");\n', good: "gpu.console.write(text);\n" },
  { rule: "noBannedGlobals", bad: "Buffer.alloc(1);\n", good: "new GpuBuffer();\n" },
  { rule: "noBannedGlobals", bad: "globalThis.setTimeout(f, 1);\n", good: "const global = 1;\n" },
  { rule: "noAny", bad: "const x: any = 1;\n", good: 'const x = { any: 1, y: "as any" };\n' },
  { rule: "noAny", bad: "const x = y as any;\n", good: "// as any other\n" },
  { rule: "noAny", bad: "const x: Map<string, any> = y;\n", good: "const x: Company = any(1, 2);\n" },
  { rule: "noMachinePaths", bad: `see ${"/wo"}rk/tree/file\n`, good: `see net${"/wo"}rk/file and docs/home/page\n` },
  { rule: "noMachinePaths", bad: `open("${"/ho"}me/me/file")\n`, good: "open(join(home, path))\n" },
  {
    rule: "noRegistryHosts",
    path: "package-lock.json",
    bad: `"resolved": "${"https"}://registry.example/x.tgz"\n`,
    good: '"resolved": "packages/core"\n',
  },
];

function ruleNamed(name: string): Rule {
  const rule = rules[name];
  if (rule === undefined) throw new Error(`no rule is named ${name}`);
  return rule;
}

describe("house rules", () => {
  it("hold for the whole tree", () => {
    expect(tidyTree(fileURLToPath(new URL("../../..", import.meta.url)))).toEqual([]);
  });

  it.each(planted)("$rule refuses $bad and passes $good", ({ rule, path, bad, good }) => {
    expect(ruleNamed(rule)({ path: path ?? source, text: bad })).toHaveLength(1);
    expect(ruleNamed(rule)({ path: path ?? source, text: good })).toEqual([]);
  });

  it("have each a planted violation", () => {
    expect(new Set(planted.map((plant) => plant.rule))).toEqual(new Set(Object.keys(rules)));
  });

  it("leave the globals to tests, and to packages that need Node", () => {
    const text = "console.log(Date.now());\n";
    expect(ruleNamed("noBannedGlobals")({ path: "packages/core/src/base/x.test.ts", text })).toEqual([]);
    expect(ruleNamed("noBannedGlobals")({ path: "packages/lab/src/x.ts", text })).toEqual([]);
  });

  it("name the line of a finding", () => {
    expect(ruleNamed("noAny")({ path: source, text: "\n\nlet x: any;\n" })[0]).toMatch(/^line 3: /);
  });

  it("want the same skeleton of every package", () => {
    const manifest = { license: "MIT", type: "module", description: "x", engines: {}, exports: {}, files: [] };
    const sound: PackageFolder = { name: "x", files: ["README.md", "tsconfig.json", "src/index.ts"], manifest };
    expect(packageSkeleton(sound)).toEqual([]);
    expect(packageSkeleton({ ...sound, files: ["README.md", "tsconfig.json"] })).toEqual([
      "packages/x: has no src/index.ts",
    ]);
    expect(packageSkeleton({ ...sound, manifest: { ...manifest, license: "ISC" } })).toHaveLength(1);
    expect(packageSkeleton({ ...sound, manifest: { ...manifest, exports: undefined } })).toHaveLength(1);
  });
});
