/**
 * The characters of a text screen: a grid of cells, a cursor, wrapping and scrolling. No pixels here; see
 * `text-screen.ts`. There is no scroll-back: what leaves at the top is gone.
 */

/** A character cell as one number: code point in bits 0 to 20, foreground in 21 to 24, background in 25 to 28. */
export type Cell = number;

const CODE_POINT_MASK = 0x1f_ffff;
const FOREGROUND_SHIFT = 21;
const BACKGROUND_SHIFT = 25;
const SPACE = 0x20;

/** Packs a cell; colours are 0 to 15. */
export function packCell(codePoint: number, foreground: number, background: number): Cell {
  return (codePoint | (foreground << FOREGROUND_SHIFT) | (background << BACKGROUND_SHIFT)) >>> 0;
}

/** The code point of a cell. */
export function cellCodePoint(cell: Cell): number {
  return cell & CODE_POINT_MASK;
}

/** The foreground colour of a cell, 0 to 15. */
export function cellForeground(cell: Cell): number {
  return (cell >>> FOREGROUND_SHIFT) & 15;
}

/** The background colour of a cell, 0 to 15. */
export function cellBackground(cell: Cell): number {
  return (cell >>> BACKGROUND_SHIFT) & 15;
}

/** A line as it was written, before it was cut into rows. */
interface LogicalLine {
  readonly cells: Cell[];
  /** Where in it the cursor stands; -1: elsewhere. */
  cursorAt: number;
}

const TAB_COLUMNS = 8;

/** See the file's head. Rows and columns count from 0. */
export class TextGrid {
  #columns: number;
  #rows: number;
  #cells: Uint32Array;
  /** Whether a row goes on in the next one, because it was too long. */
  #wrapped: Uint8Array;
  /** What an empty cell is: a space in the colours of the moment it was emptied. */
  #blank: Cell;
  row: number = 0;
  column: number = 0;
  /** The last column is written; the next character goes to the next row. */
  #wrapPending = false;

  constructor(columns: number, rows: number, blank: Cell) {
    this.#columns = columns;
    this.#rows = rows;
    this.#blank = blank;
    this.#cells = new Uint32Array(columns * rows).fill(blank);
    this.#wrapped = new Uint8Array(rows);
  }

  get columns(): number {
    return this.#columns;
  }

  get rows(): number {
    return this.#rows;
  }

  /** The cells, row by row: to be read only. */
  get cells(): Uint32Array {
    return this.#cells;
  }

  /** What empties cells from here on. */
  set blank(cell: Cell) {
    this.#blank = cell;
  }

  /** Writes a cell at the cursor and moves it on, into the next row where this one is full. */
  put(cell: Cell): void {
    if (this.#wrapPending) {
      this.#wrapped[this.row] = 1;
      this.#lineDown();
      this.column = 0;
    }
    this.#cells[this.row * this.#columns + this.column] = cell;
    this.#wrapPending = this.column === this.#columns - 1;
    if (!this.#wrapPending) this.column += 1;
  }

  /** To the beginning of the next row. */
  newLine(): void {
    this.#wrapped[this.row] = 0;
    this.#lineDown();
    this.carriageReturn();
  }

  carriageReturn(): void {
    this.moveTo(this.row, 0);
  }

  /** One column back, not beyond the first. Nothing is erased. */
  backspace(): void {
    this.moveTo(this.row, this.column - 1);
  }

  /** On to the next column that is a multiple of eight; to the last at most. */
  tab(): void {
    this.moveTo(this.row, (Math.floor(this.column / TAB_COLUMNS) + 1) * TAB_COLUMNS);
  }

  /** Puts the cursor somewhere, as near as the grid allows. */
  moveTo(row: number, column: number): void {
    this.row = Math.max(0, Math.min(row, this.#rows - 1));
    this.column = Math.max(0, Math.min(column, this.#columns - 1));
    this.#wrapPending = false;
  }

  /** Empties cells from one index up to and without another; indices count row by row. */
  erase(from: number, to: number): void {
    this.#cells.fill(this.#blank, from, to);
    const lastRow = Math.floor((to - 1) / this.#columns);
    for (let row = Math.floor(from / this.#columns); row <= lastRow; row += 1) this.#wrapped[row] = 0;
    this.#wrapPending = false;
  }

  /** The cursor's index among {@link cells}. */
  get cursorIndex(): number {
    return this.row * this.#columns + this.column;
  }

  /** The text: a line for each row, without the spaces at its end and the empty rows at the bottom. */
  text(): string {
    const lines: string[] = [];
    for (let row = 0; row < this.#rows; row += 1) {
      const cells = this.#cells.subarray(row * this.#columns, (row + 1) * this.#columns);
      const characters = Array.from(cells, (cell) => String.fromCodePoint(cellCodePoint(cell)));
      lines.push(characters.join("").trimEnd());
    }
    return lines.join("\n").trimEnd();
  }

  /** Changes the size. Lines are cut anew; those that no longer fit leave at the top, and the cursor stays in its line. */
  resize(columns: number, rows: number): void {
    if (columns === this.#columns && rows === this.#rows) return;
    const lines = this.#logicalLines();
    const cut = lines.flatMap((line) => cutLine(line, columns));
    const cursorRow = Math.max(
      0,
      cut.findIndex(({ cursorAt }) => cursorAt >= 0),
    );
    const dropped = Math.max(0, Math.min(cut.length - rows, cursorRow), cursorRow - (rows - 1));
    const kept = cut.slice(dropped, dropped + rows);
    this.#columns = columns;
    this.#rows = rows;
    this.#cells = new Uint32Array(columns * rows).fill(this.#blank);
    this.#wrapped = new Uint8Array(rows);
    for (const [row, { cells, wrapped }] of kept.entries()) {
      this.#cells.set(cells, row * columns);
      this.#wrapped[row] = wrapped ? 1 : 0;
    }
    this.moveTo(cursorRow - dropped, cut[cursorRow]?.cursorAt ?? 0);
  }

  #lineDown(): void {
    if (this.row < this.#rows - 1) {
      this.row += 1;
      return;
    }
    this.#cells.copyWithin(0, this.#columns);
    this.#cells.fill(this.#blank, (this.#rows - 1) * this.#columns);
    this.#wrapped.copyWithin(0, 1);
    this.#wrapped[this.#rows - 1] = 0;
  }

  /** Rows joined where they were wrapped, down to the cursor or the last one with text. */
  #logicalLines(): readonly LogicalLine[] {
    const lines: LogicalLine[] = [];
    let current: LogicalLine = { cells: [], cursorAt: -1 };
    for (let row = 0; row < this.#rows; row += 1) {
      if (row === this.row) current.cursorAt = current.cells.length + this.column + (this.#wrapPending ? 1 : 0);
      for (const cell of this.#cells.subarray(row * this.#columns, (row + 1) * this.#columns)) current.cells.push(cell);
      if (this.#wrapped[row] === 1) continue;
      trimBlanks(current.cells);
      lines.push(current);
      current = { cells: [], cursorAt: -1 };
    }
    if (current.cells.length > 0) lines.push(current);
    let used = lines.length;
    while (used > 1 && lines[used - 1]?.cells.length === 0 && (lines[used - 1]?.cursorAt ?? -1) < 0) used -= 1;
    return lines.slice(0, used);
  }
}

/** Drops the spaces at the end that show nothing: those on colour 0. */
function trimBlanks(cells: Cell[]): void {
  while (cells.length > 0) {
    const last = cells[cells.length - 1] ?? 0;
    if (cellCodePoint(last) !== SPACE || cellBackground(last) !== 0) return;
    cells.pop();
  }
}

/** A line cut into rows of `columns` cells; at least one row, and one for the cursor. */
function cutLine(
  { cells, cursorAt }: LogicalLine,
  columns: number,
): readonly { readonly cells: readonly Cell[]; readonly cursorAt: number; readonly wrapped: boolean }[] {
  const needed = Math.max(1, Math.ceil(cells.length / columns), Math.floor(cursorAt / columns) + 1);
  return Array.from({ length: needed }, (_, row) => {
    const from = row * columns;
    const inRow = cursorAt >= from && cursorAt < from + columns;
    return {
      cells: cells.slice(from, from + columns),
      cursorAt: inRow ? cursorAt - from : -1,
      wrapped: row < needed - 1,
    };
  });
}
