/**
 * The cells of the matrix: every case of the conformance suite on every host, and every way to sleep with every way to
 * break. What must pass is stated here: everything that a column does not lack by its nature.
 */
import type { Shard } from "../../report/matrix-record.ts";
import { type Ability, SUSPEND_CASES, type SuspendCase } from "../suspend/index.ts";
import type { MatrixColumn } from "./columns.ts";
import { MATRIX_FAULTS, type MatrixFault } from "./faults.ts";

/** One cell that is to be run. */
export interface PlannedCell {
  readonly column: MatrixColumn;
  readonly suspendCase: SuspendCase;
  /** Null: nothing goes wrong. */
  readonly fault: MatrixFault | null;
  readonly mustPass: boolean;
}

/** What is wanted of the matrix. */
export interface MatrixWish {
  readonly columns: readonly MatrixColumn[];
  /** Whether ways to break are tried too, where some column goes wrong by a plan. */
  readonly faults: boolean;
  /** Only rows whose names contain this; empty: all. */
  readonly only: string;
}

/** Cases in which something goes wrong by itself: breaking them twice shows nothing. */
const isWay = ({ needs }: SuspendCase): boolean => !needs.includes("faults") && !needs.includes("other-hosts");

/** All cells, row by row. */
export function planMatrix({ columns, faults, only }: MatrixWish): readonly PlannedCell[] {
  const areOffered = faults && columns.some(({ lacks }) => !lacks.has("faults"));
  const rows = SUSPEND_CASES.flatMap((suspendCase) => [
    { suspendCase, fault: null },
    ...(areOffered && isWay(suspendCase) && WAYS.has(suspendCase.id)
      ? MATRIX_FAULTS.map((fault) => ({ suspendCase, fault }))
      : []),
  ]);
  return rows
    .filter(({ suspendCase, fault }) => rowName(suspendCase, fault).includes(only))
    .flatMap(({ suspendCase, fault }) =>
      columns.map((column) => ({ column, suspendCase, fault, mustPass: isDue(column, suspendCase, fault) })),
    );
}

/** Ways to sleep that are broken in every way, with everything on the machine. */
const WAYS: ReadonlySet<string> = new Set([
  "s4-firmware",
  "s4-power-off",
  "s4-reboot",
  "s3",
  "s3-no-soft-reset",
  "s2idle",
  "s2idle-reset",
  "hybrid",
  "test-resume",
]);

/** As it is typed for `--only`. */
export function rowName({ id }: SuspendCase, fault: MatrixFault | null): string {
  return fault === null ? id : `${id} x ${fault.name}`;
}

function isDue({ lacks, optional }: MatrixColumn, { needs }: SuspendCase, fault: MatrixFault | null): boolean {
  const wanted: readonly Ability[] = fault === null ? needs : [...needs, "faults"];
  return !optional && wanted.every((ability) => !lacks.has(ability));
}

/** Part `index` of `count`, from 1: every n-th cell, so that parts take as long as each other. */
export function shardOf<T>(cells: readonly T[], { index, count }: Shard): readonly T[] {
  return cells.filter((_, at) => at % count === index - 1);
}
