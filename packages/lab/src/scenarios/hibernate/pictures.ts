/**
 * Pictures of a run: what each output showed before and after, as a viewer has it, with the cursor.
 */
import type { Inventory } from "../../guests/machine/protocol.ts";
import type { HostCursor, HostPicture } from "../../hosts/machine.ts";
import type { Cycle } from "./run.ts";

/** Before, after, and where they differ; null: dark, or (`difference`) nothing to compare. */
export interface OutputPictures {
  readonly output: number;
  readonly before: HostPicture | null;
  readonly after: HostPicture | null;
  readonly difference: HostPicture | null;
}

/** Of each output of a cycle. */
export function picturesOf({ before, after }: Cycle): readonly OutputPictures[] {
  return before.outputs.map((_, output) => {
    const pair = [before, after].map((inventory) => (inventory === null ? null : seen(inventory, output)));
    const [then = null, now = null] = pair;
    return { output, before: then, after: now, difference: then === null || now === null ? null : differ(then, now) };
  });
}

/** An output with its cursor. */
function seen({ outputs, cursors }: Inventory, output: number): HostPicture | null {
  const picture = outputs[output] ?? null;
  const cursor = cursors[output] ?? null;
  if (picture === null || cursor === null || cursor.place === null) return picture;
  return withCursor(picture, cursor, cursor.place);
}

function withCursor(picture: HostPicture, cursor: HostCursor, place: { x: number; y: number }): HostPicture {
  const rgba = picture.rgba.slice();
  for (let row = 0; row < cursor.height; row += 1) {
    for (let column = 0; column < cursor.width; column += 1) {
      const [x, y] = [place.x - cursor.hotX + column, place.y - cursor.hotY + row];
      if (x < 0 || y < 0 || x >= picture.width || y >= picture.height) continue;
      const from = (row * cursor.width + column) * 4;
      const to = (y * picture.width + x) * 4;
      const alpha = (cursor.rgba[from + 3] ?? 0) / 255;
      for (let channel = 0; channel < 3; channel += 1) {
        const below = rgba[to + channel] ?? 0;
        rgba[to + channel] = Math.round(below + ((cursor.rgba[from + channel] ?? 0) - below) * alpha);
      }
    }
  }
  return { width: picture.width, height: picture.height, rgba };
}

/** White where they differ, the picture darkened where they do not; null where the sizes differ. */
function differ(one: HostPicture, other: HostPicture): HostPicture | null {
  if (one.width !== other.width || one.height !== other.height) return null;
  const rgba = new Uint8Array(one.rgba.length);
  for (let at = 0; at < rgba.length; at += 4) {
    const isSame = [0, 1, 2].every((channel) => one.rgba[at + channel] === other.rgba[at + channel]);
    for (let channel = 0; channel < 3; channel += 1) {
      rgba[at + channel] = isSame ? (one.rgba[at + channel] ?? 0) >> 3 : 255;
    }
    rgba[at + 3] = 255;
  }
  return { width: one.width, height: one.height, rgba };
}
