/**
 * The text console: what it keeps (text), and what it draws (pixels in a piece of memory).
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GpuError } from "../../base/errors.ts";
import type { Rect } from "../desired/geometry.ts";
import { glyphOf } from "./font.ts";
import { type PixelSink, TextScreen } from "./text-screen.ts";

/** Memory for pixels that counts writes, and refuses them when told to. */
class Memory implements PixelSink {
  readonly bytes: Uint8Array;
  writes = 0;
  /** Writes that still succeed; then they throw. */
  patience = Infinity;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength).fill(0xaa);
  }

  write(offset: number, bytes: Uint8Array): void {
    if (this.patience <= 0) throw new GpuError("EBUSY", "no pixels now");
    this.patience -= 1;
    this.writes += 1;
    this.bytes.set(bytes, offset);
  }
}

const WHITE = 0xffd0d0d0;
const BLACK = 0xff000000;

function pixel(memory: Memory, strideBytes: number, x: number, y: number): number {
  return new DataView(memory.bytes.buffer).getUint32(y * strideBytes + 4 * x, true);
}

/** Screen and memory of `columns` x `rows` characters. */
function screenOf(columns: number, rows: number): { screen: TextScreen; memory: Memory } {
  const memory = new Memory(columns * 8 * rows * 16 * 4);
  return { screen: new TextScreen(columns * 8, rows * 16, { sink: memory, cursor: false }), memory };
}

/** What a new screen would show of the same text: the truth that drawing piece by piece is held against. */
function redrawn(screen: TextScreen): Uint8Array {
  const memory = new Memory(screen.width * screen.height * 4);
  screen.attach(memory);
  return memory.bytes;
}

/** Where two pieces of memory differ first; -1: nowhere. A matcher's report of a difference would be endless. */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return a.length === b.length ? a.findIndex((byte, at) => byte !== b[at]) : Math.min(a.length, b.length);
}

function written(text: string, columns: number = 10, rows: number = 4): string {
  const { screen } = screenOf(columns, rows);
  screen.write(text);
  return screen.text();
}

describe("text", () => {
  it.each([
    ["lines", "one\ntwo", "one\ntwo"],
    ["a return", "hello\rj", "jello"],
    ["a step back", "ab\bc", "ac"],
    ["steps back beyond the first column", "a\b\b\b\bc", "c"],
    ["tabs", "a\tb", "a       b"],
    ["a tab beyond the last column", "a\t\tb", "a        b"],
    ["a line of exactly the width", "0123456789\nx", "0123456789\nx"],
    ["a longer line, which wraps", "0123456789abc", "0123456789\nabc"],
    ["more lines than rows, which scroll", "1\n2\n3\n4\n5", "2\n3\n4\n5"],
    ["wrapping at the bottom, which scrolls", "1\n2\n3\n0123456789ab", "2\n3\n0123456789\nab"],
    ["characters of two code units", "a\u{1f600}b", "a\u{1f600}b"],
    ["half a character", "a\ud800b", "a\ud800b"],
    ["marks without a width", "e\u0301\u200bx", "ex"],
    ["control characters that mean nothing", "a\0\x01\x07\x7f\x85b", "ab"],
  ])("keeps %s", (_, text, expected) => {
    expect(written(text)).toBe(expected);
  });

  it.each([
    ["home and clear", "junk\n\x1b[H\x1b[2Jnew", "new"],
    ["a move to a row and a column", "\x1b[2;3Hx", "\n  x"],
    ["a move beyond the end", "\x1b[99;99Hx", "\n\n\n         x"],
    ["moves by steps", "abc\x1b[2Dx\x1b[Bd\x1b[Au\x1b[2Cr", "axcu  r\n  d"],
    ["erasing to the end of the line", "abcdef\r\x1b[2C\x1b[K", "ab"],
    ["erasing to the start of the line", "abcdef\r\x1b[2C\x1b[1K", "   def"],
    ["erasing the line", "abc\x1b[2Kd", "   d"],
    ["erasing to the end of the screen", "ab\ncd\nef\x1b[1;2H\x1b[J", "a"],
    ["erasing to the start of the screen", "ab\ncd\nef\x1b[2;1H\x1b[1J", "\n d\nef"],
    ["saving and restoring the place", "ab\x1b[scd\x1b[ue", "abed"],
    ["a move to a column", "abc\x1b[2Gx\x1b[3dy", "axc\n\n  y"],
  ])("follows %s", (_, text, expected) => {
    expect(written(text)).toBe(expected);
  });

  it.each([
    ["an unknown sequence", "a\x1b[5;6;7;8zb"],
    ["a private one", "a\x1b[?1049hb"],
    ["one with too many and too large parameters", `a\x1b[${"99999999999;".repeat(500)}mb`],
    ["one with intermediate characters", "a\x1b[1$rb"],
    ["one of two characters", "a\x1b=b"],
    ["the choice of a character set", "a\x1b(Bb"],
    ["a window's title", "a\x1b]0;title\x07b"],
    ["a string with its proper end", "a\x1bPq1;2\x1b\\b"],
    ["one that is cancelled", "a\x1b[3\x18b"],
    ["one that another interrupts", "a\x1b[3\x1b[31mb"],
    ["colours of 256 and of millions", "a\x1b[38;5;200m\x1b[48;2;1;2;3mb"],
  ])("swallows %s", (_, text) => {
    expect(written(text)).toBe("ab");
  });

  it("shows text again after a string that never ends", () => {
    expect(written(`\x1b]${"x".repeat(4096)}end`)).toBe("end");
  });

  it("takes a sequence that comes in pieces", () => {
    const { screen } = screenOf(10, 2);
    for (const piece of "a\x1b[2;1Hb") screen.write(piece);
    expect(screen.text()).toBe("a\nb");
  });
});

describe("pixels", () => {
  it("are the glyph's, in the colours of the text, at its place", () => {
    const { screen, memory } = screenOf(4, 2);
    screen.write("\n A");
    const glyph = glyphOf(0x41);
    for (let y = 0; y < 16; y += 1) {
      for (let x = 0; x < 8; x += 1) {
        const lit = ((glyph[y] ?? 0) & (0x80 >> x)) !== 0;
        expect(pixel(memory, 128, 8 + x, 16 + y)).toBe(lit ? WHITE : BLACK);
      }
    }
  });

  it("have the colours that were asked for", () => {
    const palette = Array.from({ length: 16 }, (_, index) => index);
    const memory = new Memory(8 * 16 * 16 * 4);
    const screen = new TextScreen(8 * 16, 16, { sink: memory, cursor: false, palette });
    /** Paper and ink of the character in a column, which must be a full block on its left half. */
    const colours = (column: number): readonly [number, number] => [
      pixel(memory, 512, column * 8 + 7, 0) & 0xff,
      pixel(memory, 512, column * 8, 0) & 0xff,
    ];
    screen.write(
      "▌\x1b[31m▌\x1b[44m▌\x1b[1m▌\x1b[22;39m▌\x1b[7m▌\x1b[27m▌\x1b[92;105m▌\x1b[38;5;3;48;5;6m▌\x1b[49m▌\x1b[m▌",
    );
    expect(Array.from({ length: 11 }, (_, column) => colours(column))).toEqual([
      [0, 7],
      [0, 1],
      [4, 1],
      [4, 9],
      [4, 7],
      [7, 4],
      [4, 7],
      [13, 10],
      [6, 3],
      [0, 3],
      [0, 7],
    ]);
  });

  it("show a block where the next character goes, unless it is switched off", () => {
    const memory = new Memory(16 * 16 * 4);
    const screen = new TextScreen(16, 16, { sink: memory });
    expect(pixel(memory, 64, 0, 0)).toBe(WHITE);
    screen.write(" ");
    expect([0, 8].map((x) => pixel(memory, 64, x, 0))).toEqual([BLACK, WHITE]);
    screen.write("\x1b[?25l");
    expect(pixel(memory, 64, 8, 0)).toBe(BLACK);
    screen.write("\x1b[?25h");
    expect(pixel(memory, 64, 8, 0)).toBe(WHITE);
  });

  it("beside and below the last whole character are cleared, and with a stride nothing between the rows is touched", () => {
    const strideBytes = 29 * 4 + 12;
    const memory = new Memory(strideBytes * 37);
    const screen = new TextScreen(29, 37, { sink: memory, strideBytes, cursor: false });
    expect([screen.columns, screen.rows]).toEqual([3, 2]);
    for (let y = 0; y < 37; y += 1) {
      for (let x = 0; x < 29; x += 1) expect(pixel(memory, strideBytes, x, y)).toBe(BLACK);
      expect([...memory.bytes.subarray(y * strideBytes + 29 * 4, (y + 1) * strideBytes)]).toEqual(
        new Array<number>(12).fill(0xaa),
      );
    }
    expect(screen.takeDamage()).toEqual({ x: 0, y: 0, width: 29, height: 37 });
  });

  it("are drawn for what changed alone", () => {
    const { screen, memory } = screenOf(80, 25);
    screen.write("hello\nworld");
    screen.takeDamage();
    memory.writes = 0;
    screen.write("\x1b[1;2Ha\x1b[1;5Hy");
    expect(memory.writes).toBe(16);
    expect(screen.takeDamage()).toEqual({ x: 8, y: 0, width: 32, height: 16 });
    screen.write("\x1b[1;2Ha");
    expect(screen.takeDamage()).toBeNull();
  });
});

const piece = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.stringMatching(/^[ -~]{0,30}$/),
  fc.constantFrom(
    "\n",
    "\n\n\n",
    "\r",
    "\b",
    "\t",
    "\x1b",
    "\x1b[",
    "\x1b[2J",
    "\x1b[H",
    "\x1b[K",
    "\x1b[31;47m",
    "\x1b[m",
  ),
  fc.tuple(fc.nat(30), fc.nat(30)).map(([row, column]) => `\x1b[${row};${column}H`),
);

describe("whatever is written", () => {
  it("nothing throws, what is drawn piece by piece is what a redraw draws, and damage covers each change", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 1, max: 70 }),
        fc.array(piece, { maxLength: 12 }),
        (width, height, pieces) => {
          const memory = new Memory(width * height * 4);
          const screen = new TextScreen(width, height, { sink: memory });
          screen.takeDamage();
          for (const text of pieces) {
            const before = memory.bytes.slice();
            screen.write(text);
            expectCovered(before, memory.bytes, width, screen.takeDamage());
          }
          expect(screen.isDrawn).toBe(true);
          expect(firstDifference(redrawn(screen), memory.bytes)).toBe(-1);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("a size changes at any time", () => {
    const sizes = fc.tuple(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 70 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(sizes, piece), { maxLength: 8 }), (steps) => {
        const screen = new TextScreen(50, 50);
        for (const [[width, height], text] of steps) {
          const memory = new Memory(width * height * 4);
          screen.resize(width, height, { sink: memory });
          screen.write(text);
          expect(screen.cursor.row).toBeLessThan(screen.rows);
          expect(screen.cursor.column).toBeLessThan(screen.columns);
          expect(firstDifference(redrawn(screen), memory.bytes)).toBe(-1);
        }
      }),
      { numRuns: 150 },
    );
  });
});

function expectCovered(before: Uint8Array, after: Uint8Array, width: number, damage: Rect | null): void {
  const changed: string[] = [];
  for (let at = 0; at < after.length; at += 4) {
    if ([0, 1, 2, 3].every((byte) => before[at + byte] === after[at + byte])) continue;
    const [x, y] = [(at / 4) % width, Math.floor(at / 4 / width)];
    const inside =
      damage !== null && x >= damage.x && y >= damage.y && x < damage.x + damage.width && y < damage.y + damage.height;
    if (!inside) changed.push(`${x},${y}`);
  }
  expect(changed).toEqual([]);
}

describe("R-38 (b) pixels out of reach", () => {
  it("text written meanwhile is kept, and appears when they are back", () => {
    const memory = new Memory(80 * 48 * 4);
    const screen = new TextScreen(80, 48, { cursor: false });
    screen.write("before\n");
    expect(screen.isDrawn).toBe(false);
    expect(screen.takeDamage()).toBeNull();
    screen.attach(memory);
    screen.attach(null);
    const asleep = memory.bytes.slice();
    screen.write("asleep");
    expect(firstDifference(memory.bytes, asleep)).toBe(-1);
    expect(screen.text()).toBe("before\nasleep");
    const other = new Memory(80 * 48 * 4);
    screen.attach(other);
    expect(screen.isDrawn).toBe(true);
    expect(pixel(other, 320, 3 * 8 + 1, 16 + 8)).toBe(WHITE);
    expect(screen.takeDamage()).toEqual({ x: 0, y: 0, width: 80, height: 48 });
  });

  it("memory that refuses in the midst of drawing does not make writing throw, and nothing is forgotten", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(piece, fc.nat(40)), { maxLength: 10 }), (steps) => {
        const memory = new Memory(77 * 53 * 4);
        const screen = new TextScreen(77, 53, { sink: memory });
        for (const [text, patience] of steps) {
          memory.patience = patience;
          screen.write(text);
        }
        memory.patience = Infinity;
        screen.write("");
        expect(screen.isDrawn).toBe(true);
        expect(firstDifference(redrawn(screen), memory.bytes)).toBe(-1);
      }),
      { numRuns: 100 },
    );
  });
});

describe("another size", () => {
  it("cuts lines anew, and gives them back when there is room again", () => {
    const { screen } = screenOf(20, 6);
    screen.write("a line of 20 columns\nshort\n$ ");
    screen.resize(7 * 8, 6 * 16);
    expect(screen.text()).toBe("a line\nof 20 c\nolumns\nshort\n$");
    screen.resize(20 * 8, 6 * 16);
    expect(screen.text()).toBe("a line of 20 columns\nshort\n$");
    screen.write("ls");
    expect(screen.text()).toBe("a line of 20 columns\nshort\n$ ls");
  });

  it("knows after scrolling which rows are one line", () => {
    const { screen } = screenOf(4, 3);
    screen.write("1\n2\nabcdef");
    expect(screen.text()).toBe("2\nabcd\nef");
    screen.resize(8 * 8, 3 * 16);
    expect(screen.text()).toBe("2\nabcdef");
  });

  it("lets go of the oldest lines where there are too many, never of the one with the cursor", () => {
    const { screen } = screenOf(10, 6);
    screen.write("1\n2\n3\n4\n5\n6");
    screen.resize(80, 32);
    expect(screen.text()).toBe("5\n6");
    screen.write("\x1b[1;1H");
    screen.resize(80, 16);
    expect(screen.text()).toBe("5");
    expect(screen.cursor).toEqual({ row: 0, column: 0 });
  });

  it("is EINVAL where it is none", () => {
    const { screen } = screenOf(10, 6);
    screen.write("text");
    for (const [width, height] of [
      [0, 16],
      [8, 0],
      [8.5, 16],
      [NaN, 16],
      [16385, 16],
      [8, -1],
    ] as const) {
      expect(() => new TextScreen(width, height)).toThrow(GpuError);
      expect(() => screen.resize(width, height)).toThrow(/EINVAL/);
    }
    expect(() => screen.resize(80, 96, { strideBytes: 319 })).toThrow(/stride/);
    expect(() => new TextScreen(8, 16, { palette: [0] })).toThrow(/palette/);
    expect(screen.text()).toBe("text");
  });

  it("of a single pixel shows a corner of a character", () => {
    const memory = new Memory(4);
    const screen = new TextScreen(1, 1, { sink: memory, cursor: false });
    screen.write("█");
    expect(pixel(memory, 4, 0, 0)).toBe(WHITE);
    screen.write("\r \r");
    expect(pixel(memory, 4, 0, 0)).toBe(BLACK);
    screen.write("\r█\b");
    expect(screen.text()).toBe("█");
  });
});
