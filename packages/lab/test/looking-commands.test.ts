/** `virtgpu info`, `screenshot` and `trace` as they are typed. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decode } from "fast-png";
import { afterAll, describe, expect, it } from "vitest";
import { QemuBench, pictureOf } from "./support/qemu-bench.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-commands-"));
const program = fileURLToPath(new URL("../bin/virtgpu.js", import.meta.url));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function virtgpu(...args: readonly string[]): Ran {
  const run = spawnSync(process.execPath, [program, ...args], { encoding: "utf8" });
  return { code: run.status, out: run.stdout, err: run.stderr };
}

const path = (name: string): string => join(folder, name);

describe("virtgpu info", () => {
  it("tells what a device offers, for people and as JSON", () => {
    expect(virtgpu("info")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^embedded host.*\n\nfeatures {8}VIRGL/),
    });
    const { code, out } = virtgpu("info", "--host", "qemu", "--machine", "microvm", "--outputs", "1", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ noSoftReset: null, outputs: [{ index: 0, enabled: true }] });
  });

  it("names the mistake in what was typed, and what to do about a QEMU that is not there", () => {
    expect(virtgpu("info", "--device", "virtio-gpu-pci,colour=red")).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^virtgpu: .*no property "colour"/),
    });
    expect(virtgpu("info", "--outputs", "99").code).toBe(2);
    const missing = virtgpu("info", "--host", "qemu", "--qemu", "/nowhere/qemu");
    expect(missing).toMatchObject({ code: 3, err: expect.stringMatching(/apt-get install qemu-system-x86/) });
    expect(missing.err).not.toMatch(/\n {4}at /);
  });
});

describe("virtgpu trace", () => {
  it("records, prints, and plays to another host", () => {
    expect(
      virtgpu("trace", "record", path("a.trace"), "--outputs", "1", "--device", "virtio-gpu-pci,blob=off"),
    ).toMatchObject({
      code: 0,
    });
    expect(virtgpu("trace", "print", path("a.trace")).out).toMatch(
      / RESOURCE_CREATE_2D {2}resourceId 1, format 2, width 1280/,
    );
    const alike = virtgpu("trace", "replay", path("a.trace"), "--host", "qemu");
    expect(alike).toMatchObject({ code: 0, out: expect.stringMatching(/\nalike: \d+ commands, 2 pictures\n$/) });
  });

  it("says where another host differs", () => {
    const text = readFileSync(path("a.trace"), "utf8");
    // The first answer to a CREATE_2D: another one than any host gives.
    const at = text.indexOf('"bytes":"00110000');
    writeFileSync(path("b.trace"), `${text.slice(0, at)}"bytes":"05120000${text.slice(at + 17)}`);
    const { code, out } = virtgpu("trace", "replay", path("b.trace"), "--json");
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      differences: [
        { recorded: expect.stringContaining("ERR_INVALID_PARAMETER"), replayed: expect.stringContaining("OK_NODATA") },
      ],
    });
  });

  it("refuses a number that is none", () => {
    expect(virtgpu("trace", "record", path("d.trace"), "--sleeps", "some")).toMatchObject({
      code: 2,
      err: expect.stringMatching(/"some" for sleeps/),
    });
    expect(existsSync(path("d.trace"))).toBe(false);
  });

  it("refuses what is no trace, with a sentence", () => {
    writeFileSync(path("c.trace"), "no trace\n");
    expect(virtgpu("trace", "print", path("c.trace"))).toMatchObject({
      code: 2,
      err: expect.stringMatching(/is no trace/),
    });
    expect(virtgpu("trace", "print", path("none"))).toMatchObject({ code: 2, err: expect.stringMatching(/ENOENT/) });
  });
});

describe("virtgpu screenshot", () => {
  it("writes a PNG of a running QEMU, or nothing", async () => {
    const control = path("qmp");
    const bench = await QemuBench.start({ args: ["-qmp", `unix:${control},server=on,wait=off`] });
    try {
      const shown = pictureOf(await bench.show(0, 96, 64));
      const { code, out } = virtgpu("screenshot", "--qmp", control, path("a.png"));
      expect([code, out]).toEqual([0, `${path("a.png")}: 96x64\n`]);
      const { width, height, data } = decode(readFileSync(path("a.png")));
      expect([width, height]).toEqual([96, 64]);
      const channels = data.length / (width * height);
      const rgb = Uint8Array.from(data).filter((_, index) => channels === 3 || index % 4 !== 3);
      expect(Buffer.compare(rgb, shown.rgb)).toBe(0);
    } finally {
      await bench.stop();
    }
    expect(virtgpu("screenshot", "--qmp", control, path("b.png")).code).toBe(3);
    expect(virtgpu("screenshot", path("b.png"))).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--qmp SOCKET or --vnc/),
    });
    expect(existsSync(path("b.png"))).toBe(false);
  });
});
