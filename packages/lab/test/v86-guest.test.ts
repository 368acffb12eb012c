import { afterEach, expect, it } from "vitest";
import { prepareV86Guest } from "../src/guests/v86/index.ts";
import { UsageError } from "../src/usage-error.ts";

const proxy = process.env["http_proxy"];

afterEach(() => {
  if (proxy === undefined) delete process.env["http_proxy"];
  else process.env["http_proxy"] = proxy;
});

it("the guest for v86 says so where its kernel can't be fetched, and what else can be done", async () => {
  // Nobody answers there. A package that nothing else asks for, so that it is not in the cache.
  process.env["http_proxy"] = "http://127.0.0.1:9";
  const kernel = { kind: "debian", package: "linux-image-686-pae-dbg", pocket: "i386" } as const;
  await expect(prepareV86Guest({ kernel })).rejects.toThrow(
    /the guest for v86 can't be made: .*could not be fetched.*VIRTGPU_V86_KERNEL=<bzImage>/,
  );
});

it("the guest for v86 takes a kernel by its files, and says which of them is not there", async () => {
  const kernel = { kind: "files", kernel: "no-such-kernel", modules: "no-such-folder" } as const;
  await expect(prepareV86Guest({ kernel })).rejects.toThrow(new UsageError("there is no kernel no-such-kernel"));
});
