/**
 * The last line of `npm test` can be trusted: the command is run on trees in miniature whose outcome is known, among
 * them those that tempt a runner into saying that all is well. And benchmarks can't hand over half a row.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BenchRow } from "../../../scripts/bench.ts";
import { checkRow, readable } from "../../../scripts/bench.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const head = 'import { describe, expect, it } from "vitest";\n';
const switchedOff = ["it", "skip"].join(".");

describe("npm test", () => {
  const tree = mkdtempSync(join(tmpdir(), "virtgpu-commands-"));
  const tests = join(tree, "packages/tiny/test");

  beforeAll(() => {
    cpSync(join(root, "scripts"), join(tree, "scripts"), { recursive: true });
    mkdirSync(join(tree, "packages/tiny/src"), { recursive: true });
    mkdirSync(join(tree, "node_modules"));
    writeFileSync(join(tree, "package.json"), '{ "type": "module" }\n');
    writeFileSync(join(tree, "package-lock.json"), "{}\n");
    for (const name of readdirSync(join(root, "node_modules"))) {
      if (name.startsWith(".")) continue;
      symlinkSync(join(root, "node_modules", name), join(tree, "node_modules", name));
    }
    writeFileSync(join(tree, "node_modules/.package-lock.json"), "{}\n");
    const compilerOptions = { composite: true, rootDir: "src", outDir: "dist", types: [] };
    writeFileSync(join(tree, "packages/tiny/tsconfig.json"), JSON.stringify({ compilerOptions, include: ["src"] }));
    writeFileSync(join(tree, "packages/tiny/src/index.ts"), "export const x: number = 1;\n");
  });

  afterAll(() => rmSync(tree, { recursive: true, force: true }));

  /** Runs the command on these test files; gives its last line and its exit code. */
  function run(
    files: readonly string[],
    args: readonly string[] = [],
  ): { readonly last: string; readonly code: number } {
    rmSync(tests, { recursive: true, force: true });
    mkdirSync(tests);
    for (const [index, text] of files.entries()) writeFileSync(join(tests, `case${index}.test.ts`), head + text);
    const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith("VITEST"));
    const options = { cwd: tree, encoding: "utf8", env: Object.fromEntries(inherited) } as const;
    const result = spawnSync(process.execPath, [join(tree, "scripts/test.mjs"), ...args], options);
    return { last: result.stdout.trimEnd().split("\n").at(-1) ?? "", code: result.status ?? -1 };
  }

  const good = 'it("is well", () => expect(1).toBe(1));\n';
  const bad = 'it("is wrong", () => expect(1).toBe(2));\n';

  it.each([
    { what: "tests that pass", files: [good, good], last: "2 passed, 0 failed", code: 0 },
    { what: "a test that fails", files: [good, bad], last: "1 passed, 1 failed", code: 1 },
    {
      what: "a file that does not load",
      files: [good, 'import "./nothing.ts";\n'],
      last: "1 passed, 1 failed",
      code: 1,
    },
    { what: "no test at all", files: [], last: "0 passed, 1 failed", code: 1 },
    {
      what: "a test switched off",
      files: [good, good.replace("it", switchedOff)],
      last: "1 passed, 1 failed",
      code: 1,
    },
    {
      what: "a rejection that belongs to no test",
      files: ['it("x", () => void Promise.reject(new Error("late")));\n'],
      last: "1 passed, 1 failed",
      code: 1,
    },
    {
      what: "a worker that dies",
      files: ['it("x", () => void process.kill(process.pid, "SIGKILL"));\n'],
      last: "0 passed, 1 failed",
      code: 1,
    },
  ])("counts $what", ({ files, last, code }) => {
    expect(run(files)).toEqual({ last, code });
  });

  it("passes filters on, and does not count what they leave out", () => {
    expect(run([good, bad], ["-t", "is well"])).toEqual({ last: "1 passed, 0 failed", code: 0 });
    expect(run([good, bad], ["case0"])).toEqual({ last: "1 passed, 0 failed", code: 0 });
    expect(run([good, bad], ["-t", "matches none"])).toEqual({ last: "0 passed, 1 failed", code: 1 });
  });

  it("fails when the build does", () => {
    writeFileSync(join(tree, "packages/tiny/src/index.ts"), 'export const x: number = "one";\n');
    expect(run([good])).toEqual({ last: "0 passed, 1 failed", code: 1 });
  });
});

describe("a benchmark's row", () => {
  const row: BenchRow = {
    name: "copy",
    value: 2,
    unit: "MB/s",
    against: 1,
    ratio: 2,
    target: "at least 0.9",
    met: true,
  };

  it("is taken whole, with or without a yardstick", () => {
    expect(checkRow(row, "x")).toEqual(row);
    expect(() => checkRow({ ...row, against: null, ratio: null, target: "", met: null }, "x")).not.toThrow();
  });

  it.each(Object.keys(row))("is refused without its %s", (key) => {
    expect(() => checkRow({ ...row, [key]: undefined }, "x")).toThrow(key);
  });

  it("shows numbers that read well", () => {
    expect([readable(1234567.8), readable(1.2345), readable(99.99)]).toEqual(["1,234,568", "1.23", "100"]);
  });
});
