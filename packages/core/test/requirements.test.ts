/**
 * The tool that says what is proven: how it reads ids, and that its mutants are judged rightly. The latter on a tree in
 * miniature with real test runs: a mutant that a test sees, one that none sees, one that no longer fits, and one that
 * breaks the file instead of the behaviour.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Mutant, MutantResult } from "../../../scripts/mutants.ts";
import { mutate, proveMutants, readMutants } from "../../../scripts/mutants.ts";
import { idsIn, mapTests, verdictOf } from "../../../scripts/requirements.ts";
import type { TestOutcome } from "../../../scripts/vitest-report.ts";
import { runVitest } from "../../../scripts/vitest-report.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Put together, lest this file's own tests count as somebody's proof. */
const id = (number: string, letter?: string): string => `R-${number}${letter === undefined ? "" : ` (${letter})`}`;

const outcome = (name: string, passed: boolean): TestOutcome => ({ name, passed, file: "x.test.ts" });

describe("ids in test names", () => {
  it("are read with their sub-case, several in one name", () => {
    const name = `${id("11", "a")}, ${id("43")}: wakes (really) ${id("30", "b")}`;
    expect(idsIn(name)).toEqual([id("11", "a"), id("43"), id("30", "b")]);
    expect(idsIn(`PR-11 and ${id("1")} and R-111`)).toEqual([]);
  });

  it("sort tests to rows, and name those that fit none", () => {
    const table = [id("11", "a"), id("11", "b"), id("12"), id("13")].map((row) => ({ id: row, title: "x" }));
    const outcomes = [
      outcome(`${id("11", "a")} one`, true),
      outcome(`${id("11", "a")} two`, false),
      outcome(`power ${id("12")} three`, true),
      outcome(`${id("11")} without a letter`, true),
    ];
    const { rows, strays } = mapTests(table, outcomes);
    expect(rows.map((row) => verdictOf(row))).toEqual(["failed", "missing", "passed", "missing"]);
    expect(strays).toHaveLength(1);
    expect(strays[0]).toContain("without a letter");
  });
});

describe("the table of requirements", () => {
  const table: { id: string; title: string }[] = JSON.parse(readFileSync(join(root, "docs/requirements.json"), "utf8"));

  it("has all 48, each id once and well formed", () => {
    expect(new Set(table.map((row) => row.id.slice(0, 4))).size).toBe(48);
    expect(new Set(table.map((row) => row.id)).size).toBe(table.length);
    expect(table.filter((row) => idsIn(row.id)[0] !== row.id || row.title === "")).toEqual([]);
  });

  it("and every mutant fits the code and names a row", () => {
    const known = new Set(table.map((row) => row.id));
    const misfits = readMutants(join(root, "packages/core/test/mutants")).flatMap((mutant) => {
      if (!known.has(mutant.id)) return [`${mutant.id} is no row`];
      try {
        mutate(readFileSync(join(root, mutant.file), "utf8"), mutant);
        return [];
      } catch (error) {
        return [`${mutant.id}: ${String(error)}`];
      }
    });
    expect(misfits).toEqual([]);
  });
});

describe("a mutant", () => {
  const mutant: Mutant = { id: id("01"), file: "a.ts", find: "a + b", replace: "a - b", why: "x" };

  it("replaces its one place", () => {
    expect(mutate("return a + b;", mutant)).toBe("return a - b;");
  });

  it("is refused when its place is not there, there twice, or left as it was", () => {
    expect(() => mutate("return 1;", mutant)).toThrow(/stands 0 times/);
    expect(() => mutate("a + b; a + b;", mutant)).toThrow(/stands 2 times/);
    expect(() => mutate("a + b", { ...mutant, replace: "a + b" })).toThrow(/changes nothing/);
  });
});

describe("the proof by mutants", () => {
  const file = "packages/tiny/src/sum.ts";
  const source = "export const sum = (a: number, b: number): number => a + b;\nexport const zero = (): number => 0;\n";
  const mutants: readonly Mutant[] = [
    { id: id("01"), file, find: "a + b", replace: "a - b", why: "seen by the test" },
    { id: id("01"), file, find: "=> 0", replace: "=> 1", why: "seen by no test" },
    { id: id("01"), file, find: "a * b", replace: "a - b", why: "does not fit" },
    { id: id("01"), file, find: "a + b", replace: "a + (", why: "breaks the file" },
    { id: id("02"), file, find: "a + b", replace: "a - b", why: "only an already failing test" },
  ];
  let tree = "";
  let results: readonly MutantResult[] = [];

  function writeTree(files: Readonly<Record<string, string>>): void {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), text);
    }
  }

  beforeAll(() => {
    tree = mkdtempSync(join(tmpdir(), "virtgpu-tiny-"));
    const test = [
      'import { expect, it } from "vitest";',
      'import { sum } from "./sum.ts";',
      `it("${id("01")} adds", () => expect(sum(2, 1)).toBe(3));`,
      `it("${id("02")} is wrong already", () => expect(sum(1, 1)).toBe(3));`,
    ];
    writeTree({
      ".gitignore": "node_modules/\n.cache/\n",
      "package.json": '{ "type": "module" }\n',
      "packages/tiny/package.json": '{ "name": "tiny", "type": "module" }\n',
      [file]: source,
      "packages/tiny/src/sum.test.ts": `${test.join("\n")}\n`,
    });
    mkdirSync(join(tree, "node_modules"));
    for (const name of readdirSync(join(root, "node_modules"))) {
      if (name !== ".vite") symlinkSync(join(root, "node_modules", name), join(tree, "node_modules", name));
    }
    execFileSync("git", ["init", "-q"], { cwd: tree });
    const outcomes = runVitest(tree, [], [], 60_000).outcomes ?? [];
    results = proveMutants(
      tree,
      mutants,
      (wanted) => outcomes.filter((test) => test.name.includes(wanted)),
      () => {},
    );
  });

  afterAll(() => rmSync(tree, { recursive: true, force: true }));

  it("tells killed from surviving, misfitting, broken and untested ones", () => {
    expect(results.map((result) => result.verdict)).toEqual(["killed", "survived", "broken", "broken", "no test"]);
  });

  it("names the test that went red", () => {
    expect(results[0]?.detail).toBe(`${id("01")} adds`);
  });

  it("leaves the tree as it was", () => {
    expect(readFileSync(join(tree, file), "utf8")).toBe(source);
  });
});
