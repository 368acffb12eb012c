/** The tools that plant bugs: what is planted fits the code, and every small change does what it says and nothing else. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runInThisContext } from "node:vm";
import { transformSync } from "esbuild";
import { describe, expect, it } from "vitest";
import { mutate } from "../../../scripts/mutants.ts";
import { plantAll, SWITCH } from "../../../scripts/mutants-mutators.ts";
import { isNoticed, markdownOf, readPlants } from "../../../scripts/mutants-planted.ts";
import { rowsOf } from "../../../scripts/mutants-score.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const plants = readPlants(join(root, "scripts/mutants-planted.json"));

describe("planted bugs", () => {
  it("are at least 25, each with an id and a sentence of its own", () => {
    expect(plants.length).toBeGreaterThanOrEqual(25);
    expect(new Set(plants.map(({ id }) => id)).size).toBe(plants.length);
    expect(new Set(plants.map(({ why }) => why)).size).toBe(plants.length);
  });

  it("fit the code as it is, and name tests that there are", () => {
    const misfits = plants.flatMap((plant) => {
      const missing = plant.tests.filter((file) => !existsSync(join(root, file)));
      try {
        mutate(readFileSync(join(root, plant.file), "utf8"), plant);
        return missing;
      } catch (error) {
        return [...missing, `${plant.id}: ${String(error)}`];
      }
    });
    expect(misfits).toEqual([]);
  });

  it("are noticed by a test or by the simulator, and the table says by which", () => {
    const [plant] = plants;
    if (plant === undefined) throw new Error("there are none");
    const nobody = { plant, byTest: null, bySimulator: null, broken: null };
    expect([nobody, { ...nobody, byTest: "a" }, { ...nobody, bySimulator: "b" }].map(isNoticed)).toEqual([
      false,
      true,
      true,
    ]);
    expect(markdownOf([{ ...nobody, byTest: "a | b" }])).toContain(`| ${plant.id} | ${plant.why} | a \\| b | - |`);
  });
});

const SOURCE = `
  const limit = 3;
  export function judge(values: readonly number[], seen: string[]): number {
    let sum = 0;
    for (const value of values) {
      if (value < 0) throw new Error("negative");
      if (value > 10 && value !== 99) continue;
      sum += value * 2;
    }
    seen.push("judged");
    return values.some((value) => value === 7) ? -sum : sum;
  }`;

const script = transformSync(plantAll("sample.ts", SOURCE, 0).code, { loader: "ts", format: "cjs" }).code;

/** Runs the mutated source with one mutant on; null: it threw. */
function run(id: number, values: readonly number[]): { readonly result: number; readonly seen: string[] } | null {
  type Judge = (values: readonly number[], seen: string[]) => number;
  const module: { exports: { judge?: Judge } } = { exports: {} };
  const program: (...given: unknown[]) => void = runInThisContext(`(function (module, ${SWITCH}) {${script}\n})`);
  program(module, (asked: number) => asked === id);
  const seen: string[] = [];
  try {
    return { result: module.exports.judge?.(values, seen) ?? NaN, seen };
  } catch {
    return null;
  }
}

describe("small changes", () => {
  const { mutants } = plantAll("sample.ts", SOURCE, 0);
  const inputs = [[1, 2], [7], [-1], [0], [10], [11], [99], [], [1, 7, 20]];
  const outcomes = (id: number): string => JSON.stringify(inputs.map((values) => run(id, values)));

  it("leave a program as it is while none is on", () => {
    expect(run(-1, [1, 2])).toEqual({ result: 6, seen: ["judged"] });
    expect(run(-1, [7])).toEqual({ result: -14, seen: ["judged"] });
    expect(run(-1, [-1])).toBeNull();
  });

  it("are of every kind, and each of them is seen by somebody who looks closely", () => {
    expect([...new Set(mutants.map(({ kind }) => kind))].sort()).toEqual(
      ["arithmetic", "assignment", "comparison", "condition", "literal", "logic", "method", "sign", "statement"].sort(),
    );
    const unseen = mutants.filter((_, id) => outcomes(id) === outcomes(-1));
    expect(unseen.map(({ before, after }) => `${before} -> ${after}`)).toEqual([]);
  });

  it("spare what runs while a file is loaded, which can't be switched later", () => {
    expect(mutants.filter(({ before }) => before === "3")).toEqual([]);
  });

  it("are counted by file", () => {
    const [mutant] = mutants;
    if (mutant === undefined) throw new Error("there are none");
    const scored = (["killed", "survived", "uncovered"] as const).map((verdict) => ({ mutant, verdict, detail: "" }));
    expect(rowsOf(scored)).toEqual([{ file: "sample.ts", all: 3, killed: 1 }]);
  });
});
