/**
 * `virtgpu hibernate --host qemu`: a photograph of 1920x1080 pixels over a real S4, a real S3, and a SIGKILL; what QEMU
 * shows afterwards is held against the file.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decode, encode } from "fast-png";
import { describe, expect, it } from "vitest";
import { hibernate, inFolder } from "./support/run-virtgpu.ts";

const [WIDTH, HEIGHT] = [1920, 1080];

/** As from a camera: smooth, with noise everywhere. */
function photograph(): Uint8Array {
  const pixels = new Uint8Array(WIDTH * HEIGHT * 3);
  let noise = 1;
  for (let y = 0, at = 0; y < HEIGHT; y += 1) {
    for (let x = 0; x < WIDTH; x += 1, at += 3) {
      noise = (Math.imul(noise, 1664525) + 1013904223) >>> 0;
      const light = 90 + 80 * Math.sin(x / 210) * Math.cos(y / 170);
      pixels[at] = light + (noise >>> 28);
      pixels[at + 1] = light * 0.8 + ((noise >>> 24) & 15);
      pixels[at + 2] = light * 0.6 + ((noise >>> 20) & 15) + y / 20;
    }
  }
  return pixels;
}

/** Red, green and blue of a PNG. */
function colours(path: string): Buffer {
  const { data, channels } = decode(readFileSync(path));
  const rgb = Buffer.alloc((data.length / channels) * 3);
  for (let from = 0, to = 0; from < data.length; from += channels, to += 3) {
    for (let channel = 0; channel < 3; channel += 1) rgb[to + channel] = data[from + channel] ?? 0;
  }
  return rgb;
}

describe("virtgpu hibernate --host qemu", () => {
  it.each([
    ["a real S4", []],
    ["a real S3", ["--sleep", "s3"]],
    ["SIGKILL, twice", ["--hard", "--cycles", "2"]],
  ])("shows the same photograph after %s", async (_, way) => {
    await inFolder(async (folder) => {
      const pixels = photograph();
      const png = encode({ width: WIDTH, height: HEIGHT, data: pixels, channels: 3, depth: 8 }, { zlib: { level: 1 } });
      writeFileSync(join(folder, "photo.png"), png);
      const { status, stderr, summary } = await hibernate(folder, ["--host", "qemu", ...way, "photo.png"]);
      expect([stderr, summary.sentence, status]).toEqual(["", expect.stringMatching(/^nothing lost/), 0]);
      expect(summary.host).toMatchObject({ name: "QEMU", version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
      expect(summary.outputs.every(({ identical, cursor }) => identical && cursor?.identical !== false)).toBe(true);
      expect(summary.objects.map(({ kind }) => kind)).toEqual(
        expect.arrayContaining(["image", "detached image", "import", "cursor"]),
      );
      for (const when of ["before", "after"]) {
        expect(colours(join(folder, "report", `${when}-0.png`)).equals(pixels), when).toBe(true);
      }
    });
  });

  it("keeps the image when QEMU dies in the middle of a restore, and comes back from it", async () => {
    await inFolder(async (folder) => {
      const died = await hibernate(folder, ["--host", "qemu", "--keep", "--fault", "kill-host@restore:5"]);
      expect([died.summary.sentence, died.status]).toEqual([expect.stringMatching(/^failed: .*it was killed/), 3]);
      const image = join(folder, "report", "hibernation.img");
      const resumed = await hibernate(folder, ["--host", "qemu", "--resume", image]);
      expect([resumed.summary.sentence, resumed.status]).toEqual([expect.stringMatching(/^nothing lost/), 0]);
    });
  });
});
