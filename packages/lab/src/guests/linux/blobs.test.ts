import { expect, it } from "vitest";
import { requireBlobs, wantsBlobs } from "./blobs.ts";

it("a GPU is asked for blobs by a property that QEMU takes for yes", () => {
  const texts = ["virtio-gpu-pci,blob=on", "virtio-gpu-pci,blob=true,edid=off", "virtio-gpu-pci,blob=off", "blob=on"];
  expect(texts.map(wantsBlobs)).toEqual([true, true, false, false]);
});

it("a host without udmabuf is told before anything is booted, and only where blobs are asked for", () => {
  expect(() => requireBlobs("virtio-gpu-pci,blob=on", "/nowhere/udmabuf")).toThrow(
    /^this host offers no blobs: QEMU needs \/nowhere\/udmabuf .*\(ENOTSUP\)$/,
  );
  requireBlobs("virtio-gpu-pci", "/nowhere/udmabuf");
  requireBlobs("virtio-gpu-pci,blob=on", "/dev/null");
});
