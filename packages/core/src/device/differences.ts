/**
 * Where the device answers otherwise than QEMU, on purpose: docs/device-differences.md in a form that tests can use. A
 * difference that is not here is a bug of ours.
 */
import { GpuReply } from "../wire/gpu.ts";

/** What happens instead of a reply of one type. */
export type DifferentAnswer =
  | { readonly kind: "reply"; readonly type: number }
  /** The chain is never returned, or (cursor queue) returned with nothing written. */
  | { readonly kind: "silence" }
  /** As the sentence says. */
  | { readonly kind: "effect"; readonly what: string };

/** One difference. */
export interface DeviceDifference {
  readonly id: string;
  /** The command, or `any`. */
  readonly command: string;
  readonly condition: string;
  readonly qemu: DifferentAnswer;
  readonly ours: DifferentAnswer;
  readonly why: string;
}

const reply = (type: number): DifferentAnswer => ({ kind: "reply", type });
const effect = (what: string): DifferentAnswer => ({ kind: "effect", what });
const silence: DifferentAnswer = { kind: "silence" };
const { OK_NODATA, ERR_UNSPEC, ERR_INVALID_PARAMETER, ERR_OUT_OF_MEMORY } = GpuReply;

/** All of them, in the order of the table in the documentation. */
export const DEVICE_DIFFERENCES: readonly DeviceDifference[] = [
  {
    id: "short-header",
    command: "any",
    condition: "the request has less than 24 bytes",
    qemu: silence,
    ours: reply(ERR_UNSPEC),
    why: "a chain that never comes back blocks the driver for good",
  },
  {
    id: "short-request",
    command: "any",
    condition: "the request has 24 bytes or more, but less than its structure",
    qemu: reply(OK_NODATA),
    ours: reply(ERR_INVALID_PARAMETER),
    why: "OK for a command that was not executed makes the driver believe in objects that do not exist",
  },
  {
    id: "unreadable-request",
    command: "any",
    condition: "part of the request is not memory",
    qemu: effect("executed with what a bounce buffer held"),
    ours: reply(ERR_UNSPEC),
    why: "nothing is executed that the driver did not write",
  },
  {
    id: "unwritable-reply",
    command: "any",
    condition: "part of the reply buffer is not memory",
    qemu: effect("the used length counts what was written nowhere"),
    ours: effect("the used length ends where memory ends"),
    why: "the used length says what was written (VIRTIO 1.2 section 2.7.8.2)",
  },
  {
    id: "entry-outside-memory",
    command: "RESOURCE_ATTACH_BACKING, RESOURCE_CREATE_BLOB",
    condition: "one entry lies outside guest memory",
    qemu: reply(OK_NODATA),
    ours: reply(ERR_UNSPEC),
    why: "QEMU refuses the second such entry; the first passes because it has one bounce buffer",
  },
  {
    id: "entries-in-all",
    command: "RESOURCE_ATTACH_BACKING, RESOURCE_CREATE_BLOB",
    condition: "all resources together have more entries than entriesTotalMax (2^22)",
    qemu: reply(OK_NODATA),
    ours: reply(ERR_OUT_OF_MEMORY),
    why: "host memory is bounded whatever the guest does",
  },
  {
    id: "resources-in-all",
    command: "RESOURCE_CREATE_2D, RESOURCE_CREATE_BLOB, RESOURCE_CREATE_3D",
    condition: "there are resourcesMax (2^20) resources",
    qemu: reply(OK_NODATA),
    ours: reply(ERR_OUT_OF_MEMORY),
    why: "host memory is bounded whatever the guest does; resources of no pixels cost QEMU's accounting nothing",
  },
  {
    id: "transfer-offset",
    command: "TRANSFER_TO_HOST_2D",
    condition: "the offset is 2^32 or more",
    qemu: effect("cut to 32 bits: pixels from another place"),
    ours: effect("the source begins behind the backing: nothing is copied"),
    why: "the field has 64 bits",
  },
  {
    id: "transfer-behind-backing",
    command: "TRANSFER_TO_HOST_2D",
    condition: "the source begins behind the backing",
    qemu: effect("OK where it begins at the end; 7.2 aborts where any row of it begins behind that"),
    ours: effect("OK, nothing is copied"),
    why: "a guest can't end its host",
  },
  {
    id: "size-wraps",
    command: "RESOURCE_CREATE_2D",
    condition: "the size in bytes does not fit 32 bits",
    qemu: effect("7.2 counts modulo 2^32 (CVE-2026-3886), later ERR_OUT_OF_MEMORY"),
    ours: reply(ERR_OUT_OF_MEMORY),
    why: "CVE-2026-3886",
  },
  {
    id: "set-scanout-of-blob",
    command: "SET_SCANOUT",
    condition: "the resource is a blob",
    qemu: effect("asks the image of a resource that has none"),
    ours: reply(ERR_INVALID_PARAMETER),
    why: "a blob has no size in pixels: every rectangle lies outside",
  },
  {
    id: "blob-memory",
    command: "RESOURCE_CREATE_BLOB",
    condition: "blob_mem is not GUEST without a renderer, and flags are exactly SHAREABLE",
    qemu: reply(OK_NODATA),
    ours: reply(ERR_INVALID_PARAMETER),
    why: "there is no host storage to be had",
  },
  {
    id: "blob-flags",
    command: "RESOURCE_CREATE_BLOB",
    condition: "unknown flags",
    qemu: reply(OK_NODATA),
    ours: reply(ERR_INVALID_PARAMETER),
    why: "what is not understood is not promised",
  },
  {
    id: "blob-scanout-row",
    command: "SET_SCANOUT_BLOB",
    condition: "offset + stride * (y + height) is beyond the blob, with y > 0",
    qemu: reply(OK_NODATA),
    ours: reply(ERR_INVALID_PARAMETER),
    why: "QEMU leaves y out, so the last rows lie outside",
  },
  {
    id: "blob-scanout-short",
    command: "SET_SCANOUT_BLOB",
    condition: "the backing is shorter than the blob's size",
    qemu: effect("the size is trusted"),
    ours: effect("what is not backed is shown as zero"),
    why: "nothing is read that the guest does not own",
  },
  {
    id: "cursor-format",
    command: "UPDATE_CURSOR",
    condition: "the picture's format is not B8G8R8A8",
    qemu: effect("the bytes are taken as B8G8R8A8"),
    ours: effect("converted by its format; X is alpha, as Linux's cursors need it"),
    why: "the format says what the bytes are",
  },
  {
    id: "cursor-blob",
    command: "UPDATE_CURSOR",
    condition: "the resource is a blob of 16 KiB or more without so much backing",
    qemu: effect("copied from nowhere"),
    ours: effect("the old picture stays"),
    why: "nothing is read that the guest does not own",
  },
  {
    id: "edid",
    command: "GET_EDID",
    condition: "always",
    qemu: effect("QEMU's own EDID, size 1024"),
    ours: effect("another EDID, size as it is (256 or more)"),
    why: "another monitor; the size field names the bytes that count",
  },
  {
    id: "uuid",
    command: "RESOURCE_ASSIGN_UUID",
    condition: "the device offers RESOURCE_UUID",
    qemu: reply(ERR_UNSPEC),
    ours: reply(GpuReply.OK_RESOURCE_UUID),
    why: "QEMU's 2D device has no UUIDs",
  },
];
