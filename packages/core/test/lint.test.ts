/** The lint configuration bites: each rule that the house counts on is shown a violation, in a small tree of its own. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Rule and a source that breaks it. */
const planted: readonly (readonly [rule: string, source: string])[] = [
  ["no-floating-promises", "export function f(g: () => Promise<void>): void {\n  g();\n}\n"],
  ["no-misused-promises", "export function f(g: () => Promise<void>): void {\n  [1].forEach(g);\n}\n"],
  ["await-thenable", "export async function f(): Promise<void> {\n  await 1;\n}\n"],
  [
    "switch-exhaustiveness-check",
    'export function f(k: "a" | "b"): number {\n  switch (k) {\n    case "a":\n      return 1;\n  }\n  return 2;\n}\n',
  ],
  ["no-explicit-any", `export const x: ${"an"}${"y"} = 1;\n`],
  ["no-non-null-assertion", "export const f = (x: number | null): number => x!;\n"],
  ["no-default-export", "export default 1;\n"],
  ["eqeqeq", "export const f = (a: number, b: number): boolean => a == b;\n"],
  ["no-console", "console.log(1);\nexport {};\n"],
  ["no-restricted-properties", "export const x = Math.random();\n"],
  ...[
    "Date",
    "performance",
    "setTimeout",
    "setInterval",
    "setImmediate",
    "queueMicrotask",
    "process",
    "console",
    "Buffer",
  ].map((name) => ["no-restricted-globals", `export const x: unknown = ${name};\n`] as const),
];

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
}

describe("the lint configuration", () => {
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-lint-"));
  let diagnostics: readonly Diagnostic[] = [];
  let code = 0;

  beforeAll(() => {
    const sources = join(folder, "packages/core/src");
    mkdirSync(sources, { recursive: true });
    cpSync(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"));
    const compilerOptions = { strict: true, module: "NodeNext", target: "ES2022", lib: ["ES2023"], types: [] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["packages"] }));
    for (const [index, [, source]] of planted.entries()) writeFileSync(join(sources, `planted${index}.ts`), source);
    writeFileSync(join(sources, "lawful.ts"), "export const double = (x: number): number => 2 * x;\n");
    writeFileSync(join(sources, "lawful.test.ts"), "console.log(Date.now());\nexport {};\n");
    const program = join(root, "node_modules/oxlint/bin/oxlint");
    const args = [program, "--type-aware", "--deny-warnings", "--format", "json"];
    const run = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
    code = run.status ?? 0;
    const report: { diagnostics: Diagnostic[] } = JSON.parse(run.stdout);
    diagnostics = report.diagnostics;
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(planted.map(([rule, source], index) => ({ rule, source, index })))(
    "$rule refuses $source",
    ({ rule, index }) => {
      const found = diagnostics.filter((diagnostic) => diagnostic.filename.endsWith(`/planted${index}.ts`));
      expect(found.map((diagnostic) => diagnostic.code).join(" ")).toContain(`(${rule})`);
    },
  );

  it("lets lawful files pass, and tests print and look at the clock", () => {
    expect(diagnostics.filter((diagnostic) => diagnostic.filename.includes("lawful"))).toEqual([]);
  });

  it("fails the command", () => {
    expect(code).toBe(1);
  });
});
