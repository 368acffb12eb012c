/**
 * Pixels to the display in one breath: for a system that is about to stop. Past the reconciler, for that works in turns
 * of the event loop; no host fact changes, for an upload and a flush more make no difference to it.
 */
import {
  BYTES_PER_PIXEL,
  GpuCommand,
  HEADER_BYTES,
  RESOURCE_FLUSH_BYTES,
  TRANSFER_TO_HOST_2D_BYTES,
  writeHeader,
  writeResourceFlush,
  writeTransferToHost2d,
} from "../../wire/index.ts";
import type { Rect } from "../desired/geometry.ts";
import { strideOf } from "../desired/objects.ts";
import type { CommandOwner, CommandQueue } from "./command-queue.ts";
import { Fact } from "./host-state.ts";
import type { Session } from "./session.ts";

/** Nobody is left to hear of it. */
const NOBODY: CommandOwner = { replied: () => {}, expired: () => {}, ended: () => {} };

/** Uploads and flushes `rect` of an image that is shown on `output`, and kicks. Does nothing where that is not possible now. */
export function sendPanicFlush(session: Session, resourceId: number, rect: Rect, output: number): void {
  const { control, reconciler } = session;
  if (session.ended !== null || session.isSuspended || control.room < 2) return;
  const host = reconciler.resources.get(resourceId);
  const isThere = host?.created === Fact.PRESENT && host.attached === Fact.PRESENT;
  if (!isThere || reconciler.scanouts[output]?.shown?.object !== resourceId) return;
  if (host.object.kind === "image2d") sendUpload(control, resourceId, rect, host.object.width);
  sendFlush(control, resourceId, rect);
  control.kick();
}

function sendUpload(queue: CommandQueue, resourceId: number, rect: Rect, width: number): void {
  if (!queue.begin(TRANSFER_TO_HOST_2D_BYTES, HEADER_BYTES)) return;
  const { u32, at } = queue;
  const offset = rect.y * strideOf(width) + rect.x * BYTES_PER_PIXEL;
  writeHeader(u32, at, GpuCommand.TRANSFER_TO_HOST_2D, 0, 0, 0, 0, 0);
  writeTransferToHost2d(u32, at, rect.x, rect.y, rect.width, rect.height, offset, resourceId);
  queue.submit(NOBODY, 0, resourceId);
}

function sendFlush(queue: CommandQueue, resourceId: number, rect: Rect): void {
  if (!queue.begin(RESOURCE_FLUSH_BYTES, HEADER_BYTES)) return;
  const { u32, at } = queue;
  writeHeader(u32, at, GpuCommand.RESOURCE_FLUSH, 0, 0, 0, 0, 0);
  writeResourceFlush(u32, at, rect.x, rect.y, rect.width, rect.height, resourceId);
  queue.submit(NOBODY, 0, resourceId);
}
