/** The fuzzer finds what is planted, and every target stands its seeds, its corpus and some hundred inputs more. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Script } from "node:vm";
import { afterAll, describe, expect, it } from "vitest";
import { Fuzzer } from "../fuzz/engine/fuzzer.ts";
import { instrument } from "../fuzz/engine/instrument.ts";
import { loadProgram } from "../fuzz/engine/program.ts";
import { corpusOf, fileOf, targetNames } from "../fuzz/run.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-fuzz-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function targetOf(body: string): string {
  const file = join(folder, `planted-${String(Math.abs(body.length))}.ts`);
  writeFileSync(file, `export const target = { about: "planted", seeds: () => [], fuzz: (input) => {${body}} };`);
  return file;
}

describe("the fuzzer", () => {
  it("finds its way through four comparisons, one at a time, and shortens what it found", async () => {
    const body = `if (input.length > 8) if (input[1] === 0x56) if (input[3] === 0x47) if (input[5] === 0x50) if (input[7] === 0x55) throw new Error("there");`;
    const fuzzer = new Fuzzer(await loadProgram(targetOf(body)), 1);
    let finding = null;
    for (let runs = 0; runs < 200_000 && finding === null; runs += 1) finding = await fuzzer.step();
    expect(finding?.error).toMatch(/there/);
    if (finding !== null) expect((await fuzzer.shrink(finding)).input.length).toBe(9);
  });

  it("takes words from the program under test", async () => {
    const body = `if (new TextDecoder().decode(input).includes("hibernate")) throw new Error("said it");`;
    const fuzzer = new Fuzzer(await loadProgram(targetOf(body)), 1);
    let finding = null;
    for (let runs = 0; runs < 50_000 && finding === null; runs += 1) finding = await fuzzer.step();
    expect(finding?.error).toMatch(/said it/);
  });

  it("gives the same run for the same seed", async () => {
    const program = await loadProgram(fileOf("edid"));
    const inputs: string[][] = [];
    for (let time = 0; time < 2; time += 1) {
      const seen: string[] = [];
      const fuzzer = new Fuzzer(program, 7, (input) => seen.push(Buffer.from(input).toString("hex")));
      for (const seed of await program.target.seeds()) await fuzzer.add(seed);
      for (let runs = 0; runs < 50; runs += 1) await fuzzer.step();
      inputs.push(seen);
    }
    expect(inputs[0]).toEqual(inputs[1]);
  });

  it("leaves a program's meaning as it was", () => {
    const source = `
      function f(a) { "use strict"; if (a > 1) return a ? a && 2 : 3; else if (a < 0) return -1; for (const x of [1]) a += x; return a; }
      const g = (a) => { switch (a) { case 1: return "one"; default: return "many"; } };
      result = [f(2), f(-1), f(0), g(1), g(2), (() => ({ a: 1 }))().a];`;
    const { code, places } = instrument(source);
    const run = (text: string): unknown => {
      const context = { __fuzzCounters: new Uint8Array(99), result: null };
      new Script(text).runInNewContext(context);
      return context.result;
    };
    expect(JSON.stringify(run(code))).toBe(JSON.stringify(run(source)));
    expect(run(source)).not.toBeNull();
    expect(places).toBeGreaterThan(8);
  });
});

describe("every target", () => {
  it.each(targetNames())("%s stands its seeds, its corpus and what grows from them", async (name) => {
    const program = await loadProgram(fileOf(name));
    const fuzzer = new Fuzzer(program, 1);
    for (const input of [...(await program.target.seeds()), ...corpusOf(name)]) {
      expect(await fuzzer.add(input)).toBeNull();
    }
    for (let runs = 0; runs < 100; runs += 1) expect(await fuzzer.step()).toBeNull();
    // A target whose seeds are refused at the door would prove nothing.
    expect(fuzzer.covered).toBeGreaterThan(program.places / 40);
  });
});
