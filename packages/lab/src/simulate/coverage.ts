/** What a campaign reached: counts by table, row and column, which add up over schedules, workers and machines. */

/** Counts: table, row, column. Plain data. */
export type CoverageCounts = Record<string, Record<string, Record<string, number>>>;

/** See the file's head. */
export class Coverage {
  readonly counts: CoverageCounts = {};

  /** A copy of counts that were taken elsewhere. */
  static of(counts: CoverageCounts): Coverage {
    const coverage = new Coverage();
    coverage.add(counts);
    return coverage;
  }

  /** Once more. */
  note(table: string, row: string, column: string, times: number = 1): void {
    const rows = (this.counts[table] ??= {});
    const columns = (rows[row] ??= {});
    columns[column] = (columns[column] ?? 0) + times;
  }

  get(table: string, row: string, column: string): number {
    return this.counts[table]?.[row]?.[column] ?? 0;
  }

  /** What another one has seen, too. */
  add(other: CoverageCounts): void {
    for (const [table, rows] of Object.entries(other)) {
      for (const [row, columns] of Object.entries(rows)) {
        for (const [column, count] of Object.entries(columns)) this.note(table, row, column, count);
      }
    }
  }

  /** A table as text: rows down, columns across. */
  lines(table: string, columns: readonly string[], rows?: readonly string[]): readonly string[] {
    const names = rows ?? Object.keys(this.counts[table] ?? {}).sort();
    const width = Math.max(...names.map((name) => name.length), table.length);
    const cells = (values: readonly string[]): string => values.map((value) => value.padStart(9)).join("");
    const head = `${table.padEnd(width)}${cells(columns)}`;
    return [
      head,
      ...names.map((name) => `${name.padEnd(width)}${cells(columns.map((each) => `${this.get(table, name, each)}`))}`),
    ];
  }
}
