/**
 * What is shown when nobody brought a picture: a desktop before a landscape, another one for each output, and small
 * pictures for the buffers that are on none.
 */
import { SeededRandom } from "@virtgpu/core/sim";
import { along, between, Canvas, type Colour } from "./canvas.ts";

/** The colours of a time of day. */
interface Mood {
  readonly sky: readonly Colour[];
  readonly light: Colour;
  /** Where the sun or the moon stands: parts of width and height, and of the height for its size. */
  readonly orb: readonly [x: number, y: number, radius: number];
  readonly far: Colour;
  readonly near: Colour;
  readonly accent: readonly Colour[];
  readonly stars: number;
}

const MOODS: readonly Mood[] = [
  {
    sky: [
      [22, 24, 58],
      [64, 48, 104],
      [168, 84, 120],
      [244, 156, 116],
      [255, 212, 152],
    ],
    light: [255, 226, 178],
    orb: [0.8, 0.17, 0.05],
    far: [150, 88, 122],
    near: [24, 24, 48],
    accent: [
      [98, 182, 203],
      [244, 132, 95],
      [247, 203, 96],
    ],
    stars: 90,
  },
  {
    sky: [
      [6, 12, 30],
      [12, 34, 66],
      [24, 76, 104],
      [72, 142, 142],
    ],
    light: [226, 240, 244],
    orb: [0.24, 0.22, 0.05],
    far: [40, 98, 112],
    near: [6, 18, 30],
    accent: [
      [120, 220, 180],
      [96, 160, 240],
      [240, 200, 120],
    ],
    stars: 260,
  },
  {
    sky: [
      [96, 150, 208],
      [150, 190, 224],
      [214, 226, 226],
      [250, 236, 208],
    ],
    light: [255, 250, 226],
    orb: [0.8, 0.2, 0.055],
    far: [150, 176, 186],
    near: [36, 66, 62],
    accent: [
      [226, 104, 84],
      [74, 132, 196],
      [104, 160, 98],
    ],
    stars: 0,
  },
];

const WHITE: Colour = [250, 250, 252];

/** The desktop of output `index`. */
export function drawDesktop(width: number, height: number, index: number): Canvas {
  const canvas = new Canvas(width, height);
  const mood = moodOf(index);
  landscape(canvas, mood, new SeededRandom(`desktop ${index}`));
  const unit = Math.min(width / 1280, height / 800);
  if (index % 2 === 0) {
    chartWindow(canvas, mood, width * 0.07, height * 0.13, width * 0.5, height * 0.54, unit);
    picturesWindow(canvas, width * 0.6, height * 0.3, width * 0.31, height * 0.42, unit);
  } else {
    editorWindow(canvas, mood, width * 0.3, height * 0.14, width * 0.62, height * 0.62, unit);
  }
  canvas.panel(0, 0, width, 26 * unit, 0, [12, 12, 24], 0.5);
  for (let dot = 0; dot < 3; dot += 1) canvas.disc(width - (20 + dot * 22) * unit, 13 * unit, 5 * unit, WHITE, 0.85);
  canvas.panel(16 * unit, 9 * unit, 88 * unit, 8 * unit, 4 * unit, WHITE, 0.85);
  dock(canvas, mood, unit);
  return canvas;
}

function moodOf(index: number): Mood {
  const mood = MOODS[index % MOODS.length] ?? MOODS[0];
  if (mood === undefined) throw new RangeError("there are no moods");
  return mood;
}

/** Sky, stars, light, four ridges one behind the other with haze between, and the water's edge. */
function landscape(canvas: Canvas, mood: Mood, random: SeededRandom): void {
  const { width, height } = canvas;
  canvas.gradient(mood.sky);
  for (let star = 0; star < mood.stars; star += 1) {
    const y = random.below(Math.max(1, Math.floor(height * 0.5)));
    canvas.blend(random.below(width), y, WHITE, 0.25 + 0.6 * (1 - y / height) * ((star % 5) / 5));
  }
  const [x, y, radius] = mood.orb;
  canvas.glow(width * x, height * y, height * radius * 6, mood.light, 0.55);
  canvas.disc(width * x, height * y, height * radius, mood.light);
  const ridges = 4;
  for (let ridge = 0; ridge < ridges; ridge += 1) {
    const t = ridge / (ridges - 1);
    const phase = random.below(628) / 100;
    const rough = 0.06 * (1 - 0.45 * t) * height;
    const base = height * (0.56 + 0.13 * ridge);
    const top = (column: number): number => {
      const at = (column / width) * 6.28 * (1.1 + t);
      const waves = Math.sin(at + phase) + 0.45 * Math.sin(2.3 * at + 2 * phase) + 0.22 * Math.sin(5.1 * at + phase);
      return base - rough * waves - 0.1 * rough * Math.abs(Math.sin(17 * at + 3 * phase));
    };
    const colour = between(mood.far, mood.near, t);
    canvas.below(top, colour, between(colour, ridge < ridges - 1 ? mood.far : mood.near, 0.55));
  }
}

/** A window's body with its title bar. */
function frame(canvas: Canvas, x: number, y: number, width: number, height: number, unit: number, body: Colour): void {
  canvas.shadow(x, y + 8 * unit, width, height, 34 * unit);
  canvas.panel(x, y, width, height, 12 * unit, body, 0.97);
  const lights: readonly Colour[] = [
    [240, 100, 90],
    [246, 190, 80],
    [100, 200, 110],
  ];
  lights.forEach((light, index) => canvas.disc(x + (20 + index * 20) * unit, y + 18 * unit, 6 * unit, light));
  canvas.panel(x + width * 0.38, y + 14 * unit, width * 0.24, 8 * unit, 4 * unit, [150, 152, 166], 0.6);
}

function chartWindow(canvas: Canvas, mood: Mood, x: number, y: number, w: number, h: number, unit: number): void {
  frame(canvas, x, y, w, h, unit, [246, 246, 249]);
  const side = w * 0.2;
  canvas.panel(x + 14 * unit, y + 46 * unit, side, h - 60 * unit, 8 * unit, [232, 233, 240]);
  for (let row = 0; row < 7; row += 1) {
    const top = y + (64 + row * 34) * unit;
    const chosen = row === 1;
    if (chosen)
      canvas.panel(x + 22 * unit, top - 9 * unit, side - 16 * unit, 27 * unit, 6 * unit, accent(mood, 0), 0.9);
    const length = (side - 60 * unit) * (0.5 + 0.5 * Math.abs(Math.sin(row * 2.1)));
    canvas.panel(x + 34 * unit, top, length, 8 * unit, 4 * unit, chosen ? WHITE : [160, 164, 180]);
  }
  const left = x + side + 36 * unit;
  const right = x + w - 24 * unit;
  const bottom = y + h - 30 * unit;
  const top = y + h * 0.36;
  for (let card = 0; card < 3; card += 1) {
    const width = (right - left - 24 * unit) / 3;
    const at = left + card * (width + 12 * unit);
    canvas.panel(at, y + 46 * unit, width, h * 0.17, 8 * unit, between(accent(mood, card), WHITE, 0.72));
    canvas.panel(at + 14 * unit, y + 60 * unit, width * 0.4, 7 * unit, 3 * unit, accent(mood, card));
    canvas.panel(at + 14 * unit, y + 78 * unit, width * 0.64, 16 * unit, 5 * unit, [70, 74, 96]);
  }
  for (let line = 0; line <= 4; line += 1) {
    const at = top + ((bottom - top) * line) / 4;
    canvas.panel(left, at, right - left, 1, 0, [210, 212, 222]);
  }
  const bars = 14;
  const pitch = (right - left) / bars;
  for (let bar = 0; bar < bars; bar += 1) {
    const size =
      (bottom - top) * (0.25 + 0.6 * Math.abs(Math.sin(bar * 0.55 + 0.6)) * (0.7 + 0.3 * Math.cos(bar * 1.7)));
    const colour = between(accent(mood, 0), accent(mood, 1), bar / bars);
    canvas.panel(left + bar * pitch + pitch * 0.18, bottom - size, pitch * 0.64, size, 5 * unit, colour);
  }
}

function picturesWindow(canvas: Canvas, x: number, y: number, w: number, h: number, unit: number): void {
  frame(canvas, x, y, w, h, unit, [34, 36, 52]);
  const pitch = (w - 24 * unit) / 3;
  const rows = Math.floor((h - 56 * unit) / pitch);
  for (let index = 0; index < rows * 3; index += 1) {
    const side = Math.max(4, Math.round(pitch - 12 * unit));
    const tile = drawTile(side, side, index + 3);
    const left = Math.round(x + 18 * unit + (index % 3) * pitch);
    const top = Math.round(y + 48 * unit + Math.floor(index / 3) * pitch);
    for (let row = 0; row < side; row += 1) {
      for (let column = 0; column < side; column += 1) {
        const at = (row * side + column) * 4;
        const { pixels } = tile;
        canvas.blend(left + column, top + row, [pixels[at + 2] ?? 0, pixels[at + 1] ?? 0, pixels[at] ?? 0], 1);
      }
    }
  }
}

function editorWindow(canvas: Canvas, mood: Mood, x: number, y: number, w: number, h: number, unit: number): void {
  frame(canvas, x, y, w, h, unit, [20, 24, 38]);
  const random = new SeededRandom("editor");
  const pitch = 22 * unit;
  const rows = Math.floor((h - 76 * unit) / pitch);
  let indent = 0;
  for (let row = 0; row < rows; row += 1) {
    const top = y + 52 * unit + row * pitch;
    canvas.panel(x + 20 * unit, top, 16 * unit, 7 * unit, 3 * unit, [70, 78, 104]);
    indent = Math.max(0, Math.min(4, indent + (random.below(3) - 1)));
    let at = x + (56 + indent * 26) * unit;
    const words = 1 + random.below(6);
    for (let word = 0; word < words; word += 1) {
      const length = (26 + random.below(96)) * unit;
      if (at + length > x + w - 30 * unit) break;
      const colour = word === 0 ? accent(mood, row % 3) : between([190, 198, 216], accent(mood, word % 3), 0.35);
      canvas.panel(at, top, length, 8 * unit, 4 * unit, colour, word === 0 ? 0.95 : 0.7);
      at += length + 10 * unit;
    }
  }
  canvas.panel(x, y + h - 24 * unit, w, 24 * unit, 0, accent(mood, 1), 0.85);
}

function dock(canvas: Canvas, mood: Mood, unit: number): void {
  const icons = 7;
  const side = 46 * unit;
  const gap = 14 * unit;
  const width = icons * side + (icons + 1) * gap;
  const left = (canvas.width - width) / 2;
  const top = canvas.height - side - 34 * unit;
  canvas.panel(left, top, width, side + 2 * gap * 0.8, 18 * unit, [250, 250, 255], 0.28);
  for (let icon = 0; icon < icons; icon += 1) {
    const x = left + gap + icon * (side + gap);
    const y = top + gap * 0.8;
    const colour = along([accent(mood, 0), accent(mood, 1), accent(mood, 2), [150, 120, 200]], icon / (icons - 1));
    canvas.panel(x, y, side, side, 11 * unit, colour);
    if (icon % 3 === 0) canvas.disc(x + side / 2, y + side / 2, side * 0.24, WHITE, 0.9);
    else if (icon % 3 === 1)
      canvas.panel(x + side * 0.26, y + side * 0.26, side * 0.48, side * 0.48, 4 * unit, WHITE, 0.9);
    else canvas.line(x + side * 0.28, y + side * 0.68, x + side * 0.72, y + side * 0.32, 6 * unit, WHITE);
  }
}

function accent(mood: Mood, index: number): Colour {
  return mood.accent[index % mood.accent.length] ?? WHITE;
}

/** A picture of its own for each `seed`: rings of colour around a place. */
export function drawTile(width: number, height: number, seed: number): Canvas {
  const canvas = new Canvas(width, height);
  const random = new SeededRandom(`tile ${seed}`);
  const part = (): number => random.below(1000) / 1000;
  const [x, y, pitch, phase] = [width * part(), height * part(), 5 + 7 * part(), 6.28 * part()];
  const from: Colour = [40 + 180 * part(), 40 + 180 * part(), 40 + 180 * part()];
  const to: Colour = [250 * part(), 250 * part(), 250 * part()];
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const rings = 0.5 + 0.5 * Math.sin(Math.hypot(column - x, row - y) / pitch + phase);
      canvas.blend(column, row, between(from, to, rings), 1);
    }
  }
  return canvas;
}

/** The size of {@link drawClock}'s picture. */
export const CLOCK_SIDE = 96;

/** What moves: a dial whose hand has gone on by one step with each frame. */
export function drawClock(frameNumber: number): Canvas {
  const canvas = new Canvas(CLOCK_SIDE, CLOCK_SIDE);
  const centre = CLOCK_SIDE / 2;
  canvas.panel(0, 0, CLOCK_SIDE, CLOCK_SIDE, 0, [26, 28, 44]);
  canvas.disc(centre, centre, centre - 8, [246, 246, 250]);
  canvas.disc(centre, centre, centre - 12, [42, 46, 70]);
  for (let mark = 0; mark < 12; mark += 1) {
    const angle = (mark / 12) * 2 * Math.PI;
    canvas.disc(centre + 29 * Math.sin(angle), centre - 29 * Math.cos(angle), 1.8, [190, 196, 220]);
  }
  const angle = (frameNumber / 60) * 2 * Math.PI;
  canvas.line(centre, centre, centre + 26 * Math.sin(angle), centre - 26 * Math.cos(angle), 4, [244, 132, 95]);
  canvas.disc(centre, centre, 4, WHITE);
  return canvas;
}

/** An arrow: 64 x 64 pixels of B8G8R8A8, transparent where there is none. */
export function drawArrow(): Uint8Array {
  const side = 64;
  const pixels = new Uint8Array(side * side * 4);
  for (let y = 0; y < 26; y += 1) {
    for (let x = 0; x <= y * 0.72; x += 1) {
      const edge = x === 0 || y === 25 || x + 1.5 > y * 0.72;
      pixels.set(edge ? [20, 20, 24, 255] : [255, 255, 255, 255], (y * side + x) * 4);
    }
  }
  return pixels;
}
