import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

it("the README's example attaches the device when pasted", () => {
  const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /^```js\n([^]*?)^```$/m.exec(text)?.[1] ?? "";
  expect(example.trimEnd().split("\n").length).toBeLessThanOrEqual(10);
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-v86-readme-"));
  try {
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    mkdirSync(join(folder, "guest"));
    // What lies in the files matters only when the guest has begun to boot.
    for (const [name, byteLength] of [
      ["bios.bin", 1 << 18],
      ["vmlinuz", 1 << 16],
      ["initrd", 1 << 12],
    ] as const) {
      writeFileSync(join(folder, "guest", name), image(byteLength));
    }
    writeFileSync(join(folder, "example.mjs"), `${example}\nconsole.log(gpu.outputs[0].width);\nprocess.exit(0);\n`);
    const { status, stdout, stderr } = spawnSync(process.execPath, ["example.mjs"], { cwd: folder, encoding: "utf8" });
    expect([stderr, status]).toEqual(["", 0]);
    expect(stdout).toContain("1024\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Halts, and passes for a kernel: the boot sector's mark, and the header's (Documentation/arch/x86/boot.rst). */
function image(byteLength: number): Uint8Array {
  const bytes = Buffer.alloc(byteLength, 0xf4);
  bytes.set([0x55, 0xaa], 0x1fe);
  bytes.write("HdrS", 0x202);
  bytes.writeUInt16LE(0x20f, 0x206);
  bytes.writeUInt8(4, 0x1f1);
  bytes.writeUInt8(1, 0x211);
  bytes.writeUInt32LE(0x7fff_ffff, 0x22c);
  bytes.writeUInt32LE(2048, 0x238);
  return bytes;
}
