import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../../usage-error.ts";
import { findKernel } from "./kernel.ts";

const RELEASE = "6.18.0-mine+";
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-kernel-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** As much of a bzImage as says which kernel it is. */
function bzImage(release: string): string {
  const bytes = Buffer.alloc(0x800);
  bytes.write("HdrS", 0x202, "latin1");
  bytes.writeUInt16LE(0x400, 0x20e);
  bytes.write(`${release} (me@here) #1 SMP\0`, 0x600, "latin1");
  const path = join(folder, "bzImage");
  writeFileSync(path, bytes);
  return path;
}

function modulesOf(release: string): string {
  const modules = join(folder, "mods/lib/modules", release);
  mkdirSync(join(modules, "kernel"), { recursive: true });
  return modules;
}

describe("a kernel that somebody has built", () => {
  it("is found with its modules, whether their folder or the one above is named", async () => {
    const image = bzImage(RELEASE);
    const modules = modulesOf(RELEASE);
    const expected = { release: RELEASE, image, modules };
    for (const given of [modules, join(folder, "mods/lib/modules"), join(folder, "mods")]) {
      expect(await findKernel({ kind: "files", kernel: image, modules: given })).toEqual(expected);
    }
  });

  it("is refused with modules of another one", async () => {
    const image = bzImage(RELEASE);
    const modules = modulesOf("6.1.0");
    await expect(findKernel({ kind: "files", kernel: image, modules })).rejects.toThrow(
      `${modules} does not hold the modules of the kernel ${RELEASE}`,
    );
  });

  it("is refused when it is no kernel, or not there", async () => {
    const modules = modulesOf(RELEASE);
    const image = join(folder, "vmlinux");
    const find = findKernel({ kind: "files", kernel: image, modules });
    await expect(find).rejects.toThrow(`there is no kernel ${image}`);
    writeFileSync(image, "\x7fELF");
    await expect(findKernel({ kind: "files", kernel: image, modules })).rejects.toThrow("(a bzImage)");
    const missing = join(folder, "none");
    const without = findKernel({ kind: "files", kernel: bzImage(RELEASE), modules: missing });
    await expect(without).rejects.toThrow(`there is no folder ${missing}`);
  });
});

describe("a kernel's package", () => {
  it("is refused when it is no package, or not there", async () => {
    const file = join(folder, "linux-image.deb");
    await expect(findKernel({ kind: "deb", file })).rejects.toThrow(`there is no package file ${file}`);
    writeFileSync(file, "!<arch>\nnot really");
    await expect(findKernel({ kind: "deb", file })).rejects.toThrow(UsageError);
  });

  it("is refused by a name that no package has", async () => {
    const find = findKernel({ kind: "debian", package: "-o Dir::Etc=/" });
    await expect(find).rejects.toThrow("is no name of a Debian package");
  });
});
