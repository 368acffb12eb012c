/**
 * Whether a host is still the one of a session (contract 3, R-12, R-43..R-45): what its registers say, and whether it knows
 * what was made in this session.
 */
import { GpuError } from "../../base/errors.ts";
import type { Transport } from "../../virtio/transport.ts";
import {
  DISPLAY_INFO_REPLY_BYTES,
  DeviceStatus,
  GET_DISPLAY_INFO_BYTES,
  GpuCommand,
  GpuReply,
  HEADER_BYTES,
  RESOURCE_FLUSH_BYTES,
  TRANSFER_TO_HOST_2D_BYTES,
  writeHeader,
  writeResourceFlush,
  writeTransferToHost2d,
} from "../../wire/index.ts";
import type { Rect } from "../desired/geometry.ts";
import type { CommandSender, CommandShape, WriteRequest } from "./command-sender.ts";
import { Fact, type HostResource, type HostScanout, Step } from "./host-state.ts";
import type { BuiltQueue } from "./queues.ts";
import type { Reconciler } from "./reconciler.ts";

/** The status of a device that runs. */
export const RUNNING: number =
  DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK;

/** Whether status, every queue and its addresses read as the session wrote them. Throws GpuError ENODEV. */
export function registersAreOurs(transport: Transport, queues: readonly BuiltQueue[]): boolean {
  if (transport.readStatus() !== RUNNING) return false;
  return queues.every(({ addresses: wanted }, queue) => {
    const found = transport.readQueue(queue);
    if (!found.enabled) return false;
    const { addresses } = found;
    return (
      addresses === null ||
      (addresses.size === wanted.size &&
        addresses.descriptors === wanted.descriptors &&
        addresses.driver === wanted.driver &&
        addresses.device === wanted.device)
    );
  });
}

/**
 * Sends one command that changes nothing, about the newest resource that can be asked for. False: the host does not know
 * it, and has forgotten the others as well. A host that refuses for another reason knows it. Rejects as
 * {@link CommandSender.send} where there is no answer.
 */
export async function sendCanary(sender: CommandSender, reconciler: Reconciler): Promise<boolean> {
  const { shape, write } = canaryOf(reconciler);
  try {
    await sender.send(shape, write);
    return true;
  } catch (error) {
    if (!(error instanceof GpuError) || error.reply === undefined || error.code === "EPROTO") throw error;
    return error.reply !== GpuReply.ERR_INVALID_RESOURCE_ID;
  }
}

interface Canary {
  readonly shape: CommandShape;
  readonly write: WriteRequest;
}

function canaryOf({ resources, scanouts }: Reconciler): Canary {
  let newest: HostResource | null = null;
  for (const host of resources.values()) if (isUploadable(host) || shownPart(host, scanouts) !== null) newest = host;
  if (newest === null) return displayQuery;
  const part = isUploadable(newest) ? null : shownPart(newest, scanouts);
  return part === null ? emptyUpload(newest.object.id) : flushOfOne(newest.object.id, part);
}

function isThere({ created, sent, wanted }: HostResource): boolean {
  return created === Fact.PRESENT && sent === Step.NONE && wanted;
}

function isUploadable(host: HostResource): boolean {
  return isThere(host) && host.object.kind === "image2d" && host.attached === Fact.PRESENT;
}

/** What some output shows of it, or null. */
function shownPart(host: HostResource, scanouts: readonly HostScanout[]): Rect | null {
  if (!isThere(host)) return null;
  const isViewer = ({ shown, sent }: HostScanout): boolean => shown?.object === host.object.id && sent === Step.NONE;
  return scanouts.find(isViewer)?.shown?.rect ?? null;
}

/** Says nothing about resources, but that there is somebody. */
const displayQuery: Canary = {
  shape: { requestBytes: GET_DISPLAY_INFO_BYTES, replyBytes: DISPLAY_INFO_REPLY_BYTES, object: 0 },
  write: (u32, at) => writeHeader(u32, at, GpuCommand.GET_DISPLAY_INFO, 0, 0, 0, 0, 0),
};

/** An upload of no pixels: needs a backing, or it is refused. */
function emptyUpload(id: number): Canary {
  return {
    shape: { requestBytes: TRANSFER_TO_HOST_2D_BYTES, replyBytes: HEADER_BYTES, object: id },
    write: (u32, at) => {
      writeHeader(u32, at, GpuCommand.TRANSFER_TO_HOST_2D, 0, 0, 0, 0, 0);
      writeTransferToHost2d(u32, at, 0, 0, 0, 0, 0, id);
    },
  };
}

/** A flush of one pixel: of a blob it has to be one that is shown, or it is refused. */
function flushOfOne(id: number, { x, y }: Rect): Canary {
  return {
    shape: { requestBytes: RESOURCE_FLUSH_BYTES, replyBytes: HEADER_BYTES, object: id },
    write: (u32, at) => {
      writeHeader(u32, at, GpuCommand.RESOURCE_FLUSH, 0, 0, 0, 0, 0);
      writeResourceFlush(u32, at, x, y, 1, 1, id);
    },
  };
}
