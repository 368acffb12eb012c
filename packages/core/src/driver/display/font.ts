/**
 * The text console's font: 8 x 16 pixels a character, drawn for this project. ASCII, letters of western Europe, lines
 * and blocks. Capitals stand on rows 2 to 11, small letters on 5 to 11, what hangs below ends at 14.
 *
 * A glyph is written as its first row, a colon, and one byte (two hexadecimal digits) a row from there on; the high bit
 * is the leftmost pixel. Accented letters are put together from a letter and an accent; lines are computed.
 */

/** Pixels of a character cell. */
export const GLYPH_WIDTH = 8;
export const GLYPH_HEIGHT = 16;

/** From the space on, in the order of ASCII. */
const ASCII: readonly string[] = [
  "0:",
  "2:10101010101010001010", // !
  "2:242424", // "
  "3:24247e2424247e2424", // #
  "1:107c9290907c1212927c10", // $
  "2:6292946810102c52928c", // %
  "2:30484850205a8a848a72", // &
  "2:101010", // '
  "1:081020202020202020201008", // (
  "1:201008080808080808081020", // )
  "4:10925438549210", // *
  "5:101010fe101010", // +
  "10:18180810", // ,
  "8:7e", // -
  "10:1818", // .
  "2:02020404081020204040", // /
  "2:3c42464a4a525262423c", // 0
  "2:1030501010101010107c", // 1
  "2:3c42420204081020407e", // 2
  "2:3c4202021c020202423c", // 3
  "2:040c142444447e040404", // 4
  "2:7e4040407c020202423c", // 5
  "2:1c2040407c424242423c", // 6
  "2:7e020204040808101010", // 7
  "2:3c4242423c424242423c", // 8
  "2:3c424242423e02020438", // 9
  "5:18180000001818", // :
  "5:181800000018180810", // ;
  "3:040810204020100804", // <
  "7:7e00007e", // =
  "3:402010080408102040", // >
  "2:3c424202040808000808", // ?
  "2:3c42829aaaaaaa9c403e", // @
  "2:182424427e4242424242", // A
  "2:7c4242427c424242427c", // B
  "2:3c42404040404040423c", // C
  "2:78444242424242424478", // D
  "2:7e4040407c404040407e", // E
  "2:7e4040407c4040404040", // F
  "2:3c424040404e4242463a", // G
  "2:424242427e4242424242", // H
  "2:7c10101010101010107c", // I
  "2:1e040404040404444438", // J
  "2:42444850606050484442", // K
  "2:4040404040404040407e", // L
  "2:82c6aaaa929282828282", // M
  "2:426262525a4a46464242", // N
  "2:3c42424242424242423c", // O
  "2:7c424242427c40404040", // P
  "2:3c424242424242524a3c02", // Q
  "2:7c424242427c48444442", // R
  "2:3c4240403c020202423c", // S
  "2:fe101010101010101010", // T
  "2:4242424242424242423c", // U
  "2:82828244444428281010", // V
  "2:8282828292929aaa4444", // W
  "2:82824428101028448282", // X
  "2:82824428101010101010", // Y
  "2:7e02020408102040407e", // Z
  "1:382020202020202020202038", // [
  "2:40402020100804040202", // \
  "1:380808080808080808080838", // ]
  "2:102844", // ^
  "13:fe", // _
  "2:201008", // `
  "5:3c023e4242463a", // a
  "2:4040405c62424242625c", // b
  "5:3c42404040423c", // c
  "2:0202023a46424242463a", // d
  "5:3c42427e40423c", // e
  "2:0c12107c101010101010", // f
  "5:3a46424242463a02423c", // g
  "2:4040405c624242424242", // h
  "2:1010003010101010107c", // i
  "2:080800180808080808084830", // j
  "2:40404044485060504844", // k
  "2:3010101010101010107c", // l
  "5:ec929292929292", // m
  "5:5c624242424242", // n
  "5:3c42424242423c", // o
  "5:5c62424242625c404040", // p
  "5:3a46424242463a020202", // q
  "5:5c624040404040", // r
  "5:3e40403c02027c", // s
  "3:10107c10101010120c", // t
  "5:4242424242463a", // u
  "5:42424224241818", // v
  "5:82829292aaaa44", // w
  "5:42422418244242", // x
  "5:4242424242463a02423c", // y
  "5:7e02040810207e", // z
  "1:0c10101010106010101010100c", // {
  "1:10101010101010101010101010", // |
  "1:6010101010100c101010101060", // }
  "6:324c", // ~
];

/** What no letter and accent make up. */
const OTHERS: Readonly<Record<string, string>> = {
  "¡": "4:101000101010101010",
  "£": "2:1c2220207820202062dc",
  "§": "1:3c42403c4242423c02423c",
  "«": "6:122448904824",
  "»": "6:904824122448",
  "°": "2:18242418",
  "±": "4:101010fe1010100000fe",
  "²": "2:18240408103c",
  "³": "2:182408042418",
  µ: "5:4242424242665a404040",
  "·": "7:1818",
  "¿": "4:1010001010204042423c",
  "×": "5:422418182442",
  "÷": "4:101000fe001010",
  ß: "2:3844444858444242524c",
  æ: "5:6c127e9090926c",
  Æ: "2:3e5090909cf09090909e",
  ø: "4:023c464a4a5252623c40",
  Ø: "1:023c464a4a4a525252623c40",
  ı: "5:3010101010107c",
  "€": "2:1c2240f840f84040221c",
  "•": "6:183c3c18",
  "…": "10:9292",
  "←": "5:102040fe402010",
  "↑": "2:10385492101010101010",
  "→": "5:100804fe040810",
  "↓": "2:10101010101092543810",
};

/** The box drawn for what this font has no picture of. */
const UNKNOWN = "2:7e42424242424242427e";

/** Accents above small letters and above capitals, and below either. */
const ACCENTS: Readonly<Record<string, readonly [small: string, capital: string]>> = {
  "\u0300": ["2:2010", "0:10"],
  "\u0301": ["2:0810", "0:08"],
  "\u0302": ["2:1824", "0:1824"],
  "\u0303": ["2:324c", "0:324c"],
  "\u0308": ["2:2424", "0:24"],
  "\u030a": ["1:182418", "0:1818"],
  "\u0327": ["12:081810", "12:081810"],
  "\u030c": ["2:2418", "0:2418"],
};

/** Punctuation that looks like another character's here. */
const LOOKALIKES: Readonly<Record<string, string>> = {
  "\u00a0": " ",
  "\u00ad": "-",
  "‐": "-",
  "‑": "-",
  "–": "-",
  "—": "─",
  "‘": "'",
  "’": "'",
  "“": '"',
  "”": '"',
  "−": "-",
};

function glyphFrom(text: string): Uint8Array {
  const [first = "0", rows = ""] = text.split(":");
  const glyph = new Uint8Array(GLYPH_HEIGHT);
  for (let row = 0; 2 * row < rows.length; row += 1) {
    glyph[Number(first) + row] = Number.parseInt(rows.slice(2 * row, 2 * row + 2), 16);
  }
  return glyph;
}

/** How far the lines of a box reach from a cell's middle: 0 not, 1 single, 2 double. Up, right, down, left. */
type Arms = readonly [up: number, right: number, down: number, left: number];

const BOXES: Readonly<Record<string, Arms>> = {
  "─": [0, 1, 0, 1],
  "│": [1, 0, 1, 0],
  "┌": [0, 1, 1, 0],
  "┐": [0, 0, 1, 1],
  "└": [1, 1, 0, 0],
  "┘": [1, 0, 0, 1],
  "├": [1, 1, 1, 0],
  "┤": [1, 0, 1, 1],
  "┬": [0, 1, 1, 1],
  "┴": [1, 1, 0, 1],
  "┼": [1, 1, 1, 1],
  "═": [0, 2, 0, 2],
  "║": [2, 0, 2, 0],
  "╔": [0, 2, 2, 0],
  "╗": [0, 0, 2, 2],
  "╚": [2, 2, 0, 0],
  "╝": [2, 0, 0, 2],
  "╠": [2, 2, 2, 0],
  "╣": [2, 0, 2, 2],
  "╦": [0, 2, 2, 2],
  "╩": [2, 2, 0, 2],
  "╬": [2, 2, 2, 2],
};

/** Where the lines run: a single one through the middle, a double one on both sides of it. */
const MIDDLE_ROW = 8;
const MIDDLE_COLUMN = 3;
const DOUBLE_OFFSET = 2;

/** Lines from the middle outwards. Of a double line, what lies between its halves stays open. */
function boxGlyph([up, right, down, left]: Arms): Uint8Array {
  const glyph = new Uint8Array(GLYPH_HEIGHT);
  const isDouble = Math.max(up, right, down, left) === 2;
  const reach = isDouble ? DOUBLE_OFFSET : 0;
  for (let row = 0; row < GLYPH_HEIGHT; row += 1) {
    for (let column = 0; column < GLYPH_WIDTH; column += 1) {
      const across = column - MIDDLE_COLUMN;
      const along = row - MIDDLE_ROW;
      const vertical = Math.abs(across) === reach && isInArm(along, across, [up, down], [left, right], reach);
      const horizontal = Math.abs(along) === reach && isInArm(across, along, [left, right], [up, down], reach);
      if (vertical || horizontal) glyph[row] = (glyph[row] ?? 0) | (0x80 >> column);
    }
  }
  return glyph;
}

/**
 * Whether a pixel on a line's track is drawn: `along` the line and `beside` its middle, with the arms before and behind
 * the middle, and those of the crossing line on either side.
 */
function isInArm(
  along: number,
  beside: number,
  [before, behind]: readonly [number, number],
  [crossingBefore, crossingBehind]: readonly [number, number],
  reach: number,
): boolean {
  if (along < -reach) return before > 0;
  if (along > reach) return behind > 0;
  const crossing = beside < 0 ? crossingBefore : beside > 0 ? crossingBehind : 0;
  // Between the halves of a double crossing, a line ends at the half that its other side has no arm beyond.
  if (reach === 0) return before + behind > 0;
  if (Math.abs(along) === reach) {
    const arm = along < 0 ? before : behind;
    return arm > 0 || crossing === 0;
  }
  return crossing === 0;
}

/** Blocks and shades: what is lit at a row and a column. */
const BLOCKS: Readonly<Record<string, (row: number, column: number) => boolean>> = {
  "█": () => true,
  "▀": (row) => row < GLYPH_HEIGHT / 2,
  "▄": (row) => row >= GLYPH_HEIGHT / 2,
  "▌": (_, column) => column < GLYPH_WIDTH / 2,
  "▐": (_, column) => column >= GLYPH_WIDTH / 2,
  "░": (row, column) => row % 2 === 0 && (column + row) % 4 === 0,
  "▒": (row, column) => (column + row) % 2 === 0,
  "▓": (row, column) => row % 2 !== 0 || (column + row) % 4 !== 0,
};

function blockGlyph(isLit: (row: number, column: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: GLYPH_HEIGHT }, (_, row) => {
    let bits = 0;
    for (let column = 0; column < GLYPH_WIDTH; column += 1) if (isLit(row, column)) bits |= 0x80 >> column;
    return bits;
  });
}

const glyphs = new Map<number, Uint8Array>();

function define(character: string, glyph: Uint8Array): void {
  glyphs.set(character.codePointAt(0) ?? 0, glyph);
}

for (const [index, text] of ASCII.entries()) define(String.fromCharCode(0x20 + index), glyphFrom(text));
for (const [character, text] of Object.entries(OTHERS)) define(character, glyphFrom(text));
for (const [character, arms] of Object.entries(BOXES)) define(character, boxGlyph(arms));
for (const [character, isLit] of Object.entries(BLOCKS)) define(character, blockGlyph(isLit));

const unknown = glyphFrom(UNKNOWN);

/** A letter with an accent, where this font has both. */
function composed(codePoint: number): Uint8Array | null {
  const [letter = "", accent = "", ...more] = String.fromCodePoint(codePoint).normalize("NFD");
  const marks = ACCENTS[accent];
  const base = glyphs.get((letter === "i" || letter === "j" ? "ı" : letter).codePointAt(0) ?? 0);
  if (marks === undefined || base === undefined || more.length > 0) return null;
  const isCapital = letter !== letter.toLowerCase();
  const mark = glyphFrom(marks[isCapital ? 1 : 0]);
  return base.map((bits, row) => bits | (mark[row] ?? 0));
}

/** The 16 rows of a character, the high bit leftmost; a hollow box for what the font has no picture of. */
export function glyphOf(codePoint: number): Uint8Array {
  const known = glyphs.get(codePoint);
  if (known !== undefined) return known;
  const lookalike = LOOKALIKES[String.fromCodePoint(codePoint)];
  const glyph =
    lookalike === undefined ? (composed(codePoint) ?? unknown) : (glyphs.get(lookalike.codePointAt(0) ?? 0) ?? unknown);
  // Only what has a picture is kept: the number of other code points that a text may hold has no such bound.
  if (glyph !== unknown) glyphs.set(codePoint, glyph);
  return glyph;
}

/** Whether {@link glyphOf} draws this character, and not the box. */
export function hasGlyph(codePoint: number): boolean {
  return glyphOf(codePoint) !== unknown;
}
