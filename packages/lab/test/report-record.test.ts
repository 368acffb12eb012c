/**
 * Records that come from files, the merging of shards, and the verdict on a matrix.
 */
import { GpuError } from "@virtgpu/core/base";
import { describe, expect, it } from "vitest";
import { judgeMatrix, mergeMatrices, type MatrixRecord, parseMatrixRecord } from "../src/report/matrix-record.ts";
import { matrixText } from "../src/report/matrix-text.ts";
import { boundCommands, kindRows, parseRunRecord, runSummary } from "../src/report/run-record.ts";
import { HOSTILE, lostRun, sampleCommands, sampleMatrix, sampleObjects, sampleRun } from "./support/report-samples.ts";

const plain = (_: string, text: string): string => text;

/** Part `index` of `count` of a matrix: each `count`-th cell. */
function shardOf(matrix: MatrixRecord, index: number, count: number): MatrixRecord {
  const cells = matrix.cells.filter((_, at) => at % count === index - 1);
  return { ...matrix, shards: [{ index, count }], cells };
}

describe("a record of a run", () => {
  it("comes back from its JSON as it was", () => {
    for (const record of [sampleRun(), lostRun(), sampleRun({ sentence: HOSTILE, commandLine: HOSTILE })]) {
      expect(parseRunRecord(JSON.stringify(record), "report.json")).toEqual(record);
    }
  });

  it("is refused with what is wrong and where: no JSON, another version, another type", () => {
    const json = JSON.stringify(sampleRun());
    const refused: readonly (readonly [string, RegExp])[] = [
      [json.slice(0, 100), /x\.json is no report of a run: no JSON, or cut off/],
      [json.replace('"schemaVersion":1', '"schemaVersion":2'), /version 2; this program reads 1/],
      [json.replace('"verdict":"nothing lost"', '"verdict":"fine"'), /is no report of a run: verdict: /],
      [json.replace('"width":1280', '"width":-1'), /outputs\.0\.width/],
      ["[]", /is no report of a run/],
      ["null", /is no report of a run/],
    ];
    for (const [text, message] of refused) {
      expect(() => parseRunRecord(text, "x.json")).toThrow(GpuError);
      expect(() => parseRunRecord(text, "x.json")).toThrow(message);
    }
  });

  it("keeps the first and the last commands, and says how many it left out", () => {
    const commands = sampleCommands(101);
    const { commands: kept, commandsDropped } = boundCommands(commands, 11);
    expect(kept.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3, 4, 5, 96, 97, 98, 99, 100]);
    expect(commandsDropped).toBe(90);
    expect(boundCommands(commands, 101)).toEqual({ commands, commandsDropped: 0 });
    expect(boundCommands(commands, 0)).toEqual({ commands: [], commandsDropped: 101 });
  });

  it("counts objects by kind and by what became of them", () => {
    const rows = kindRows(sampleObjects(14, 3));
    expect(rows[0]).toEqual({ kind: "image", count: 2, bytes: 36_864, restored: 1, lost: 1, unrecoverable: 0 });
    expect(rows[2]).toMatchObject({ kind: "blob", count: 2, restored: 1, lost: 0, unrecoverable: 1 });
    expect(rows).toHaveLength(7);
  });

  it("says for --json what was lost, and objects by kind", () => {
    const summary = runSummary(lostRun());
    expect(Object.keys(summary)).toEqual(
      expect.arrayContaining(["verdict", "outputs", "objects", "phases", "errors", "timeToPictureMs"]),
    );
    expect(summary.lost).toHaveLength(7);
    expect(summary.objects).toHaveLength(7);
  });
});

describe("a matrix", () => {
  it("comes back from its JSON as it was, and is refused when a part is none", () => {
    const record = sampleMatrix();
    expect(parseMatrixRecord(JSON.stringify(record), "matrix.json")).toEqual(record);
    const wrong = { ...record, shards: [{ index: 3, count: 2 }] };
    expect(() => parseMatrixRecord(JSON.stringify(wrong), "matrix.json")).toThrow("a shard is i/n");
  });

  it("is green only if every cell is there and none failed", () => {
    const green = sampleMatrix();
    expect(judgeMatrix(green)).toMatchObject({ isGreen: true, complaints: [], failed: 0 });
    const [first, ...others] = green.cells;
    if (first === undefined) throw new Error("a matrix has cells");
    const reds: readonly (readonly [Partial<MatrixRecord>, RegExp])[] = [
      [{ cells: [{ ...first, result: "fail", reason: "dark" }, ...others] }, /^s4, no fault, embedded failed: dark$/],
      [
        { cells: [{ ...first, result: "not offered", reason: "no such option" }, ...others] },
        /must pass, but is not offered: no such option/,
      ],
      [{ cells: others }, /192 cells were planned, 191 are here/],
      [{ shards: [{ index: 2, count: 3 }] }, /shards missing: 1\/3, 3\/3/],
    ];
    for (const [change, complaint] of reds) {
      const { isGreen, complaints } = judgeMatrix({ ...green, ...change });
      expect(isGreen).toBe(false);
      expect(complaints).toEqual([expect.stringMatching(complaint)]);
    }
  });

  it("is whole again when its shards are merged, in whichever order", () => {
    const whole = sampleMatrix();
    const shards = [3, 1, 2].map((index) => shardOf(whole, index, 3));
    const merged = mergeMatrices(shards);
    expect(merged.shards.map(({ index }) => index)).toEqual([1, 2, 3]);
    expect(new Set(merged.cells)).toEqual(new Set(whole.cells));
    expect(judgeMatrix(merged).isGreen).toBe(true);
    expect(judgeMatrix(mergeMatrices(shards.slice(1))).complaints).toContain("shards missing: 3/3");
  });

  it("takes the worst of a cell that several shards have", () => {
    const whole = sampleMatrix();
    const failed = { ...whole, cells: whole.cells.map((cell) => ({ ...cell, result: "fail" as const })) };
    for (const records of [
      [whole, failed],
      [failed, whole],
    ]) {
      expect(judgeMatrix(mergeMatrices(records)).failed).toBe(whole.cells.length);
    }
  });

  it("is not merged of parts of different ones", () => {
    const one = sampleMatrix();
    const strangers: readonly (readonly [Partial<MatrixRecord>, RegExp])[] = [
      [{ planned: 7 }, /number of cells 192 and 7/],
      [{ shards: [{ index: 1, count: 2 }] }, /number of shards 1 and 2/],
      [{ versions: { ...one.versions, virtgpu: "9.9.9" } }, /virtgpu 0\.1\.0 and 9\.9\.9/],
    ];
    for (const [change, message] of strangers)
      expect(() => mergeMatrices([one, { ...one, ...change }])).toThrow(message);
    expect(() => mergeMatrices([])).toThrow("no matrix to merge");
  });

  it("is a table on a terminal: a row for sleep and fault, a column for each host, and the reasons", () => {
    const hosts = ["a", "bb"].map((name) => ({ name, label: name }));
    const cell = { sleep: "s4", fault: "none", host: "a", reason: null, durationMs: 1, mustPass: true };
    const record = sampleMatrix({
      hosts,
      planned: 3,
      cells: [
        { ...cell, result: "pass" },
        { ...cell, host: "bb", result: "fail", reason: "dark" },
        { ...cell, fault: "hang@restore:1", mustPass: false, result: "not offered", reason: "no\nway" },
      ],
    });
    expect(matrixText(record, plain).split("\n")).toEqual([
      "sleep                a   bb",
      "s4                   ✓!  ✗!",
      "s4 × hang@restore:1  –",
      "",
      "✗ s4, no fault, bb failed: dark",
      "– s4 × hang@restore:1 (a): no way",
      "",
      "✓ passed   ✗ failed   – not offered   ! must pass",
      "red: 1 passed, 1 failed, 1 not offered",
      "",
    ]);
  });

  it("can't command a terminal", () => {
    const evil = `\u001b[2J\r\n\u009b1m\u202e${HOSTILE}`;
    const cell = { sleep: evil, fault: evil, host: evil, reason: evil, durationMs: 1, mustPass: false };
    const record = sampleMatrix({
      hosts: [{ name: evil, label: evil }],
      cells: [
        { ...cell, result: "fail" },
        { ...cell, fault: "other", result: "not offered" },
      ],
    });
    expect(matrixText(record, plain).split("\n")).toHaveLength(3 + 1 + 2 + 1 + 1 + 2 + 1);
    // oxlint-disable-next-line no-control-regex
    expect(matrixText(record, plain)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  });
});
