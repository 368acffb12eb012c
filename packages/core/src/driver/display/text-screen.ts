/**
 * A text console: takes text, keeps it as a grid of characters, and draws it into pixels of four bytes (B8G8R8X8, format
 * 2 of VIRTIO 1.2 section 5.7.6.8). It knows nothing of a GPU.
 *
 * Writing never throws, and does not need the pixels: while none are attached, or their memory refuses, the text is
 * kept, and is drawn as soon as they are there again. So a console can take what is written while a device sleeps.
 */
import { GpuError } from "../../base/errors.ts";
import { type Rect, unionRect } from "../desired/geometry.ts";
import { type AnsiHandler, AnsiParser } from "./ansi.ts";
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyphOf } from "./font.ts";
import { type Cell, cellBackground, cellCodePoint, cellForeground, packCell, TextGrid } from "./text-grid.ts";

/** Where pixels go: `Pages` of guest memory, or anything like it. */
export interface PixelSink {
  /** Copies bytes to byte `offset` on. May throw: the screen takes that for pixels that can't be reached now. */
  write(offset: number, bytes: Uint8Array): void;
}

/** What a {@link TextScreen} may be told. */
export interface TextScreenOptions {
  /** The pixels; may be attached later. */
  readonly sink?: PixelSink;
  /** Bytes from one row of pixels to the next; four a pixel unless given. */
  readonly strideBytes?: number;
  /** The 16 colours as 0xRRGGBB, dark ones first; unless given, black on the left of a soft palette. */
  readonly palette?: readonly number[];
  /** Whether a block shows where the next character goes. True unless given. */
  readonly cursor?: boolean;
}

const DARK = 0;
const LIGHT = 7;
const PALETTE: readonly number[] = [
  0x000000, 0xb03030, 0x2f9e44, 0xb58a1b, 0x3366cc, 0x9a44b0, 0x2a96a5, 0xd0d0d0, 0x606060, 0xff6b6b, 0x69db7c,
  0xffe066, 0x74a9ff, 0xe599f7, 0x66d9e8, 0xffffff,
];
const PALETTE_COLOURS = 16;

const PIXEL_BYTES = 4;
const OPAQUE = 0xff00_0000;
/** A width or a height, in pixels. */
const SIZE_MAX = 16_384;
/** No cell: what is on the pixels is not known. */
const UNKNOWN_CELL = 0xffff_ffff;

/** See the file's head. Sizes are pixels. */
export class TextScreen {
  #width: number;
  #height: number;
  #strideBytes: number;
  #sink: PixelSink | null;
  readonly #palette: Uint32Array;
  readonly #grid: TextGrid;
  readonly #parser: AnsiParser;
  /** What the pixels show, cell by cell; the difference to the grid is what is to be drawn. */
  #drawn: Uint32Array;
  /** Pixels beside and below the last whole character are still to be cleared. */
  #marginsDrawn = false;
  #damage: Rect | null = null;
  #foreground = LIGHT;
  #background = DARK;
  #isBright = false;
  #isInverse = false;
  #isCursorShown: boolean;
  #saved: { readonly row: number; readonly column: number } = { row: 0, column: 0 };

  /** Throws EINVAL for a size that is not a whole number from 1 to 16384, a stride that is too short, or a palette that has not 16 colours. */
  constructor(width: number, height: number, options: TextScreenOptions = {}) {
    this.#width = checkSize(width, "width");
    this.#height = checkSize(height, "height");
    this.#strideBytes = checkStride(options.strideBytes, width);
    this.#sink = options.sink ?? null;
    this.#isCursorShown = options.cursor ?? true;
    const palette = options.palette ?? PALETTE;
    if (palette.length !== PALETTE_COLOURS) throw new GpuError("EINVAL", `a palette of ${palette.length} colours`);
    this.#palette = Uint32Array.from(palette, (colour) => colour | OPAQUE);
    this.#grid = new TextGrid(columnsOf(width), rowsOf(height), packCell(0x20, LIGHT, DARK));
    this.#drawn = new Uint32Array(this.#grid.cells.length).fill(UNKNOWN_CELL);
    this.#parser = new AnsiParser(this.#handler());
    this.#draw();
  }

  get width(): number {
    return this.#width;
  }

  get height(): number {
    return this.#height;
  }

  /** Characters in a row. */
  get columns(): number {
    return this.#grid.columns;
  }

  get rows(): number {
    return this.#grid.rows;
  }

  /** Where the next character goes, counted from 0. */
  get cursor(): { readonly row: number; readonly column: number } {
    return { row: this.#grid.row, column: this.#grid.column };
  }

  /** Whether all text is on the pixels. */
  get isDrawn(): boolean {
    if (!this.#marginsDrawn) return false;
    const { cells } = this.#grid;
    for (let index = 0; index < cells.length; index += 1)
      if (this.#drawn[index] !== this.#shownCell(index)) return false;
    return true;
  }

  /** The text on the screen, row by row. */
  text(): string {
    return this.#grid.text();
  }

  /** Takes text. A new line also returns to the first column. Never throws. */
  write(text: string): void {
    for (const character of text) this.#parser.feed(character.codePointAt(0) ?? 0);
    this.#draw();
  }

  /** From here on pixels go there, all of them at once; null: they are out of reach, and text is only kept. */
  attach(sink: PixelSink | null): void {
    this.#sink = sink;
    if (sink !== null) this.redraw();
  }

  /** Draws everything, whatever the pixels show. */
  redraw(): void {
    this.#drawn.fill(UNKNOWN_CELL);
    this.#marginsDrawn = false;
    this.#draw();
  }

  /** What was drawn since the last call, for a flush; null: nothing. */
  takeDamage(): Rect | null {
    const damage = this.#damage;
    this.#damage = null;
    return damage;
  }

  /** Changes the size, cuts long lines anew, and draws everything. Throws EINVAL as the constructor. */
  resize(
    width: number,
    height: number,
    options: { readonly sink?: PixelSink | null; readonly strideBytes?: number } = {},
  ): void {
    checkSize(width, "width");
    checkSize(height, "height");
    this.#strideBytes = checkStride(options.strideBytes, width);
    this.#width = width;
    this.#height = height;
    if (options.sink !== undefined) this.#sink = options.sink;
    this.#grid.resize(columnsOf(width), rowsOf(height));
    this.#drawn = new Uint32Array(this.#grid.cells.length);
    this.#damage = null;
    this.redraw();
  }

  // --- Text ---

  #handler(): AnsiHandler {
    return {
      print: (codePoint) => this.#grid.put(packCell(codePoint, ...this.#colours())),
      control: (code) => this.#control(code),
      sequence: (final, parameters, isPrivate) => {
        if (isPrivate) this.#privateSequence(final, parameters);
        else this.#sequence(final, parameters);
      },
    };
  }

  #colours(): readonly [foreground: number, background: number] {
    const foreground = this.#isBright && this.#foreground < 8 ? this.#foreground + 8 : this.#foreground;
    return this.#isInverse ? [this.#background, foreground] : [foreground, this.#background];
  }

  #control(code: number): void {
    switch (code) {
      case 0x08:
        this.#grid.backspace();
        break;
      case 0x09:
        this.#grid.tab();
        break;
      case 0x0a:
      case 0x0b:
      case 0x0c:
        this.#grid.newLine();
        break;
      case 0x0d:
        this.#grid.carriageReturn();
        break;
      default:
    }
  }

  #sequence(final: string, parameters: readonly number[]): void {
    const grid = this.#grid;
    const [first = 0, second = 0] = parameters;
    const count = Math.max(1, first);
    switch (final) {
      case "A":
        grid.moveTo(grid.row - count, grid.column);
        break;
      case "B":
        grid.moveTo(grid.row + count, grid.column);
        break;
      case "C":
        grid.moveTo(grid.row, grid.column + count);
        break;
      case "D":
        grid.moveTo(grid.row, grid.column - count);
        break;
      case "G":
        grid.moveTo(grid.row, count - 1);
        break;
      case "d":
        grid.moveTo(count - 1, grid.column);
        break;
      case "H":
      case "f":
        grid.moveTo(count - 1, Math.max(1, second) - 1);
        break;
      case "J":
        this.#erase(first, 0, grid.cells.length);
        break;
      case "K":
        this.#erase(first, grid.row * grid.columns, (grid.row + 1) * grid.columns);
        break;
      case "m":
        this.#rendition(parameters);
        break;
      case "s":
        this.#saved = this.cursor;
        break;
      case "u":
        grid.moveTo(this.#saved.row, this.#saved.column);
        break;
      default:
    }
  }

  #privateSequence(final: string, parameters: readonly number[]): void {
    if (!parameters.includes(25)) return;
    if (final === "h") this.#isCursorShown = true;
    else if (final === "l") this.#isCursorShown = false;
  }

  /** 0: from the cursor on, 1: up to it and with it, 2 and 3: all; of what lies between two indices. */
  #erase(what: number, start: number, end: number): void {
    const { cursorIndex } = this.#grid;
    if (what === 0) this.#grid.erase(cursorIndex, end);
    else if (what === 1) this.#grid.erase(start, cursorIndex + 1);
    else if (what <= 3) this.#grid.erase(start, end);
  }

  #rendition(parameters: readonly number[]): void {
    for (let index = 0; index < parameters.length; index += 1) {
      const code = parameters[index] ?? 0;
      if (code === 38 || code === 48) {
        // 5;n takes a colour of 256, of which the first 16 are ours; 2;r;g;b takes any, of which none is.
        const isIndexed = parameters[index + 1] === 5;
        const colour = parameters[index + 2] ?? PALETTE_COLOURS;
        if (isIndexed && colour < PALETTE_COLOURS) {
          if (code === 38) this.#foreground = colour;
          else this.#background = colour;
        }
        index += isIndexed ? 2 : 4;
      } else this.#simpleRendition(code);
    }
    this.#grid.blank = packCell(0x20, LIGHT, this.#background);
  }

  #simpleRendition(code: number): void {
    const ten = Math.floor(code / 10);
    const one = code % 10;
    if (code === 0) {
      this.#foreground = LIGHT;
      this.#background = DARK;
      this.#isBright = false;
      this.#isInverse = false;
    } else if (code === 1) this.#isBright = true;
    else if (code === 22) this.#isBright = false;
    else if (code === 7) this.#isInverse = true;
    else if (code === 27) this.#isInverse = false;
    else if (code === 39) this.#foreground = LIGHT;
    else if (code === 49) this.#background = DARK;
    else if (one < 8 && ten === 3) this.#foreground = one;
    else if (one < 8 && ten === 4) this.#background = one;
    else if (one < 8 && ten === 9) this.#foreground = one + 8;
    else if (one < 8 && ten === 10) this.#background = one + 8;
  }

  // --- Pixels ---

  /** A cell as it is to be seen: with its colours exchanged where the cursor stands. */
  #shownCell(index: number): Cell {
    const cell = this.#grid.cells[index] ?? 0;
    if (!this.#isCursorShown || index !== this.#grid.cursorIndex) return cell;
    return packCell(cellCodePoint(cell), cellBackground(cell), cellForeground(cell));
  }

  /** Draws what differs. Where the pixels refuse, the rest stays to be drawn. */
  #draw(): void {
    const sink = this.#sink;
    if (sink === null) return;
    try {
      if (!this.#marginsDrawn) this.#drawMargins(sink);
      for (let row = 0; row < this.#grid.rows; row += 1) this.#drawRow(sink, row);
    } catch {
      // A sink is foreign code. What it can't take now is known to be missing, from `#drawn`.
    }
  }

  #drawRow(sink: PixelSink, row: number): void {
    const { columns } = this.#grid;
    const start = row * columns;
    let first = -1;
    let last = -1;
    for (let column = 0; column < columns; column += 1) {
      if (this.#drawn[start + column] === this.#shownCell(start + column)) continue;
      if (first < 0) first = column;
      last = column;
    }
    if (first < 0) return;
    // Should the sink refuse half-way, these cells show neither the old nor the new.
    this.#drawn.fill(UNKNOWN_CELL, start + first, start + last + 1);
    this.#drawSpan(sink, row, first, last + 1);
    for (let column = first; column <= last; column += 1) this.#drawn[start + column] = this.#shownCell(start + column);
  }

  /** Draws characters of one row, from one column up to and without another, as far as they lie on the screen. */
  #drawSpan(sink: PixelSink, row: number, from: number, to: number): void {
    const x = from * GLYPH_WIDTH;
    const y = row * GLYPH_HEIGHT;
    const width = Math.min(to * GLYPH_WIDTH, this.#width) - x;
    const height = Math.min(GLYPH_HEIGHT, this.#height - y);
    const cells = Array.from({ length: to - from }, (_, index) => {
      const cell = this.#shownCell(row * this.#grid.columns + from + index);
      return {
        glyph: glyphOf(cellCodePoint(cell)),
        ink: this.#palette[cellForeground(cell)] ?? 0,
        paper: this.#palette[cellBackground(cell)] ?? 0,
      };
    });
    const line = new Uint32Array(cells.length * GLYPH_WIDTH);
    const bytes = new Uint8Array(line.buffer, 0, width * PIXEL_BYTES);
    for (let glyphRow = 0; glyphRow < height; glyphRow += 1) {
      let at = 0;
      for (const { glyph, ink, paper } of cells) {
        const bits = glyph[glyphRow] ?? 0;
        for (let mask = 0x80; mask !== 0; mask >>= 1) {
          line[at] = (bits & mask) === 0 ? paper : ink;
          at += 1;
        }
      }
      sink.write((y + glyphRow) * this.#strideBytes + x * PIXEL_BYTES, bytes);
    }
    this.#damaged({ x, y, width, height });
  }

  /** Clears what is too narrow or too low for a character. */
  #drawMargins(sink: PixelSink): void {
    const right = Math.min(this.#width, this.#grid.columns * GLYPH_WIDTH);
    const bottom = Math.min(this.#height, this.#grid.rows * GLYPH_HEIGHT);
    this.#clear(sink, { x: right, y: 0, width: this.#width - right, height: bottom });
    this.#clear(sink, { x: 0, y: bottom, width: this.#width, height: this.#height - bottom });
    this.#marginsDrawn = true;
  }

  #clear(sink: PixelSink, area: Rect): void {
    if (area.width === 0 || area.height === 0) return;
    const line = new Uint32Array(area.width).fill(this.#palette[DARK] ?? 0);
    const bytes = new Uint8Array(line.buffer);
    for (let y = area.y; y < area.y + area.height; y += 1) {
      sink.write(y * this.#strideBytes + area.x * PIXEL_BYTES, bytes);
    }
    this.#damaged(area);
  }

  #damaged(area: Rect): void {
    this.#damage = unionRect(this.#damage, area);
  }
}

/** At least one character, of which a tiny screen shows a corner. */
function columnsOf(width: number): number {
  return Math.max(1, Math.floor(width / GLYPH_WIDTH));
}

function rowsOf(height: number): number {
  return Math.max(1, Math.floor(height / GLYPH_HEIGHT));
}

function checkSize(size: number, what: string): number {
  if (Number.isInteger(size) && size >= 1 && size <= SIZE_MAX) return size;
  throw new GpuError("EINVAL", `a text screen's ${what} of ${size} is not a whole number from 1 to ${SIZE_MAX}`);
}

function checkStride(strideBytes: number | undefined, width: number): number {
  if (strideBytes === undefined) return width * PIXEL_BYTES;
  if (Number.isInteger(strideBytes) && strideBytes >= width * PIXEL_BYTES) return strideBytes;
  throw new GpuError("EINVAL", `a stride of ${strideBytes} bytes is too short for ${width} pixels`);
}
