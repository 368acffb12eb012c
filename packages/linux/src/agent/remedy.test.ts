import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bindDriver, unbindDriver } from "./remedy.ts";

const ADDRESS = "0000:00:04.0";
let sysfs = "";

function place(path: string, text: string): void {
  mkdirSync(join(sysfs, path, ".."), { recursive: true });
  writeFileSync(join(sysfs, path), text);
}

const read = (path: string): string => readFileSync(join(sysfs, path), "utf8");

beforeEach(() => {
  sysfs = mkdtempSync(join(tmpdir(), "virtgpu-sysfs-"));
  place(`bus/pci/devices/${ADDRESS}/virtio3/uevent`, "");
  place("bus/virtio/drivers/virtio_gpu/unbind", "");
  place("bus/virtio/drivers/virtio_gpu/bind", "");
  place("class/vtconsole/vtcon0/name", "(S) dummy device\n");
  place("class/vtconsole/vtcon0/bind", "1\n");
  place("class/vtconsole/vtcon1/name", "(M) frame buffer device\n");
  place("class/vtconsole/vtcon1/bind", "1\n");
});

afterEach(() => {
  rmSync(sysfs, { recursive: true, force: true });
});

describe("the remedy", () => {
  it("takes the framebuffer's console away, then the driver, and gives the same device back", () => {
    const said: string[] = [];
    const device = unbindDriver(ADDRESS, (line) => said.push(line), sysfs);
    bindDriver(device, sysfs);
    expect(read("bus/virtio/drivers/virtio_gpu/unbind")).toBe("virtio3");
    expect(read("bus/virtio/drivers/virtio_gpu/bind")).toBe("virtio3");
    expect([read("class/vtconsole/vtcon0/bind"), read("class/vtconsole/vtcon1/bind")]).toEqual(["1\n", "0"]);
    expect(said).toEqual(["unbinding the console vtcon1"]);
  });

  it("does without consoles, and refuses a function that has no virtio device", () => {
    rmSync(join(sysfs, "class"), { recursive: true });
    expect(unbindDriver(ADDRESS, () => undefined, sysfs)).toBe("virtio3");
    mkdirSync(join(sysfs, "bus/pci/devices/0000:00:05.0"));
    expect(() => unbindDriver("0000:00:05.0", () => undefined, sysfs)).toThrow(
      "ENODEV: 0000:00:05.0 has no virtio device",
    );
  });
});
