/** Pictures of a QEMU that somebody else runs. */
import { createServer } from "node:net";
import { join } from "node:path";
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPrivateFolder } from "../src/hosts/qemu/private-folder.ts";
import { parseSocket, screenshotByQmp, screenshotByVnc } from "../src/screenshot/running-qemu.ts";
import { UsageError } from "../src/usage-error.ts";
import { QemuBench, pictureOf } from "./support/qemu-bench.ts";

const folder = createPrivateFolder();
const control = join(folder, "qmp");
const viewer = join(folder, "vnc");
let bench: QemuBench;

beforeAll(async () => {
  bench = await QemuBench.start({
    devices: [{ outputs: 2 }],
    args: ["-qmp", `unix:${control},server=on,wait=off`, "-vnc", `unix:${viewer},display=gpu0,head=1`],
  });
});

afterAll(async () => {
  await bench.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe("a screenshot of a running QEMU", () => {
  it("is what its output shows, by QMP and by VNC", async () => {
    const left = pictureOf(await bench.show(0, 200, 100));
    const right = pictureOf(await bench.show(1, 64, 48));
    const [first, second] = [
      await screenshotByQmp(control, { device: null, output: 0 }),
      await screenshotByQmp(control, { device: "gpu0", output: 1 }),
    ];
    const viewed = await screenshotByVnc(viewer);
    for (const [found, wanted] of [
      [first, left],
      [second, right],
      [viewed, right],
    ] as const) {
      expect([found.width, found.height]).toEqual([wanted.width, wanted.height]);
      const rgb = found.rgba.filter((_, index) => index % 4 !== 3);
      expect(Buffer.compare(rgb, wanted.rgb)).toBe(0);
    }
  });

  it("says so where QEMU has no such output, and where nobody answers", async () => {
    await expect(screenshotByQmp(control, { device: "gpu0", output: 9 })).rejects.toThrow(/QEMU refused screendump/);
    await expect(screenshotByQmp(join(folder, "none"), { device: null, output: 0 })).rejects.toThrow(
      /nobody answers at .*none \(ENOENT\)/,
    );
  });

  it("says so where somebody else answers", async () => {
    const path = join(folder, "http");
    const server = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      await expect(screenshotByQmp(path, { device: null, output: 0 })).rejects.toMatchObject({ code: "ENODEV" });
      await expect(screenshotByVnc(path)).rejects.toMatchObject({ code: expect.stringMatching(/ENODEV|EPROTO/) });
    } finally {
      server.close();
    }
  });

  it("is not asked of another machine", () => {
    expect(parseSocket("/run/qmp")).toEqual({ path: "/run/qmp" });
    expect(parseSocket("localhost:5900")).toEqual({ host: "localhost", port: 5900 });
    expect(parseSocket(":5900")).toEqual({ host: "localhost", port: 5900 });
    expect(parseSocket("[::1]:5900")).toEqual({ host: "::1", port: 5900 });
    expect(() => parseSocket("example.org:5900")).toThrow(UsageError);
    expect(() => parseSocket("localhost:99999")).toThrow(UsageError);
  });
});
