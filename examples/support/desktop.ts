/** Pictures worth keeping: a small desktop, drawn into buffers of format B8G8R8X8 or B8G8R8A8. */
import type { GpuBuffer } from "@virtgpu/core/driver";

type Colour = readonly [red: number, green: number, blue: number, alpha?: number];
type Shade = (x: number, y: number) => Colour | null;

function fill(buffer: GpuBuffer, shade: Shade): void {
  const { width, height } = buffer;
  buffer.map((pixels) => {
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const colour = shade(x, y);
        if (colour !== null) pixels.set([colour[2], colour[1], colour[0], colour[3] ?? 0xff], (y * width + x) * 4);
      }
    }
  });
}

const inside = (x: number, y: number, left: number, top: number, width: number, height: number): boolean =>
  x >= left && y >= top && x < left + width && y < top + height;

/** Hills at dusk, a moon, a window with a chart, a bar below. */
export function drawDesktop(buffer: GpuBuffer): void {
  const { width, height } = buffer;
  const hill = (x: number, phase: number): number => Math.sin(x / 70 + phase) * 18 + Math.sin(x / 31 + 2 * phase) * 8;
  fill(buffer, (x, y) => {
    if (y >= height - 26) return inside(x, y, 10, height - 19, 44, 12) ? [90, 160, 220] : [24, 26, 36];
    if (inside(x, y, 60, 60, width * 0.45, height * 0.5)) return chart(x - 60, y - 60, width * 0.45, height * 0.5);
    if (Math.hypot(x - width * 0.8, y - height * 0.22) < 34) return [250, 236, 200];
    if (y > height * 0.78 + hill(x, 1)) return [22, 34, 54];
    if (y > height * 0.66 + hill(x, 2.4)) return [40, 58, 92];
    const t = y / height;
    return [Math.round(40 + 190 * t), Math.round(44 + 90 * t), Math.round(96 + 40 * (1 - t))];
  });
}

/** A window: title bar, and bars of a chart. */
function chart(x: number, y: number, width: number, height: number): Colour {
  if (y < 18) return Math.hypot(x - 11, y - 9) < 5 ? [236, 106, 94] : [58, 62, 80];
  const bar = Math.floor((x - 12) / 24);
  const top = height - 14 - (0.35 + 0.55 * Math.abs(Math.sin(bar * 1.3))) * (height - 48);
  const isBar = x > 12 && x < width - 12 && (x - 12) % 24 < 16 && y > top && y < height - 12;
  return isBar ? [94, 180 - bar * 8, 170 + bar * 6] : [246, 246, 242];
}

/** Rings of colour from night to sand, different by seed. */
export function drawRings(buffer: GpuBuffer, seed: number): void {
  const { width, height } = buffer;
  fill(buffer, (x, y) => {
    const distance = Math.hypot(x - width / 2, y - height / 2);
    const t = 0.5 + 0.5 * Math.cos(Math.floor(distance / 12) * 0.45 + seed);
    return [Math.round(38 + 196 * t), Math.round(48 + 140 * t * t), Math.round(92 + 44 * (1 - t) + 60 * t * t)];
  });
}

/** An arrow. */
export function drawCursor(buffer: GpuBuffer): void {
  fill(buffer, (x, y) => {
    const isIn = y < 24 && x <= y * 0.7;
    if (!isIn) return [0, 0, 0, 0];
    return x === 0 || y >= 23 || x + 1 > y * 0.7 ? [20, 20, 20, 255] : [255, 255, 255, 255];
  });
}
