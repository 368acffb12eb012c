/** The matrix: its cells, its verdict, its shards, and the command. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { judgeMatrix, parseMatrixRecord } from "../src/report/index.ts";
import { embeddedColumns, type MatrixColumn, NotOffered } from "../src/scenarios/matrix/columns.ts";
import { MATRIX_FAULTS } from "../src/scenarios/matrix/faults.ts";
import { planMatrix, shardOf } from "../src/scenarios/matrix/plan.ts";
import { runCell } from "../src/scenarios/matrix/run.ts";
import { SimulatedSubject, SUSPEND_CASES } from "../src/scenarios/suspend/index.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-matrix-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const program = fileURLToPath(new URL("../bin/virtgpu.js", import.meta.url));
const path = (name: string): string => join(folder, name);

function virtgpu(...args: readonly string[]): { code: number | null; out: string; err: string } {
  const run = spawnSync(process.execPath, [program, "matrix", ...args], { encoding: "utf8" });
  return { code: run.status, out: run.stdout, err: run.stderr };
}

function columns(...names: readonly string[]): readonly MatrixColumn[] {
  return embeddedColumns().filter(({ name }) => names.includes(name.replace("embedded ", "")));
}

const run = (cell: Parameters<typeof runCell>[0]): ReturnType<typeof runCell> => runCell(cell, () => 0);

describe("the cells", () => {
  it("are every case on every host, and every way to sleep with every way to break", () => {
    const all = planMatrix({ columns: embeddedColumns(), faults: true, only: "" });
    const plain = all.filter(({ fault }) => fault === null);
    expect(plain.length).toBe(SUSPEND_CASES.length * embeddedColumns().length);
    const broken = new Set(all.filter(({ fault }) => fault !== null).map(({ suspendCase }) => suspendCase.sleep));
    expect([...broken].sort()).toEqual(["hybrid", "s2idle", "s3", "s4", "test-resume"]);
    expect(all.length - plain.length).toBe(9 * MATRIX_FAULTS.length * embeddedColumns().length);
  });

  it("are spread over shards, each in one of them", () => {
    const all = planMatrix({ columns: embeddedColumns(), faults: true, only: "" });
    const parts = [1, 2, 3].map((index) => shardOf(all, { index, count: 3 }));
    expect(parts.flat().length).toBe(all.length);
    expect(new Set(parts.flat()).size).toBe(all.length);
  });

  const wish = { columns: columns("drops"), faults: true, only: "s4-power-off" };

  it.each(planMatrix(wish).map((cell) => [cell.fault?.name ?? "nothing", cell] as const))(
    "pass when this happens in a hibernation: %s",
    async (_, cell) => {
      expect(await run(cell)).toMatchObject({ result: "pass", reason: null, mustPass: true });
    },
  );

  it("say why they are not offered", async () => {
    const cells = planMatrix({ columns: columns("slow", "drops"), faults: true, only: "s3 x hangs" });
    const cell = cells.find(({ column }) => column.name === "embedded slow");
    if (cell === undefined) throw new Error("no cell");
    expect(await run(cell)).toMatchObject({
      result: "not offered",
      reason: expect.stringContaining("answers slowly"),
      mustPass: false,
    });
    const absent: MatrixColumn = {
      ...cell.column,
      start: () => Promise.reject(new NotOffered("there is no such host")),
    };
    expect(await run({ ...cell, column: absent })).toMatchObject({
      result: "not offered",
      reason: "there is no such host",
    });
  });

  it("fail with the whole story where a host can't be brought back to", async () => {
    const [column] = columns("drops");
    const [cell] = planMatrix({ columns: columns("drops"), faults: false, only: "s4-power-off" });
    if (cell === undefined || column === undefined) throw new Error("no cell");
    // A host that forgets a shown buffer right after it was made.
    const forgetful: MatrixColumn = {
      ...column,
      start: async () => {
        const subject = new SimulatedSubject();
        subject.host.faults?.inject({ at: 40, times: 6, effect: { kind: "drop" } });
        return subject;
      },
    };
    const failed = await run({ ...cell, column: forgetful });
    expect(failed).toMatchObject({ result: "fail", reason: expect.any(String) });
  });
});

describe("virtgpu matrix", () => {
  it("writes its reports, and is put together again from shards", () => {
    for (const index of [1, 2]) {
      const { code, out } = virtgpu(
        "--only",
        "trials",
        "--shard",
        `${index}/2`,
        "--report",
        path(`part${index}`),
        "--quiet",
      );
      // A part alone is not the matrix.
      expect([code, out.split(":")[0]]).toEqual([1, "red"]);
    }
    const merged = virtgpu("--merge", path("part1"), "--merge", path("part2"), "--report", path("whole"));
    expect(merged).toMatchObject({
      code: 0,
      out: expect.stringMatching(/\ngreen: 7 passed, 0 failed, 0 not offered\n/),
    });
    const record = parseMatrixRecord(readFileSync(path("whole/matrix.json"), "utf8"), "matrix.json");
    expect(judgeMatrix(record).isGreen).toBe(true);
    expect(["matrix.html", "junit.xml"].every((name) => existsSync(path(`whole/${name}`)))).toBe(true);
    expect(virtgpu("--merge", path("part1"), "--report", path("half"), "--quiet")).toMatchObject({ code: 1 });
  });

  it("names the mistake in what was typed", () => {
    expect(virtgpu("--only", "no such row")).toMatchObject({ code: 2, err: expect.stringMatching(/no row's name/) });
    expect(virtgpu("--shard", "3/2").code).toBe(2);
    expect(virtgpu("--merge", path("nowhere"))).toMatchObject({ code: 2, err: expect.stringMatching(/ENOENT/) });
    writeFileSync(path("matrix.json"), "{}");
    expect(virtgpu("--merge", folder)).toMatchObject({ code: 2, err: expect.stringMatching(/matrix/) });
    // Before anything is run.
    const unwritable = virtgpu("--report", path("matrix.json"));
    expect(unwritable).toMatchObject({ code: 2, out: "" });
    expect(unwritable.err).toMatch(
      /^virtgpu: the folder .* can't be written \([A-Z]+\); name another one with --report\n$/,
    );
    expect(virtgpu("--host", "qemu", "--qemu", "/nowhere/qemu")).toMatchObject({
      code: 3,
      err: expect.stringMatching(/apt-get install qemu-system-x86/),
    });
  });
});
