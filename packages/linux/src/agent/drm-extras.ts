/**
 * What only some machines have of the kernel's driver: non-dumb resources, imported dmabufs, blobs. Kernel interface: uapi
 * virtgpu_drm.h, drm.h (PRIME).
 */
import type { DrmBuffer, DrmCard } from "../drm/card.ts";
import { type Exporter, exporters } from "../drm/import.ts";
import { flags } from "../drm/requests.ts";
import { Mapping, type Sys } from "../native/index.ts";
import type { Extra } from "./agent-gpu.ts";
import { DrmObject } from "./drm-object.ts";
import { messageOf } from "./message-of.ts";
import type { Size } from "./protocol.ts";

/** VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, PIPE_TEXTURE_2D and PIPE_BIND_RENDER_TARGET, as VIRTGPU_RESOURCE_CREATE takes them. */
const [FORMAT, TARGET, BIND] = [2, 2, 1 << 1];
const PAGE = 4096;

/** One of each kind, or why there is none. */
export async function createDrmExtras(card: DrmCard, sys: Sys, size: Size): Promise<readonly Extra[]> {
  const makers: readonly (readonly [string, () => Promise<DrmObject>])[] = [
    ["resource-2d", () => createResource(card, sys, size)],
    ...Object.entries(exporters).map(
      ([kind, exporter]) => [kind, () => importFrom(card, sys, { kind, exporter, size })] as const,
    ),
    ["blob", () => createBlob(card, sys, size)],
  ];
  const extras: Extra[] = [];
  for (const [kind, make] of makers) {
    try {
      extras.push({ object: await make() });
    } catch (error) {
      extras.push({ notOffered: kind, reason: messageOf(error) });
    }
  }
  return extras;
}

/** A resource that isn't dumb: its contents reach the host by TRANSFER_TO_HOST alone, never with a mode set. */
async function createResource(card: DrmCard, sys: Sys, size: Size): Promise<DrmObject> {
  const [pitch, byteLength] = [size.width * 4, size.width * size.height * 4];
  const made = await card.callLater("VIRTGPU_RESOURCE_CREATE", {
    target: TARGET,
    format: FORMAT,
    bind: BIND,
    width: size.width,
    height: size.height,
    depth: 1,
    array_size: 1,
    size: byteLength,
    stride: pitch,
  });
  const buffer = { handle: made.bo_handle, pitch, byteLength };
  const transfer = async (): Promise<void> => {
    const box = { x: 0, y: 0, z: 0, w: size.width, h: size.height, d: 1 };
    await card.callLater("VIRTGPU_TRANSFER_TO_HOST", { bo_handle: buffer.handle, box });
    await card.callLater("VIRTGPU_WAIT", { handle: buffer.handle });
  };
  return new DrmObject(card, { kind: "resource-2d", size, buffer, transfer, map: () => mapOwn(card, sys, buffer) });
}

/** A blob in guest memory (VIRTIO 1.3, 5.7.6.8): the host reads it where it lies, a flush is all that it takes. */
async function createBlob(card: DrmCard, sys: Sys, size: Size): Promise<DrmObject> {
  const value = new BigUint64Array(1);
  const offered = new Uint8Array(value.buffer);
  card.call("VIRTGPU_GETPARAM", {
    param: BigInt(flags.VIRTGPU_PARAM_RESOURCE_BLOB),
    value: sys.addressOf(offered),
  });
  if (value[0] === 0n) {
    throw new Error("ENOTSUP: VIRTGPU_PARAM_RESOURCE_BLOB is 0: the device offers no blobs; QEMU's do with blob=on");
  }
  const pitch = size.width * 4;
  const byteLength = Math.ceil((pitch * size.height) / PAGE) * PAGE;
  const made = await card.callLater("VIRTGPU_RESOURCE_CREATE_BLOB", {
    blob_mem: flags.VIRTGPU_BLOB_MEM_GUEST,
    blob_flags: flags.VIRTGPU_BLOB_FLAG_USE_MAPPABLE,
    size: BigInt(byteLength),
  });
  const buffer = { handle: made.bo_handle, pitch, byteLength };
  return new DrmObject(card, { kind: "blob", size, buffer, map: () => mapOwn(card, sys, buffer) });
}

function mapOwn(card: DrmCard, sys: Sys, buffer: DrmBuffer): Mapping {
  const { offset } = card.call("VIRTGPU_MAP", { handle: buffer.handle });
  return Mapping.ofFile(card.fd, buffer.byteLength, offset, sys);
}

async function importFrom(
  card: DrmCard,
  sys: Sys,
  { kind, exporter, size }: { readonly kind: string; readonly exporter: Exporter; readonly size: Size },
): Promise<DrmObject> {
  const pitch = size.width * 4;
  const foreign = await exporter(sys, pitch * size.height);
  try {
    const { handle } = await card.callLater("PRIME_FD_TO_HANDLE", { fd: foreign.dmabufFd });
    const buffer = { handle, pitch, byteLength: foreign.byteLength };
    return new DrmObject(card, { kind, size, buffer, map: () => foreign.map(), release: () => foreign.close() });
  } catch (error) {
    foreign.close();
    throw error;
  }
}
