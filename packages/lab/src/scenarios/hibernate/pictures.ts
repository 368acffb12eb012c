/**
 * Pictures of a run: what each output showed before and after, as a viewer has it, with the cursor.
 */
import type { Inventory } from "../../guests/machine/protocol.ts";
import type { HostCursor, HostPicture } from "../../hosts/machine.ts";
import type { ReportPicture } from "../../report/index.ts";
import type { Cycle } from "./run.ts";

/** Of each output of a cycle that was lit. */
export function picturesOf({ before, after }: Cycle): readonly ReportPicture[] {
  return (
    (before ?? after)?.outputs.flatMap((_, output) =>
      (["before", "after"] as const).flatMap((when) => {
        const picture = seen(when === "before" ? before : after, output);
        return picture === null ? [] : [{ ...picture, output, when }];
      }),
    ) ?? []
  );
}

/** An output with its cursor, where the host tells where that is. */
function seen(inventory: Inventory | null, output: number): HostPicture | null {
  const picture = inventory?.outputs[output] ?? null;
  const cursor = inventory?.cursors[output] ?? null;
  if (picture === null || cursor === null || cursor.place === null) return picture;
  return withCursor(picture, cursor, cursor.place);
}

function withCursor(
  picture: HostPicture,
  cursor: HostCursor,
  place: { readonly x: number; readonly y: number },
): HostPicture {
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
