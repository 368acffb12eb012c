/**
 * Reads a text console's picture by what the console itself says is on it: with one glyph a character, the same wherever it
 * stands, another for each.
 */
import { createHash } from "node:crypto";

/** Linux's console font on a PC. */
const CELL = { width: 8, height: 16 } as const;
const BLANK = " ";

/** A picture in RGBA. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly rgba: ArrayLike<number>;
}

/** The pixels of a cell, as a short text. */
function glyphAt(
  { width, rgba }: Picture,
  column: number,
  row: number,
): { readonly hash: string; readonly isBlank: boolean } {
  const hash = createHash("sha256");
  let isBlank = true;
  for (let y = 0; y < CELL.height; y += 1) {
    const start = ((row * CELL.height + y) * width + column * CELL.width) * 4;
    const line = Uint8Array.from({ length: CELL.width * 4 }, (_, index) => rgba[start + index] ?? 0);
    isBlank &&= line.every((value, index) => value === (index % 4 === 3 ? 255 : 0));
    hash.update(line);
  }
  return { hash: hash.digest("hex"), isBlank };
}

/**
 * What a picture shows that is not the text, cell by cell; empty when it shows just that. `text` is /dev/vcs's: all rows,
 * one after the other. Cells from the text's last character on are left out: that is where the text cursor blinks.
 */
export function differences(picture: Picture, text: string): string[] {
  const columns = Math.floor(picture.width / CELL.width);
  const glyphs = new Map<string, string>();
  const found: string[] = [];
  const end = text.trimEnd().length;
  for (let index = 0; index < Math.floor(picture.height / CELL.height) * columns; index += 1) {
    if (index >= end && index <= end + 2) continue;
    const character = text[index] ?? BLANK;
    const { hash, isBlank } = glyphAt(picture, index % columns, Math.floor(index / columns));
    const known = glyphs.get(character);
    glyphs.set(character, hash);
    const isSound = (character === BLANK) === isBlank && (known === undefined || known === hash);
    if (!isSound) found.push(`${JSON.stringify(character)} at ${index % columns},${Math.floor(index / columns)}`);
  }
  if (new Set(glyphs.values()).size !== glyphs.size) found.push("two characters look the same");
  return found;
}
