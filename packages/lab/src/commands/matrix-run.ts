/** `virtgpu matrix`: from what was typed to a table, reports and an exit code. */
import { readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import {
  judgeMatrix,
  MATRIX_RECORD_VERSION,
  type MatrixCell,
  type MatrixRecord,
  matrixText,
  mergeMatrices,
  parseMatrixRecord,
  writeMatrixReport,
} from "../report/index.ts";
import { findQemu } from "../hosts/qemu/qemu-process.ts";
import { embeddedColumns, type MatrixColumn } from "../scenarios/matrix/columns.ts";
import { type PlannedCell, planMatrix, rowName, shardOf } from "../scenarios/matrix/plan.ts";
import { qemuColumns } from "../scenarios/matrix/qemu-columns.ts";
import { runCell } from "../scenarios/matrix/run.ts";
import { UsageError } from "../usage-error.ts";
import { commandLine } from "./command-line.ts";
import type { LabContext } from "./context.ts";
import type { MatrixFlags } from "./matrix.ts";
import { ownVersion } from "./own-version.ts";
import { prepareFolder } from "./report-folder.ts";
import { styleFor } from "./style.ts";

const RED = 1;
const WITHOUT_FAULTS = "ways to break are not in here: a real QEMU goes wrong by no plan, --host embedded does\n";

/** See the file's head. */
export async function runMatrixCommand(this: LabContext, flags: MatrixFlags): Promise<void> {
  const folder = resolve(this.folder ?? process.cwd(), flags.report);
  const prepared = flags.merge === undefined ? planWork(flags) : mergeMatrices(flags.merge.map(readMatrix));
  // A run of minutes is not for finding out that nobody can keep what it came to.
  prepareFolder(folder);
  const record = "columns" in prepared ? await runMatrix(this, flags, prepared) : prepared;
  const files = writeMatrixReport(folder, record);
  const verdict = judgeMatrix(record);
  const { stdout } = this.process;
  this.process.exitCode = verdict.isGreen ? 0 : RED;
  if (flags.json) stdout.write(`${JSON.stringify(record, null, 2)}\n`);
  else if (flags.quiet) stdout.write(`${verdict.sentence}\n`);
  else {
    if (record.options["faults"] === false) stdout.write(WITHOUT_FAULTS);
    stdout.write(`\n${matrixText(record, styleFor(process.stdout.isTTY))}`);
    const page = files.find((file) => file.endsWith(".html")) ?? folder;
    stdout.write(`report: ${relative(process.cwd(), page)}\n`);
  }
}

/** What is to be run. */
interface Work {
  readonly columns: readonly MatrixColumn[];
  /** The cells of all shards. */
  readonly all: readonly PlannedCell[];
}

function planWork(flags: MatrixFlags): Work {
  const columns = columnsFor(flags);
  const all = planMatrix({ columns, faults: flags.faults, only: flags.only });
  if (all.length === 0) throw new UsageError(`no row's name contains "${flags.only}"`);
  return { columns, all };
}

async function runMatrix(
  { process: { stdout } }: LabContext,
  flags: MatrixFlags,
  { columns, all }: Work,
): Promise<MatrixRecord> {
  const planned = shardOf(all, flags.shard);
  const isSilent = flags.json || flags.quiet;
  const startedAt = new Date();
  const cells: MatrixCell[] = [];
  try {
    for (const [done, cell] of planned.entries()) {
      if (!isSilent && process.stdout.isTTY) {
        stdout.write(
          `\r\u001b[K${done + 1}/${planned.length}  ${rowName(cell.suspendCase, cell.fault)} on ${cell.column.name}`,
        );
      }
      const ran = await runCell(cell, () => performance.now());
      if (!isSilent && ran.result === "fail" && !process.stdout.isTTY) {
        stdout.write(`failed: ${rowName(cell.suspendCase, cell.fault)} on ${cell.column.name}: ${ran.reason}\n`);
      }
      cells.push(ran);
    }
  } finally {
    for (const column of columns) await column.close();
  }
  if (!isSilent && process.stdout.isTTY) stdout.write("\r\u001b[K");
  return {
    schemaVersion: MATRIX_RECORD_VERSION,
    commandLine: commandLine(),
    options: { host: flags.host, faults: all.some(({ fault }) => fault !== null), only: flags.only },
    versions: { virtgpu: ownVersion(), node: process.version, platform: `${process.platform} ${process.arch}` },
    startedAt: startedAt.toISOString(),
    durationMs: Date.now() - startedAt.getTime(),
    planned: all.length,
    shards: [flags.shard],
    hosts: columns.map(({ name, label }) => ({ name, label })),
    cells,
  };
}

function columnsFor({ host, qemu }: MatrixFlags): readonly MatrixColumn[] {
  if (host === "embedded" && qemu !== undefined) throw new UsageError("--qemu is for --host qemu");
  return [...(host === "qemu" ? [] : embeddedColumns()), ...(host === "embedded" ? [] : qemuColumns(findQemu(qemu)))];
}

function readMatrix(folder: string): MatrixRecord {
  const path = join(folder, "matrix.json");
  try {
    return parseMatrixRecord(readFileSync(path, "utf8"), path);
  } catch (error) {
    if (error instanceof GpuError) throw new UsageError(error.message);
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(`${path} can't be read (${why})`);
  }
}
