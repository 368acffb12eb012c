/**
 * The cursor queue: UPDATE_CURSOR and MOVE_CURSOR (VIRTIO 1.2 section 5.7.6.10), as QEMU takes them: no reply, and what is
 * wrong is ignored. Every command that is not MOVE_CURSOR is an update.
 */
import { MemoryRangeError } from "../memory/guest-memory.ts";
import { BYTES_PER_PIXEL, CURSOR_SIZE, Format, FORMATS, GpuCommand } from "../wire/gpu.ts";
import { readUpdateCursor, UPDATE_CURSOR_BYTES } from "../wire/gpu.gen.ts";
import type { Cursor, GpuState } from "./gpu-state.ts";
import type { CommandLane } from "./lane.ts";
import { framebufferToRgba, type PixelSource } from "./pixels.ts";
import type { Resource } from "./resource.ts";

const PICTURE_BYTES = CURSOR_SIZE * CURSOR_SIZE * BYTES_PER_PIXEL;
const STRIDE = CURSOR_SIZE * BYTES_PER_PIXEL;

/** Executes one command of the cursor queue. */
export function cursorCommand(state: GpuState, lane: CommandLane): void {
  if (lane.requestBytes < UPDATE_CURSOR_BYTES) return;
  const { scanoutId, x, y, resourceId, hotX, hotY } = readUpdateCursor(lane.request, 0);
  const cursor = state.cursors[scanoutId];
  if (cursor === undefined) return;
  const isMove = lane.request[0] === GpuCommand.MOVE_CURSOR;
  if (!isMove) {
    cursor.hotX = hotX;
    cursor.hotY = hotY;
    const resource = state.resources.get(resourceId);
    if (resource !== undefined) takePicture(state, cursor, resource);
  }
  // Positions are unsigned on the wire; a cursor over the left or upper edge is a small negative number.
  cursor.x = x | 0;
  cursor.y = y | 0;
  cursor.visible = resourceId !== 0;
  if (!cursor.visible) state.sink?.hideCursor(scanoutId);
  else if (isMove) state.sink?.moveCursor(scanoutId, cursor);
  else state.sink?.updateCursor(scanoutId, cursor);
}

/**
 * Linux makes cursors of dumb buffers, which are B8G8R8X8, and draws them with alpha: what a picture has no name for is
 * its alpha here, as on QEMU.
 */
const WITH_ALPHA: ReadonlyMap<number, Format> = new Map([
  [Format.B8G8R8X8, Format.B8G8R8A8],
  [Format.X8R8G8B8, Format.A8R8G8B8],
  [Format.R8G8B8X8, Format.R8G8B8A8],
  [Format.X8B8G8R8, Format.A8B8G8R8],
]);

/** Tells a sink of all cursors as they are. */
export function presentCursors(state: GpuState): void {
  for (const [output, cursor] of state.cursors.entries()) {
    if (cursor.visible) state.sink?.updateCursor(output, cursor);
    else state.sink?.hideCursor(output);
  }
}

/** Takes the picture over, where the resource has one of the right size; the old one stays otherwise. */
function takePicture(state: GpuState, cursor: Cursor, resource: Resource): void {
  const source = picture(state, resource);
  if (source === null) return;
  framebufferToRgba(
    { ...source, format: WITH_ALPHA.get(source.format) ?? source.format },
    { bytes: cursor.rgba, offset: 0, stride: STRIDE },
    { width: CURSOR_SIZE, height: CURSOR_SIZE, alpha: "keep" },
  );
}

function picture(state: GpuState, resource: Resource): PixelSource | null {
  const { format, width, height, blob } = resource;
  if (blob === null) {
    if (width !== CURSOR_SIZE || height !== CURSOR_SIZE || !FORMATS.has(format)) return null;
    if (resource.kind === "2d")
      return { bytes: resource.hostCopy(state.pixelMemory), offset: 0, stride: resource.pitch, format };
  } else if (blob.size < PICTURE_BYTES) return null;
  const shape = { offset: 0, stride: STRIDE, format: blob === null ? format : Format.B8G8R8A8 };
  if (!resource.hasHostStorage) return guestPicture(state, resource, shape);
  const pixels = state.setup.renderer?.pixels(resource.id) ?? null;
  if (pixels === null) return null;
  const stride = blob === null ? pixels.stride : STRIDE;
  const isWhole = stride * (CURSOR_SIZE - 1) + STRIDE <= pixels.bytes.byteLength;
  return isWhole ? { ...shape, bytes: pixels.bytes, stride } : null;
}

function guestPicture(state: GpuState, resource: Resource, shape: Omit<PixelSource, "bytes">): PixelSource | null {
  if (resource.backing === null) return null;
  const bytes = new Uint8Array(PICTURE_BYTES);
  try {
    const copied = state.backingAccess.use(resource.backing).gather(0, bytes, 0, PICTURE_BYTES);
    return copied < PICTURE_BYTES ? null : { ...shape, bytes };
  } catch (error) {
    if (!(error instanceof MemoryRangeError)) throw error;
    return null;
  }
}
