import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Answers, FakeDrm } from "../../test/support/fake-drm.ts";
import { DrmCard } from "../drm/card.ts";
import { type Sys, SystemCallError } from "../native/index.ts";
import type { Extra } from "./agent-gpu.ts";
import { createDrmExtras } from "./drm-extras.ts";
import { DrmObject } from "./drm-object.ts";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-extras-"));
  writeFileSync(join(folder, "card0"), "");
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The extras of a card, with what was asked for and had of one kind. */
async function extrasOf(kind: string, answersOf: (at: FakeDrm["at"]) => Answers) {
  let at: FakeDrm["at"] = () => new Uint8Array(0);
  const sys = new FakeDrm(
    "virtio_gpu",
    answersOf((address) => at(address)),
  );
  at = (address) => sys.at(address);
  const card = DrmCard.open(join(folder, "card0"), sys as unknown as Sys);
  const extras = await createDrmExtras(card, sys as unknown as Sys, { width: 100, height: 30 });
  const found = extras.find((extra) => kind === ("object" in extra ? extra.object.kind : extra.notOffered));
  return { sys, extras, object: found !== undefined && "object" in found ? DrmObject.of(found.object) : null, found };
}

const reasonOf = (extra: Extra | undefined): string =>
  extra !== undefined && "reason" in extra ? extra.reason : "it was had";

const pixels = Uint8Array.from({ length: 100 * 30 * 4 }, (_, index) => index % 251);

it("a blob is made in guest memory, in whole pages, where the device offers blobs", async () => {
  const { sys, object } = await extrasOf("blob", (at) => ({
    VIRTGPU_GETPARAM: ({ param, value }) => {
      if (param === 3n) at(value)[0] = 1;
      return {};
    },
    VIRTGPU_RESOURCE_CREATE_BLOB: () => ({ bo_handle: 9, res_handle: 4 }),
    VIRTGPU_MAP: ({ handle }) => ({ offset: BigInt(handle) << 20n }),
    MODE_ADDFB2: () => ({ fb_id: 51 }),
  }));
  // VIRTGPU_BLOB_MEM_GUEST and VIRTGPU_BLOB_FLAG_USE_MAPPABLE; 12,000 bytes are three pages.
  expect(sys.asked).toContainEqual([
    "VIRTGPU_RESOURCE_CREATE_BLOB",
    expect.objectContaining({ blob_mem: 1, blob_flags: 1, size: 12_288n, cmd_size: 0 }),
  ]);
  object?.write(pixels);
  expect(object?.read()).toEqual(pixels);
  expect(await object?.asFramebuffer()).toMatchObject({ framebufferId: 51 });
  expect(sys.asked.at(-1)).toMatchObject(["MODE_ADDFB2", { handles: [9, 0, 0, 0], pitches: [400, 0, 0, 0] }]);
  sys.asked.length = 0;
  await object?.transfer();
  expect(sys.asked).toEqual([]);
});

it("a device without blobs, and a kernel that refuses one, are told", async () => {
  const none = await extrasOf("blob", () => ({}));
  expect(reasonOf(none.found)).toBe(
    "ENOTSUP: VIRTGPU_PARAM_RESOURCE_BLOB is 0: the device offers no blobs; QEMU's do with blob=on",
  );
  const refused = await extrasOf("blob", (at) => ({
    VIRTGPU_GETPARAM: ({ value }) => {
      at(value)[0] = 1;
      return {};
    },
    VIRTGPU_RESOURCE_CREATE_BLOB: () => {
      throw new SystemCallError("EINVAL", "ioctl", "invalid argument");
    },
  }));
  expect(reasonOf(refused.found)).toBe("EINVAL: VIRTGPU_RESOURCE_CREATE_BLOB: invalid argument");
});

it("a resource that isn't dumb is copied to the host, whole, before it is shown", async () => {
  const { sys, object } = await extrasOf("resource-2d", () => ({
    VIRTGPU_RESOURCE_CREATE: () => ({ bo_handle: 7 }),
    VIRTGPU_MAP: () => ({ offset: 1n << 20n }),
  }));
  object?.write(pixels);
  await object?.transfer();
  expect(sys.asked.slice(-2)).toMatchObject([
    ["VIRTGPU_TRANSFER_TO_HOST", { bo_handle: 7, box: { x: 0, y: 0, w: 100, h: 30, d: 1 } }],
    ["VIRTGPU_WAIT", { handle: 7 }],
  ]);
});
