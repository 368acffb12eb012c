/**
 * The font as pictures: a few characters to look at, and rules that all of them keep.
 */
import { describe, expect, it } from "vitest";
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyphOf, hasGlyph } from "./font.ts";

/** A character as rows of dots; empty rows at the top and the bottom are left out. */
function picture(character: string): string {
  const rows = Array.from(glyphOf(character.codePointAt(0) ?? 0), (bits) =>
    bits.toString(2).padStart(GLYPH_WIDTH, "0").replaceAll("0", ".").replaceAll("1", "#"),
  );
  const lit = rows.map((row, index) => (row.includes("#") ? index : -1)).filter((index) => index >= 0);
  return `\n${rows.slice(lit[0], (lit.at(-1) ?? 0) + 1).join("\n")}\n`;
}

const ascii = Array.from({ length: 95 }, (_, index) => String.fromCharCode(0x20 + index));

describe("the font", () => {
  it("draws letters that can be read", () => {
    expect(picture("R")).toBe(`
.#####..
.#....#.
.#....#.
.#....#.
.#....#.
.#####..
.#..#...
.#...#..
.#...#..
.#....#.
`);
    expect(picture("g")).toBe(`
..###.#.
.#...##.
.#....#.
.#....#.
.#....#.
.#...##.
..###.#.
......#.
.#....#.
..####..
`);
    expect(picture("ü")).toBe(`
..#..#..
..#..#..
........
.#....#.
.#....#.
.#....#.
.#....#.
.#....#.
.#...##.
..###.#.
`);
  });

  it("has a picture of its own for each character of ASCII", () => {
    const pictures = ascii.map((character) => glyphOf(character.charCodeAt(0)).join());
    expect(new Set(pictures).size).toBe(95);
    expect(ascii.every((character) => hasGlyph(character.charCodeAt(0)))).toBe(true);
    for (const character of ascii) expect(glyphOf(character.charCodeAt(0))).toHaveLength(GLYPH_HEIGHT);
  });

  it("keeps a column free between letters", () => {
    for (const character of ascii) {
      expect(
        [...glyphOf(character.charCodeAt(0))].every((bits) => (bits & 1) === 0),
        character,
      ).toBe(true);
    }
  });

  it("puts accents on letters, and knows the small i without its dot", () => {
    for (const character of "äöüÄÖÜßéèêëàáâãåÅçñÑíìîïóòôõøØæÆúùûÿŠžč£§°±µ×÷«»¿¡") {
      expect(hasGlyph(character.codePointAt(0) ?? 0), character).toBe(true);
    }
    const [withDot, accented] = ["i", "ì"].map((letter) => glyphOf(letter.codePointAt(0) ?? 0));
    expect(accented?.slice(5)).toEqual(withDot?.slice(5));
    expect(accented?.slice(0, 5)).not.toEqual(withDot?.slice(0, 5));
  });

  it("draws lines that meet those of the next cell", () => {
    const edge = { up: 1, right: 2, down: 4, left: 8 };
    const edges = (character: string): number => {
      const glyph = glyphOf(character.codePointAt(0) ?? 0);
      const column = (mask: number): boolean => glyph.some((bits) => (bits & mask) !== 0);
      return (
        ((glyph[0] ?? 0) === 0 ? 0 : edge.up) |
        ((glyph[15] ?? 0) === 0 ? 0 : edge.down) |
        (column(0x01) ? edge.right : 0) |
        (column(0x80) ? edge.left : 0)
      );
    };
    expect(Array.from("─│┌┐└┘├┤┬┴┼", edges)).toEqual([10, 5, 6, 12, 3, 9, 7, 13, 14, 11, 15]);
    expect(Array.from("═║╔╗╚╝╠╣╦╩╬", edges)).toEqual([10, 5, 6, 12, 3, 9, 7, 13, 14, 11, 15]);
    expect(picture("╬")).toContain(`
.#...#..
##...###
........
........
........
##...###
.#...#..
`);
  });

  it("draws a hollow box for what it does not know, also for what is no character at all", () => {
    const box = glyphOf(0x6f22);
    expect(box.some((bits) => bits !== 0)).toBe(true);
    for (const codePoint of [0x1f600, 0xd800, 0x10ffff, 0, 0x7f]) {
      expect(glyphOf(codePoint)).toEqual(box);
      expect(hasGlyph(codePoint)).toBe(false);
    }
  });
});
